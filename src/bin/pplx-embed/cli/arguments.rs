//! What the command line takes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pplx_embed::hub::cache::{Cached, Directory};
use pplx_embed::hub::{self, Folder, Http, Repository, Retry};
use pplx_embed::index::{Kind, RowType};
use pplx_embed::model::late::{Role, TokenDtype};
use pplx_embed::model::{Dtype, Held, LoadOptions, Model};
use pplx_embed::{Error, Result};

use super::eval::Eval;
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
    /// Find the texts of a corpus that are nearest to queries.
    Search(Search),
    /// Score token vectors of queries against those of documents by late interaction. No model is needed.
    Maxsim(Maxsim),
    /// Load a model and say what it is and what it runs on.
    Info(Info),
    /// Check a model against the values that others have published of it.
    ///
    /// Compares token ids, vectors, cosines, chunks and late-interaction scores with those in reference fixtures, test
    /// suites and model cards, and prints a table: at the worst place the published number and ours, the worst
    /// difference, and what is allowed. Of lists that have to be equal the difference is the number of places where they
    /// are not. With --json, a line for each comparison, with its source, and one for the whole. Exit code 1 if anything
    /// is off.
    Verify(Verify),
    /// Measure how well a model finds what it should: nDCG@10, recall@100 and MRR@10 on a set in BEIR's format.
    ///
    /// Texts are embedded once; what is measured is every form (float, int8, binary) at every size. Of a document with
    /// chunks the best one counts, unless the judgements name chunks, as ID#0. A context model embeds chunks with their
    /// document in view; a late one compares by MaxSim. The measures are trec_eval's.
    Eval(Eval),
    /// Write a model's folder anew with its weights in 4 or 8 bits.
    Quantize(Quantize),
    /// See what is kept of models from the Hub, or remove it.
    Cache(Cache),
}

impl Command {
    /// Whether results and errors are to be JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Embed(command) => command.common.origin.json,
            Self::Info(command) => command.common.origin.json,
            Self::Verify(command) => command.common.origin.json,
            Self::Eval(command) => command.common.origin.json,
            Self::Quantize(command) => command.origin.json,
            Self::Cache(command) => command.json,
            Self::Maxsim(command) => command.json,
            Self::EmbedContext(command) => command.common.origin.json,
            Self::Encode(command) => command.common.origin.json,
            Self::Search(command) => command.common.origin.json,
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
#[command(group = clap::ArgGroup::new("where").required(true).multiple(true).args(["corpus", "index"]))]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to search: .txt has one text per line, .jsonl a JSON string, {"text": ..., "id": ...} or {"chunks": [...],
    /// "id": ...} per line. What has no id is called by the number of its line.
    #[arg(long)]
    pub(crate) corpus: Option<PathBuf>,
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
    #[arg(long, value_parser = Kind::from_str, requires = "corpus")]
    pub(crate) kind: Option<Kind>,
    /// int8, binary, float32 or, if late, float16: how vectors are kept.
    #[arg(long, value_parser = RowType::from_str, requires = "corpus")]
    pub(crate) dtype: Option<RowType>,
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
pub(crate) struct Info {
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) common: Common,
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

#[derive(Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) origin: Origin,
    /// Where to run.
    #[arg(long, default_value = "auto")]
    device: Device,
    /// How weights are held: auto (as they are stored, if there is memory for it), f32, f16, q8 or q4. By default auto,
    /// and f32 to verify.
    #[arg(long)]
    weights: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    Auto,
    Gpu,
    Cpu,
}

impl Origin {
    /// The folder that models from the Hub are kept in.
    pub(crate) fn cache_path(&self) -> Result<PathBuf> {
        Ok(self.place.open()?.path().to_owned())
    }

    /// The folder, if that is what the model is.
    pub(crate) fn folder(&self) -> Option<Folder> {
        let path = std::path::Path::new(&self.model);
        path.is_dir().then(|| Folder::new(path))
    }

    /// The model on the Hub, with the cache where there is one.
    pub(crate) async fn open<'a>(&self, console: &'a Console) -> Result<Cached<'a, Http, Directory>> {
        let repository = Repository {
            endpoint: Some(self.endpoint.clone()),
            id: self.model.clone(),
            revision: Some(self.revision.clone()),
            token: hub::token(Some(&self.endpoint)),
        };
        let store = match self.no_cache {
            true => None,
            false => self.place.open().inspect_err(|e| console.note(&format!("note: not cached: {e}"))).ok(),
        };
        Cached::open(&repository, Http::default(), Retry::default(), store, console).await
    }
}

impl Common {
    /// Loads the model.
    pub(crate) fn load(&self, console: &Console) -> Result<Model> {
        self.load_as("auto", console)
    }

    /// Loads the model, with weights in the form `usual` unless another is asked for.
    pub(crate) fn load_as(&self, usual: &str, console: &Console) -> Result<Model> {
        if self.device == Device::Cpu {
            let message = "allowed are auto and gpu; a software Vulkan driver such as lavapipe serves as gpu".into();
            return Err(Error::Unsupported { what: "device cpu".into(), message });
        }
        let weights = Held::from_str(self.weights.as_deref().unwrap_or(usual))?;
        let mut options = LoadOptions { id: self.origin.model.clone(), weights, ..LoadOptions::default() };
        if let Some(folder) = self.origin.folder() {
            return pollster::block_on(Model::load(&folder, options, console));
        }
        pollster::block_on(async {
            let source = self.origin.open(console).await?;
            options.revision = source.commit().or(Some(self.origin.revision.clone()));
            // The same commit, fetched before by another tool.
            if let Some(folder) = source.commit().and_then(|commit| hub::local_copy(&self.origin.model, Some(&commit)))
            {
                return Model::load(&Folder::new(folder), options, console).await;
            }
            let model = Model::load(&source, options, console).await?;
            source.loaded().await;
            Ok(model)
        })
    }
}
