//! Arguments of the commands that describe, check, convert or remove models.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::model::{CacheFolder, ModelLocation, ModelOptions};

#[derive(Args)]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
    /// The id of the model that this is a folder or a copy of.
    #[arg(long = "as", value_name = "ID")]
    pub(crate) known_as: Option<String>,
    /// Other values than those that come with the command: a JSON file of the same form.
    #[arg(long, value_name = "FILE")]
    pub(crate) goldens: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Quantize {
    #[command(flatten)]
    pub(crate) origin: ModelLocation,
    /// Bits of a weight: 4 or 8.
    #[arg(long)]
    pub(crate) bits: u32,
    /// Weights that share a scale and a bias: 32, 64 or 128.
    #[arg(long, default_value_t = 64)]
    pub(crate) group_size: u32,
    /// The folder to make. It must not be there.
    #[arg(long)]
    pub(crate) output: PathBuf,
}

#[derive(Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    pub(crate) action: CacheAction,
    #[command(flatten)]
    pub(crate) place: CacheFolder,
    /// Results and errors as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum CacheAction {
    /// Say which models are kept, and how many bytes they take.
    List,
    /// Remove a model.
    Delete {
        /// Its id on the Hub.
        id: String,
        /// Only this commit, branch or tag of it.
        #[arg(long)]
        revision: Option<String>,
        /// Only what came from this address.
        #[arg(long)]
        endpoint: Option<String>,
    },
    /// Remove every model.
    Clear,
    /// Say where the cache is.
    Path,
}
