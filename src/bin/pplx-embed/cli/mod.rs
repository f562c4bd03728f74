//! The commands.

mod arguments;
mod cache;
mod embed;
mod embed_context;
mod encode;
mod info;
mod input;
mod maxsim;
mod output;
mod progress;
mod quantize;
mod safetensors;
mod search;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use pplx_embed::Error;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Command::Embed(command) => embed::run(command),
        Command::Maxsim(command) => maxsim::run(command),
        Command::EmbedContext(command) => embed_context::run(command),
        Command::Encode(command) => encode::run(command),
        Command::Search(command) => search::run(command),
        Command::Info(command) => info::run(command),
        Command::Quantize(command) => quantize::run(command),
        Command::Cache(command) => cache::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::error(&error, arguments.command.json());
            ExitCode::from(if matches!(error, Error::InvalidArgument { .. }) { 2 } else { 1 })
        }
    }
}
