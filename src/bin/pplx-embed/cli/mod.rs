//! The commands.

mod arguments;
mod embed;
mod embed_context;
mod encode;
mod info;
mod input;
mod output;
mod progress;
mod safetensors;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use pplx_embed::Error;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Embed(command) => embed::run(command),
        Command::EmbedContext(command) => embed_context::run(command),
        Command::Encode(command) => encode::run(command),
        Command::Info(command) => info::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::error(&error, arguments.command.common().json);
            ExitCode::from(if matches!(error, Error::InvalidArgument { .. }) { 2 } else { 1 })
        }
    }
}
