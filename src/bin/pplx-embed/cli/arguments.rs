//! What the command line takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pplx_embed::hub::{Folder, Http, Repository};
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
    /// Score token vectors of queries against those of documents by late interaction. No model is needed.
    Maxsim(Maxsim),
    /// Load a model and say what it is and what it runs on.
    Info(Info),
}

impl Command {
    /// Whether results and errors are to be JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Embed(command) => command.common.json,
            Self::Maxsim(command) => command.json,
            Self::Info(command) => command.common.json,
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
pub(crate) struct Maxsim {
    /// A safetensors file: `data` [N, D] of F32, F16, I8 (with `scales` F32 [N]) or U8 (bits), `offsets` I64 [n + 1].
    #[arg(long)]
    pub(crate) queries: PathBuf,
    /// Likewise.
    #[arg(long)]
    pub(crate) documents: PathBuf,
    /// Score these pairs only: a file with a line [query, document] for each.
    #[arg(long)]
    pub(crate) pairs: Option<PathBuf>,
    /// A .npy file for the scores, [queries, documents] or [pairs]. Without it, one line of JSON per score goes to
    /// standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Score with cosines.
    #[arg(long)]
    pub(crate) normalize: bool,
    /// Print what each token of a query matched in a document instead.
    #[arg(long, num_args = 2, value_names = ["QUERY", "DOCUMENT"], conflicts_with_all = ["pairs", "output"])]
    pub(crate) explain: Vec<u32>,
    /// Where to run: auto is the GPU if there is one.
    #[arg(long, default_value = "auto")]
    pub(crate) device: Device,
    /// No progress on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Errors as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
pub(crate) enum Device {
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
            token: std::env::var("HF_TOKEN").ok().filter(|t| !t.is_empty()),
        };
        options.revision.clone_from(&repository.revision);
        pollster::block_on(Model::load(&Http::new(&repository)?, options, console))
    }
}
