//! What the command line takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pplx_embed::hub::{Folder, Http, Repository};
use pplx_embed::model::late::{Role, TokenDtype};
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
    /// Embed the chunks of documents, each with its whole document in view, with a context model.
    EmbedContext(EmbedContext),
    /// Encode queries or documents for late interaction: a vector for each token.
    Encode(Encode),
    /// Load a model and say what it is and what it runs on.
    Info(Info),
}

impl Command {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Embed(command) => &command.common,
            Self::EmbedContext(command) => &command.common,
            Self::Encode(command) => &command.common,
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
pub(crate) struct EmbedContext {
    #[command(flatten)]
    pub(crate) common: Common,
    /// A .jsonl file with a document a line: a JSON array of strings, its chunks. - is standard input.
    #[arg(long, default_value = "-")]
    pub(crate) input: PathBuf,
    /// A .safetensors file: data [N, D], and offsets I64 [n + 1], where each document's rows start and the last one's
    /// end. Without it, one line of JSON per document goes to standard output.
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
    /// Put documents that are longer than the model's limit through in overlapping windows, instead of refusing them.
    #[arg(long)]
    pub(crate) windows: bool,
}

#[derive(Args)]
pub(crate) struct Encode {
    #[command(flatten)]
    pub(crate) common: Common,
    /// query or document: the model marks them apart.
    #[arg(long, value_parser = Role::from_str)]
    pub(crate) role: Role,
    /// .txt has one text per line, .jsonl a JSON string or {"text": ...} per line; - is standard input, as .txt.
    #[arg(long, default_value = "-")]
    pub(crate) input: PathBuf,
    /// A .safetensors file: data [N, D], offsets I64 [n + 1], ids I64 [N], ranges I64 [N, 2] (bytes of the text), and
    /// with int8 scales F32 [N]. Without it, one line of JSON per text goes to standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// float32, float16, int8 (with a scale a vector) or binary (packed bits).
    #[arg(long, value_parser = TokenDtype::from_str, default_value = "float32")]
    pub(crate) dtype: TokenDtype,
    /// Where the marker stands: 0 as in sentence-transformers, 1 as in PyLate.
    #[arg(long, default_value_t = 0)]
    pub(crate) marker_position: u32,
    /// Of a document's vectors keep one in this many, each the mean of vectors that are alike.
    #[arg(long)]
    pub(crate) pool_factor: Option<u32>,
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
            token: std::env::var("HF_TOKEN").ok().filter(|t| !t.is_empty()),
        };
        options.revision.clone_from(&repository.revision);
        pollster::block_on(Model::load(&Http::new(&repository)?, options, console))
    }
}
