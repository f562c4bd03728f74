//! What a repository says of its model: `config.json` and the files of sentence-transformers.
//!
//! `architecture` reads the encoder, `pipeline` what is done with its vectors, `pooling` how they become one, `prompts` what is put before texts,
//! `transformer` how texts become tokens, `rope` the positions. `keys` lists each key of each file: nothing that changes a
//! vector is passed over without a word.

mod architecture;
pub(super) mod keys;
pub(super) mod modules;
mod pooling;
mod prompts;
mod rope;
mod transformer;

use serde_json::{Map, Value};

pub(super) use modules::module_folders;
pub use modules::{DenseLayer, HeadStep};
pub use pooling::Pooling;
pub use prompts::{Prompt, Prompts};
pub use transformer::Lengths;

use super::late::LateConfig;
use super::shape::Shape;
use crate::checkpoint::Scheme;
use crate::error::{Error, Result};
use crate::hub::{self, Source};
use crate::json;
use crate::numbers::Rope;
use keys::Notices;
use modules::Modules;
use prompts::SentenceTransformer;
use transformer::Transformer;

const FILE: &str = "config.json";
/// Largest configuration file accepted, in bytes.
pub(super) const MAX_JSON: usize = 4 << 20;

/// What a model makes of its input, which decides what it can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// One vector a text.
    Embed,
    /// One vector for each chunk of a document, made with the whole document in view (late chunking).
    Context,
    /// One vector a token, for late interaction.
    Late,
}

/// The architecture and the settings of a repository, checked for sense.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it makes of its input.
    pub kind: ModelKind,
    /// H, a multiple of four.
    pub hidden: u32,
    /// L.
    pub layers: u32,
    /// Hq.
    pub query_heads: u32,
    /// Hkv, divides Hq.
    pub key_heads: u32,
    /// Dh, a multiple of four, at most 256.
    pub head_dim: u32,
    /// I, a multiple of four.
    pub intermediate: u32,
    /// V.
    pub vocabulary: u32,
    /// RMSNorm's epsilon.
    pub norm_eps: f32,
    /// Rotary positions.
    pub rope: Rope,
    /// Positions the model was made for.
    pub max_positions: u32,
    /// Tokens attend only to themselves and those before them.
    pub causal: bool,
    /// For each layer, within fewer than how many places tokens attend; `None` for all.
    pub windows: Vec<Option<u32>>,
    /// The projections of attention have biases.
    pub attention_bias: bool,
    /// How a text's tokens become one vector.
    pub pooling: Pooling,
    /// The tokens of a prompt count in pooling.
    pub include_prompt: bool,
    /// What is done with the pooled vector, up to the last linear layer.
    pub head: Vec<HeadStep>,
    /// The model's own pipeline ends in a Normalize module.
    pub normalize: bool,
    /// The model's own pipeline ends in the tanh quantizer, so that int8 is its native output.
    pub tanh_int8: bool,
    /// How its weights are quantized.
    pub scheme: Scheme,
    /// The settings of a late interaction model; there for [`ModelKind::Late`] only.
    pub late: Option<LateConfig>,
    /// What is put before texts.
    pub prompts: Prompts,
    /// Leading dimensions that the repository keeps of a vector: `truncate_dim`.
    pub truncate: Option<u32>,
    /// Limits on texts, and whether they are put in lower case.
    pub lengths: Lengths,
    /// The class of the repository's own code, which is not run; `None` for Perplexity's, which is built in.
    pub foreign_class: Option<String>,
    /// What a user should know of the settings: keys that are not known here, and code that is not run.
    pub notices: Vec<String>,
}

impl Config {
    /// Dimensions of a full vector: H, or those that the last linear layer makes of them.
    pub fn dimensions(&self) -> u32 {
        let late = self.late.as_ref().and_then(|late| late.dense.as_ref());
        let last = self.dense_layers().last();
        late.or(last).map_or(self.hidden, |dense| dense.outputs)
    }

    /// What a forward pass reads.
    pub(super) fn shape(&self) -> Shape {
        let (late, dimensions) = (self.late.is_some(), self.dimensions());
        let pooled = if late { dimensions } else { self.hidden };
        Shape {
            hidden: self.hidden,
            layers: self.layers,
            query_heads: self.query_heads,
            key_heads: self.key_heads,
            head_dim: self.head_dim,
            intermediate: self.intermediate,
            dimensions,
            widest: self.dense_layers().map(|dense| dense.outputs).fold(pooled, u32::max),
            norm_eps: self.norm_eps,
            causal: self.causal,
            attention_bias: self.attention_bias,
            late,
            dense: self.dense_layers().next().is_some(),
            pooling: self.pooling,
            rope: self.rope,
            windows: self.windows.clone(),
        }
    }

    /// Linear layers after pooling, in order.
    pub fn dense_layers(&self) -> impl Iterator<Item = &DenseLayer> {
        self.head.iter().filter_map(|step| match step {
            HeadStep::Dense(dense) => Some(dense),
            HeadStep::Normalize => None,
        })
    }

