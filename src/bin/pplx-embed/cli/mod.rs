//! The commands.

mod arguments;
mod bench;
mod cache;
mod corpus;
mod documents;
mod drivers;
mod embed;
mod embed_context;
mod encode;
mod eval;
mod html;
mod info;
mod input;
mod maxsim;
mod output;
mod progress;
mod quantize;
mod safetensors;
mod search;
mod verify;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use pplx_embed::{Error, Result};

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress::error(&error, arguments.command.json());
            ExitCode::from(if matches!(error, Error::InvalidArgument { .. }) { 2 } else { 1 })
        }
    }
}

/// Runs a command. Gives false where it ran to its end and what it was to find out is no.
fn run(command: &Command) -> Result<bool> {
    match command {
        Command::Embed(command) => embed::run(command)?,
        Command::Maxsim(command) => maxsim::run(command)?,
        Command::EmbedContext(command) => embed_context::run(command)?,
        Command::Encode(command) => encode::run(command)?,
        Command::Search(command) => search::run(command)?,
        Command::Info(command) => info::run(command)?,
        Command::Eval(command) => eval::run(command)?,
        Command::Verify(command) => return verify::run(command),
        Command::Bench(command) => bench::run(command)?,
        Command::BenchSearch(command) => bench::search::run(command)?,
        Command::Quantize(command) => quantize::run(command)?,
        Command::Cache(command) => cache::run(command)?,
    }
    Ok(true)
}
