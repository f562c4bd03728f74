//! What the command line takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pplx_embed::hub::{self, Folder, Http, Remote, Repository, Retry};
use pplx_embed::model::{Dtype, Held, LoadOptions, Model};
use pplx_embed::{Error, Result};

use super::progress::Console;

/// Text embeddings with Perplexity's pplx-embed models on your own GPU.
#[derive(Parser)]
#[command(name = "pplx-embed", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Embed the texts of a file, or of standard input.
    Embed(Embed),
    /// Load a model and say what it is and what it runs on.
    Info(Info),
}

impl Command {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Embed(command) => &command.common,
            Self::Info(command) => &command.common,
        }
    }
}

#[derive(Args)]
pub(crate) struct Embed {
    #[command(flatten)]
    pub(crate) common: Common,
    /// .txt has one text per line, .jsonl a JSON string or {"text": ...} per line; - is standard input, as .txt.
    #[arg(long, default_value = "-")]
    pub(crate) input: PathBuf,
    /// A .npy file for the vectors, [n, D]. Without it, one line of JSON per text goes to standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// int8, float32, binary or ubinary; the model's own by default.
    #[arg(long, value_parser = Dtype::from_str)]
    pub(crate) dtype: Option<Dtype>,
    /// Keep this many of the leading dimensions.
    #[arg(long)]
    pub(crate) dimensions: Option<u32>,
    /// Scale float32 vectors to unit length.
    #[arg(long)]
    pub(crate) normalize: bool,
}

#[derive(Args)]
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args)]
pub(crate) struct Common {
    /// A model's folder, or its id on the Hub.
    #[arg(long)]
    pub(crate) model: String,
    /// Where to run.
    #[arg(long, default_value = "auto")]
    device: Device,
    /// How weights are held: auto (as they are stored), f32 or f16.
    #[arg(long, default_value = "auto")]
    weights: String,
    /// The revision of a model on the Hub.
    #[arg(long, default_value = "main")]
    revision: String,
    /// The address of the Hub.
    #[arg(long, env = "HF_ENDPOINT", default_value = "https://huggingface.co")]
    endpoint: String,
    /// No progress and no notes on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Results and errors as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    Auto,
    Gpu,
    Cpu,
}

impl Common {
    /// Loads the model.
    pub(crate) fn load(&self, console: &Console) -> Result<Model> {
        if self.device == Device::Cpu {
            let message = "allowed are auto and gpu; a software Vulkan driver such as lavapipe serves as gpu".into();
            return Err(Error::Unsupported { what: "device cpu".into(), message });
        }
        let weights = Held::from_str(&self.weights)?;
        let folder = std::path::Path::new(&self.model);
        let mut options = LoadOptions { id: self.model.clone(), revision: None, weights };
        if folder.is_dir() {
            return pollster::block_on(Model::load(&Folder::new(folder), options, console));
        }
        let repository = Repository {
            endpoint: Some(self.endpoint.clone()),
            id: self.model.clone(),
            revision: Some(self.revision.clone()),
            token: hub::token(Some(&self.endpoint)),
        };
        options.revision.clone_from(&repository.revision);
        pollster::block_on(async {
            let remote = Remote::open(&repository, Http::default(), Retry::default()).await?;
            // The same commit, fetched before by another tool.
            match remote.commit().and_then(|commit| hub::local_copy(&self.model, Some(commit))) {
                Some(folder) => Model::load(&Folder::new(folder), options, console).await,
                None => Model::load(&remote, options, console).await,
            }
        })
    }
}
