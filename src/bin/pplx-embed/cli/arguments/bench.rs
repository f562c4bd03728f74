//! Arguments of the commands that time this machine.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use pplx_embed::backend::Device;

use super::model::ModelOptions;
use crate::cli::drivers::DriverOptions;

#[derive(Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
    /// What to time, in this order: numbers of tokens of a text, of so many texts as in 32x128, and mixed.
    #[arg(long, value_delimiter = ',', default_value = "16,128,512,2048,mixed")]
    pub(crate) cases: Vec<String>,
    /// Time the texts of a file instead, all in one call: .txt or .jsonl, as for embed. Each file given is a case.
    #[arg(long, conflicts_with = "cases")]
    pub(crate) input: Vec<PathBuf>,
    /// How long to repeat a case, in seconds. Three runs at least, or one if that takes four times as long.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
}

#[derive(Args)]
pub(crate) struct BenchSearch {
    /// Vectors of 1,024 dimensions that are searched.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) items: usize,
    /// Documents of 300 tokens in 128 dimensions that are scored by MaxSim.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) documents: usize,
    /// What to run on: gpu, cpu, or auto, which is the GPU if there is a real one.
    #[arg(long, value_parser = Device::from_str, default_value = "auto")]
    pub(crate) device: Device,
    /// Threads of the processor; by default one for each core.
    #[arg(long)]
    pub(crate) threads: Option<u32>,
    /// How long to repeat a case, in seconds.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    #[command(flatten)]
    pub(crate) drivers: DriverOptions,
    /// No progress and no notes on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Results and errors as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
