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
    /// Write a model's folder anew with its weights in 4 or 8 bits.
    Quantize(Quantize),
}

impl Command {
    /// Results and errors are JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Embed(command) => command.common.origin.json,
            Self::Info(command) => command.common.origin.json,
            Self::Quantize(command) => command.origin.json,
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
pub(crate) struct Quantize {
    #[command(flatten)]
    pub(crate) origin: Origin,
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

/// Where a model is, and how to speak of it.
#[derive(Args)]
pub(crate) struct Origin {
    /// A model's folder, or its id on the Hub.
    #[arg(long)]
    pub(crate) model: String,
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

#[derive(Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) origin: Origin,
    /// Where to run.
    #[arg(long, default_value = "auto")]
    device: Device,
    /// How weights are held: auto (as they are stored, if there is memory for it), f32, f16, q8 or q4.
    #[arg(long, default_value = "auto")]
    weights: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    Auto,
    Gpu,
    Cpu,
}

impl Origin {
    /// The folder, if that is what the model is.
    pub(crate) fn folder(&self) -> Option<Folder> {
        let path = std::path::Path::new(&self.model);
        path.is_dir().then(|| Folder::new(path))
    }

    /// The model on the Hub.
    pub(crate) fn repository(&self) -> Repository {
        Repository {
            endpoint: Some(self.endpoint.clone()),
            id: self.model.clone(),
            revision: Some(self.revision.clone()),
            token: hub::token(),
        }
    }
}

impl Common {
    /// Loads the model.
    pub(crate) fn load(&self, console: &Console) -> Result<Model> {
        if self.device == Device::Cpu {
            let message = "allowed are auto and gpu; a software Vulkan driver such as lavapipe serves as gpu".into();
            return Err(Error::Unsupported { what: "device cpu".into(), message });
        }
        let weights = Held::from_str(&self.weights)?;
        let mut options = LoadOptions { id: self.origin.model.clone(), weights, ..LoadOptions::default() };
        if let Some(folder) = self.origin.folder() {
            return pollster::block_on(Model::load(&folder, options, console));
        }
        let repository = self.origin.repository();
        options.revision.clone_from(&repository.revision);
        pollster::block_on(async {
            let remote = Remote::open(&repository, Http::default(), Retry::default()).await?;
            // The same commit, fetched before by another tool.
            match remote.commit().and_then(|commit| hub::local_copy(&self.origin.model, Some(commit))) {
                Some(folder) => Model::load(&Folder::new(folder), options, console).await,
                None => Model::load(&remote, options, console).await,
            }
        })
    }
}
