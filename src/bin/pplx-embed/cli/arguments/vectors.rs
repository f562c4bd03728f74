//! Arguments of the commands that make vectors or compare them.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pplx_embed::backend::Device;
use pplx_embed::index::IndexKind;
use pplx_embed::model::late::Role;
use pplx_embed::model::{EmbedOptions, Prompt};
use pplx_embed::numbers::{Dtype, RowFormat};

use super::model::ModelOptions;
use crate::cli::documents::Format;
use crate::cli::drivers::DriverOptions;

/// How the vectors of texts or chunks are made.
#[derive(Args)]
pub(crate) struct VectorOptions {
    /// int8, float32, binary or ubinary; the model's own by default.
    #[arg(long, value_parser = Dtype::from_str)]
    dtype: Option<Dtype>,
    /// Keep this many of the leading dimensions.
    #[arg(long)]
    dimensions: Option<u32>,
    /// Scale float32 vectors to unit length.
    #[arg(long)]
    normalize: bool,
}

impl VectorOptions {
    pub(crate) fn embed_options(&self, prompt: Prompt) -> EmbedOptions {
        let normalize = self.normalize.then_some(true);
        EmbedOptions { dtype: self.dtype, dimensions: self.dimensions, normalize, prompt }
    }
}

/// What is put before each text.
#[derive(Args)]
pub(crate) struct PromptOptions {
    /// Put this text before each text, instead of the prompt that the model's repository names as its default.
    #[arg(long, conflicts_with = "prompt_name")]
    prompt: Option<String>,
    /// The name of one of the repository's prompts (`pplx-embed info` lists them).
    #[arg(long)]
    prompt_name: Option<String>,
    /// query or document: the repository's prompt of that name.
    #[arg(long, value_parser = Role::from_str, conflicts_with_all = ["prompt", "prompt_name"])]
    role: Option<Role>,
}

impl PromptOptions {
    pub(crate) fn prompt(&self) -> pplx_embed::Result<Prompt> {
        Prompt::choose(self.prompt.clone(), self.prompt_name.clone(), self.role)
    }
}

/// What texts come from, and what is printed of them.
#[derive(Args)]
pub(crate) struct TextOptions {
    /// What the file holds, if its name does not say it: lines (a text a line), jsonl, text (a document, such as Markdown)
    /// or html. Standard input is lines.
    #[arg(long, value_parser = format())]
    pub(crate) format: Option<Format>,
    /// Print no text. Of long texts only the beginning is printed anyway.
    #[arg(long)]
    pub(crate) no_text: bool,
}

/// Reads a name in [`Format::NAMES`].
fn format() -> impl TypedValueParser<Value = Format> {
    let names = PossibleValuesParser::new(Format::NAMES.map(|(name, _)| name));
    names.try_map(|given| {
        let named = Format::NAMES.into_iter().find(|(name, _)| *name == given);
        named.map(|(_, format)| format).ok_or("not a format")
    })
}

#[derive(Args)]
pub(crate) struct Embed {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
    /// .txt has one text per line, .jsonl a JSON string or {"text": ...} per line; Markdown and HTML are a text each, and so
    /// is each file of a folder; - is standard input, as .txt.
    #[arg(long, default_value = "-")]
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) text: TextOptions,
    /// A .npy file for the vectors, [n, D]. Without it, one line of JSON per text goes to standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) vectors: VectorOptions,
    #[command(flatten)]
    pub(crate) prompt: PromptOptions,
}

#[derive(Args)]
pub(crate) struct EmbedContext {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
    /// A .jsonl file with a document a line: a JSON array of strings, its chunks. - is standard input.
    #[arg(long, default_value = "-")]
    pub(crate) input: PathBuf,
    /// A .safetensors file: data [N, D], and offsets I64 [n + 1], where each document's rows start and the last one's
    /// end. Without it, one line of JSON per document goes to standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) vectors: VectorOptions,
    /// Put documents that are longer than the model's limit through in overlapping windows, instead of refusing them.
    #[arg(long)]
    pub(crate) windows: bool,
}

#[derive(Args)]
pub(crate) struct Encode {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
    /// query or document: the model marks them apart.
    #[arg(long, value_parser = Role::from_str)]
    pub(crate) role: Role,
    /// .txt has one text per line, .jsonl a JSON string or {"text": ...} per line; Markdown and HTML are a text each, and so
    /// is each file of a folder; - is standard input, as .txt.
    #[arg(long, default_value = "-")]
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) text: TextOptions,
    /// A .safetensors file: data [N, D], offsets I64 [n + 1], ids I64 [N], ranges I64 [N, 2] (bytes of the text), and
    /// with int8 scales F32 [N]. Without it, one line of JSON per text goes to standard output.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// float32, float16, int8 (with a scale a vector) or binary (packed bits).
    #[arg(long, value_parser = RowFormat::from_str, default_value = "float32")]
    pub(crate) dtype: RowFormat,
    /// Where the marker stands: 0 as in sentence-transformers, 1 as in PyLate.
    #[arg(long, default_value_t = 0)]
    pub(crate) marker_position: u32,
    /// Of a document's vectors keep one in this many, each the mean of vectors that are alike.
    #[arg(long)]
    pub(crate) pool_factor: Option<u32>,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("where").required(true).multiple(true).args(["corpus", "index"]))]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
    /// What to search: .txt has one text per line, .jsonl a JSON string, {"text": ..., "id": ...} or {"chunks": [...],
    /// "id": ...} per line, and what has no id is called by the number of its line. Markdown, HTML and the files of a folder
    /// are documents, cut into chunks and called by their paths. - is standard input, as .txt.
    #[arg(long)]
    pub(crate) corpus: Option<PathBuf>,
    /// Most tokens of a document's chunk.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    pub(crate) chunk_tokens: u32,
    #[command(flatten)]
    pub(crate) text: TextOptions,
    /// A saved index: written if there is a corpus, else searched.
    #[arg(long)]
    pub(crate) index: Option<PathBuf>,
    /// What to search for. Without any, each line of standard input.
    #[arg(value_name = "QUERY")]
    pub(crate) queries: Vec<String>,
    /// Hits for each query.
    #[arg(long, default_value_t = 10)]
    pub(crate) k: usize,
    /// dense (a vector for each text or chunk) or late (one for each token); the model's own by default.
    #[arg(long, value_parser = IndexKind::from_str, requires = "corpus")]
    pub(crate) kind: Option<IndexKind>,
    /// int8, binary, float32 or, if late, float16: how vectors are kept.
    #[arg(long, value_parser = RowFormat::from_str, requires = "corpus")]
    pub(crate) dtype: Option<RowFormat>,
    /// Keep this many of the leading dimensions.
    #[arg(long, requires = "corpus")]
    pub(crate) dimensions: Option<usize>,
    /// If late: choose candidates by the signs of their vectors.
    #[arg(long, requires = "corpus")]
    pub(crate) first_pass: bool,
    /// Candidates that signs choose, with a first pass.
    #[arg(long)]
    pub(crate) candidates: Option<u32>,
    /// Candidates that Hamming distance chooses, as a multiple of k, with binary vectors of a dense index.
    #[arg(long)]
    pub(crate) rescore: Option<u32>,
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
    /// What to run on: gpu, cpu, or auto, which is the GPU if there is one.
    #[arg(long, value_parser = Device::from_str, default_value = "auto")]
    pub(crate) device: Device,
    /// Threads of the processor; by default one for each core.
    #[arg(long)]
    pub(crate) threads: Option<u32>,
    #[command(flatten)]
    pub(crate) drivers: DriverOptions,
    /// No progress on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Errors as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
