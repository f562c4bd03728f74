//! `pplx-embed info`

use std::io::Write;

use pplx_embed::model::ModelKind;
use pplx_embed::{Error, Result};

use super::arguments::Info;
use super::progress::Console;

/// Loads a model and says what it is.
pub(crate) fn run(command: &Info) -> Result<()> {
    let console = Console::new(command.common.origin.quiet);
    let info = command.common.load(&console)?.info();
    console.done();
    if command.common.origin.json {
        let json =
            serde_json::to_string(&info).map_err(|e| Error::Io { file: "info".into(), message: e.to_string() })?;
        return print(&json);
    }
    let software = if info.adapter.software { ", software" } else { "" };
    let threads = if info.threads > 0 { format!(", {} threads", info.threads) } else { String::new() };
    let normalized = if info.default_normalize { ", unit length" } else { "" };
    let kind = match info.kind {
        ModelKind::Embed => "a vector a text",
        ModelKind::Context => "a vector for each chunk of a document",
        ModelKind::Late => "a vector a token, for late interaction",
    };
    print(&format!(
        "model       {}, {}\n\
         vectors     {} dimensions, {:?} by default{normalized}, {:?} pooling\n\
         texts       up to {} tokens\n\
         layers      {}\n\
         runs on     {} ({}{software}{threads}): {}\n\
         weights     {}, {} bytes on the device, {} in host memory\n\
         precision   {}\n\
         kernels     {}; each checked on this adapter",
        info.id,
        kind,
        info.dimensions,
        info.default_dtype,
        info.pooling,
        info.max_tokens,
        info.layers,
        info.adapter.name,
        info.adapter.backend,
        info.why,
        info.weights.name(),
        info.bytes.device,
        info.bytes.host,
        info.precision.name(),
        info.kernels.join(", "),
    ))
}

/// A line to standard output; an error if nobody reads it.
pub(crate) fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|e| Error::Io { file: "standard output".into(), message: e.to_string() })
}