    /// Floating-point operations of the matrix products of the layers for a text of `tokens`: two for each weight and
    /// token, and those of attention. What the work is worth, however it is done.
    pub fn matmul_operations(&self, tokens: u64) -> u64 {
        let [layers, query_heads, head_dim] = [self.layers, self.query_heads, self.head_dim].map(u64::from);
        // Scores and their sums of values; a causal model needs half of them.
        let pairs = if self.causal { tokens * (tokens + 1) / 2 } else { tokens * tokens };
        2 * tokens * self.layer_weights() + layers * 4 * pairs * query_heads * head_dim
    }

    /// How many weights the matrices of all layers have.
    pub fn layer_weights(&self) -> u64 {
        let [hidden, intermediate, layers, query_heads, key_heads, head_dim] =
            [self.hidden, self.intermediate, self.layers, self.query_heads, self.key_heads, self.head_dim]
                .map(u64::from);
        layers * (hidden * head_dim * 2 * (query_heads + key_heads) + 3 * hidden * intermediate)
    }

    /// Reads `config.json`, `sentence_bert_config.json`, `config_sentence_transformers.json`, `modules.json` and the files
    /// of its modules.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the field, [`Error::Unsupported`] for an architecture this is not, or what
    /// kept a file from being read.
    pub async fn load(source: &impl Source) -> Result<Self> {
        let mut notices = Notices::default();
        let mut own = object(&hub::read(source, FILE, MAX_JSON).await?)?;
        let transformer = Transformer::load(source, &mut notices).await?;
        for (key, value) in transformer.config {
            if own.contains_key(&key) || keys::CONFIG_FIELDS.contains(&key.as_str()) {
                own.insert(key, value);
            } else {
                let message = "which sentence-transformers does not set, because config.json has no such key";
                notices.add(format!(
                    "{}: config_args.{key} is {}, {message}",
                    transformer::FILE,
                    keys::shortened(&value)
                ));
            }
        }
        let mut config = architecture::parse(&own, &mut notices)?;
        config.lengths = transformer.lengths;
        if let Some(bytes) = hub::read_optional(source, prompts::FILE, MAX_JSON).await? {
            let SentenceTransformer { prompts, truncate } = SentenceTransformer::parse(&bytes, &mut notices)?;
            (config.prompts, config.truncate) = (prompts, truncate);
        }
        if let Some(bytes) = hub::read_optional(source, "modules.json", MAX_JSON).await? {
            let modules = modules::parse_modules(&bytes, &mut notices)?;
            let is_late = |m: &modules::Module| m.is("MultiVectorMask");
            let projects = modules.iter().any(|m| m.is("Dense")) && !modules.iter().any(|m| m.is("Pooling"));
            if projects || modules.iter().any(is_late) {
                config.late = Some(LateConfig::load(source, &modules, &config, &mut notices).await?);
                (config.kind, config.tanh_int8) = (ModelKind::Late, false);
            } else {
                let found = Modules::load(source, &modules, config.hidden, &mut notices).await?;
                config.pooling = found.pooling.unwrap_or(config.pooling);
                config.include_prompt = found.include_prompt;
                config.tanh_int8 |= found.tanh_int8;
                (config.head, config.normalize) = (found.head, found.normalize);
            }
        }
        config.check()?;
        config.notices = notices.0;
        Ok(config)
    }

    /// Parses and checks `config.json`. Pooling and normalization are those the architecture implies.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(json: &[u8]) -> Result<Self> {
        let mut notices = Notices::default();
        let mut config = architecture::parse(&object(json)?, &mut notices)?;
        config.notices = notices.0;
        Ok(config)
    }

    /// What the files say together.
    fn check(&self) -> Result<()> {
        let all = self.dimensions();
        if let Some(kept) = self.truncate.filter(|kept| *kept > all) {
            return Err(Error::config(prompts::FILE, format!("truncate_dim is {kept}, vectors have {all} dimensions")));
        }
        if self.late.is_some() && self.truncate.is_some_and(|kept| kept < all) {
            let what = format!("truncate_dim of {} in a late interaction model", prompts::FILE);
            return Err(Error::unsupported(what, "allowed is null"));
        }
        if self.kind == ModelKind::Context {
            if !self.prompts.text(&Prompt::Default)?.is_empty() {
                let what = format!("default_prompt_name of {} in a context model", prompts::FILE);
                return Err(Error::unsupported(what, "allowed is null, or the name of an empty prompt"));
            }
            if self.pooling != Pooling::Mean || !self.head.is_empty() {
                let what = "another pooling than the mean, or Dense, in a context model";
                return Err(Error::unsupported(what, "allowed are Pooling with the mean, and Normalize"));
            }
        }
        Ok(())
    }
}

fn object(json: &[u8]) -> Result<Map<String, Value>> {
    match json::parse(FILE, json)? {
        Value::Object(object) => Ok(object),
        other => Err(invalid(format!("is {}, allowed are objects", keys::shortened(&other)))),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::config(FILE, message)
}
