//! What the command line takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pplx_embed::hub::cache::{Cached, Directory};
use pplx_embed::hub::{self, Folder, Http, Repository, Retry};
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
    /// See what is kept of models from the Hub, or remove it.
    Cache(Cache),
}

impl Command {
    /// Whether results and errors are to be JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Embed(command) => command.common.json,
            Self::Info(command) => command.common.json,
            Self::Cache(command) => command.json,
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
pub(crate) struct Cache {
    #[command(subcommand)]
    pub(crate) action: CacheAction,
    #[command(flatten)]
    pub(crate) place: CachePlace,
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

#[derive(Args)]
pub(crate) struct CachePlace {
    /// Where models from the Hub are kept. By default, $PPLX_EMBED_CACHE, or pplx-embed in the platform's folder for
    /// caches.
    #[arg(long, global = true)]
    cache_dir: Option<PathBuf>,
}

impl CachePlace {
    /// The cache.
    pub(crate) fn open(&self) -> Result<Directory> {
        let path = self.cache_dir.clone().or_else(Directory::default_path).ok_or_else(|| Error::InvalidArgument {
            argument: "--cache-dir".into(),
            message: "is not given, and this platform has no folder for caches".into(),
        })?;
        Directory::new(path)
    }
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
    #[command(flatten)]
    place: CachePlace,
    /// Do not read or keep files of a model from the Hub.
    #[arg(long)]
    no_cache: bool,
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
            let store = match self.no_cache {
                true => None,
                false => self.place.open().inspect_err(|e| console.note(&format!("note: not cached: {e}"))).ok(),
            };
            let source = Cached::open(&repository, Http::default(), Retry::default(), store, console).await?;
            // The same commit, fetched before by another tool.
            if let Some(folder) = source.commit().and_then(|commit| hub::local_copy(&self.model, Some(&commit))) {
                return Model::load(&Folder::new(folder), options, console).await;
            }
            let model = Model::load(&source, options, console).await?;
            source.loaded().await;
            Ok(model)
        })
    }
}
