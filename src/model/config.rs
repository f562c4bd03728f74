//! `config.json` and the sentence-transformers module files: which Qwen3 encoder this is.

use serde::Deserialize;

use super::late::LateConfig;
use crate::backend::Heads;
use crate::checkpoint::Scheme;
use crate::error::{Error, Result};
use crate::hub::{self, Source};

/// Largest configuration file accepted, in bytes.
const MAX_JSON: usize = 4 << 20;

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

/// How a text's token vectors become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The last token's vector.
    Last,
}

/// The architecture, checked for sense.
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
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Positions the model was made for.
    pub max_positions: u32,
    /// Tokens attend only to themselves and those before them.
    pub causal: bool,
    /// How a text's tokens become one vector.
    pub pooling: Pooling,
    /// The model's own pipeline ends in a Normalize module.
    pub normalize: bool,
    /// The model's own pipeline ends in the tanh quantizer, so that int8 is its native output.
    pub tanh_int8: bool,
    /// How its weights are quantised.
    pub scheme: Scheme,
    /// The settings of a late interaction model; there for [`ModelKind::Late`] only.
    pub late: Option<LateConfig>,
}

#[derive(Deserialize)]
struct RawConfig {
    model_type: Option<String>,
    auto_map: Option<AutoMap>,
    hidden_size: Option<u64>,
    num_hidden_layers: Option<u64>,
    num_attention_heads: Option<u64>,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    intermediate_size: Option<u64>,
    vocab_size: Option<u64>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<RopeParameters>,
    max_position_embeddings: Option<u64>,
    use_bidirectional_attention: Option<bool>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    layer_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct AutoMap {
    #[serde(rename = "AutoModel")]
    model: Option<serde_json::Value>,
}

impl AutoMap {
    /// The contextual models' own class, `modeling.PPLXQwen3ContextualModel`, is all that tells them apart.
    fn is_contextual(&self) -> bool {
        self.model.as_ref().and_then(|m| m.as_str()).is_some_and(|name| name.ends_with("ContextualModel"))
    }
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
pub(super) struct Module {
    /// Its folder.
    #[serde(default)]
    pub(super) path: String,
    /// Its Python class.
    #[serde(rename = "type")]
    pub(super) kind: String,
}

impl Module {
    /// The class has this name, in whatever package.
    pub(super) fn is(&self, class: &str) -> bool {
        self.kind.rsplit('.').next() == Some(class)
    }
}

#[derive(Deserialize)]
struct RawPooling {
    pooling_mode: Option<String>,
    #[serde(flatten)]
    other: std::collections::BTreeMap<String, serde_json::Value>,
}

impl Config {
    /// Dimensions of a full vector: H, or those that a late model projects to.
    pub fn dimensions(&self) -> u32 {
        self.late.as_ref().and_then(|late| late.dense.as_ref()).map_or(self.hidden, |dense| dense.outputs)
    }

    /// Floating-point operations of the matrix products of the layers for a text of `tokens`: two for each weight and
    /// token, and those of attention. What the work is worth, however it is done.
    pub fn matmul_operations(&self, tokens: u64) -> u64 {
        let [hidden, intermediate, layers, query_heads, key_heads, head_dim] =
            [self.hidden, self.intermediate, self.layers, self.query_heads, self.key_heads, self.head_dim]
                .map(u64::from);
        let weights = hidden * head_dim * 2 * (query_heads + key_heads) + 3 * hidden * intermediate;
        // Scores and their sums of values; a causal model needs half of them.
        let pairs = if self.causal { tokens * (tokens + 1) / 2 } else { tokens * tokens };
        layers * (2 * tokens * weights + 4 * pairs * query_heads * head_dim)
    }

    /// The shape of its attention.
    pub(super) fn heads(&self) -> Heads {
        Heads { query: self.query_heads, key: self.key_heads, dim: self.head_dim, causal: self.causal }
    }

    /// Reads `config.json`, `modules.json` and the files of its modules.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the field, [`Error::Unsupported`] for an architecture this is not, or what
    /// kept a file from being read.
    pub async fn load(source: &impl Source) -> Result<Self> {
        let json = hub::read(source, "config.json", MAX_JSON).await?;
        let mut config = Self::parse(&json)?;
        if let Some(json) = hub::read_optional(source, "modules.json", MAX_JSON).await? {
            let modules = parse_modules(&json)?;
            config.normalize = modules.iter().any(|m| m.is("Normalize"));
            config.tanh_int8 |= modules.iter().any(|m| m.is("FlexibleQuantizer"));
            if let Some(module) = modules.iter().find(|m| m.is("Pooling")) {
                let file = format!("{}/config.json", module.path);
                if let Some(json) = hub::read_optional(source, &file, MAX_JSON).await? {
                    config.pooling = parse_pooling(&file, &json)?;
                }
            }
            if modules.iter().any(|m| m.is("Dense") || m.is("MultiVectorMask")) {
                config.late = Some(LateConfig::load(source, &modules, &config).await?);
                (config.kind, config.tanh_int8) = (ModelKind::Late, false);
            }
        }
        Ok(config)
    }

    /// Parses and checks `config.json`. Pooling and normalisation are those the architecture implies.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(json: &[u8]) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|e| invalid(e.to_string()))?;
        let scheme = Scheme::parse(&value)?.unwrap_or_default();
        let raw: RawConfig = serde_json::from_value(value).map_err(|e| invalid(e.to_string()))?;
        let causal = raw.causal()?;
        raw.refuse_what_is_missing_here()?;
        let count = |name: &str, value: Option<u64>, most: u64| match value {
            Some(v) if (1..=most).contains(&v) => Ok(v as u32),
            Some(v) => Err(invalid(format!("{name} is {v}, allowed is 1 to {most}"))),
            None => Err(invalid(format!("{name} is missing"))),
        };
        let fours = |name: &str, value: u32| match value % 4 {
            0 => Ok(value),
            _ => Err(invalid(format!("{name} is {value}, allowed are multiples of 4"))),
        };
        let hidden = fours("hidden_size", count("hidden_size", raw.hidden_size, 1 << 16)?)?;
        let query_heads = count("num_attention_heads", raw.num_attention_heads, 1 << 8)?;
        let key_heads =
            count("num_key_value_heads", raw.num_key_value_heads.or(raw.num_attention_heads), query_heads.into())?;
        if query_heads % key_heads != 0 {
            let message = format!("num_key_value_heads is {key_heads}, which does not divide num_attention_heads");
            return Err(invalid(format!("{message} {query_heads}")));
        }
        let head_dim = match raw.head_dim {
            None if hidden % query_heads != 0 => {
                let message = format!("head_dim is missing, and hidden_size {hidden} is not a multiple of");
                return Err(invalid(format!("{message} num_attention_heads {query_heads}")));
            }
            None => Some(u64::from(hidden / query_heads)),
            given => given,
        };
        // As f32, in which it is used: what is tiny there is zero.
        let norm_eps = raw.rms_norm_eps.unwrap_or(1e-6) as f32;
        if !(norm_eps > 0.0 && norm_eps < 1.0) {
            return Err(invalid(format!("rms_norm_eps is {norm_eps}, allowed is above 0 and below 1")));
        }
        let contextual = raw.auto_map.as_ref().is_some_and(AutoMap::is_contextual);
        Ok(Self {
            kind: if contextual { ModelKind::Context } else { ModelKind::Embed },
            hidden,
            layers: count("num_hidden_layers", raw.num_hidden_layers, 1 << 10)?,
            query_heads,
            key_heads,
            head_dim: fours("head_dim", count("head_dim", head_dim, 256)?)?,
            intermediate: fours("intermediate_size", count("intermediate_size", raw.intermediate_size, 1 << 17)?)?,
            vocabulary: count("vocab_size", raw.vocab_size, 1 << 24)?,
            norm_eps,
            rope_theta: raw.theta()?,
            max_positions: count("max_position_embeddings", raw.max_position_embeddings, 1 << 24)?,
            causal,
            pooling: if causal { Pooling::Last } else { Pooling::Mean },
            normalize: false,
            tanh_int8: raw.model_type.as_deref() == Some("bidirectional_pplx_qwen3"),
            scheme,
            late: None,
        })
    }
}

impl RawConfig {
    /// Whether attention is causal: the model type says, `use_bidirectional_attention` may say so too.
    fn causal(&self) -> Result<bool> {
        let flag = self.use_bidirectional_attention;
        match self.model_type.as_deref() {
            Some("bidirectional_pplx_qwen3") if flag == Some(false) => {
                let message = "use_bidirectional_attention is false, but model_type is bidirectional_pplx_qwen3";
                Err(invalid(message))
            }
            Some("bidirectional_pplx_qwen3") => Ok(false),
            Some("qwen3") => Ok(flag != Some(true)),
            Some(other) => {
                Err(Error::unsupported(format!("model_type {other}"), "allowed are bidirectional_pplx_qwen3 and qwen3"))
            }
            None => Err(invalid("model_type is missing")),
        }
    }

    fn theta(&self) -> Result<f64> {
        let nested = self.rope_parameters.as_ref().and_then(|p| p.rope_theta);
        match (self.rope_theta, nested) {
            (Some(a), Some(b)) if a != b => {
                Err(invalid(format!("rope_theta is {a}, but rope_parameters.rope_theta is {b}")))
            }
            (Some(t), _) | (None, Some(t)) if t.is_finite() && t > 1.0 => Ok(t),
            (Some(t), _) | (None, Some(t)) => Err(invalid(format!("rope_theta is {t}, allowed is above 1"))),
            (None, None) => Err(invalid("rope_theta is missing, and so is rope_parameters.rope_theta")),
        }
    }

    fn refuse_what_is_missing_here(&self) -> Result<()> {
        for (field, rope) in [("rope_parameters", &self.rope_parameters), ("rope_scaling", &self.rope_scaling)] {
            if let Some(kind) = rope.as_ref().and_then(|p| p.rope_type.as_deref()).filter(|&k| k != "default") {
                return Err(Error::unsupported(format!("{field}.rope_type {kind}"), "allowed is default"));
            }
        }
        if let Some(act) = self.hidden_act.as_deref().filter(|&a| a != "silu") {
            return Err(Error::unsupported(format!("hidden_act {act}"), "allowed is silu"));
        }
        if self.attention_bias == Some(true) {
            return Err(Error::unsupported("attention_bias true", "allowed is false"));
        }
        let sliding = self.layer_types.iter().flatten().find(|t| *t != "full_attention");
        if self.use_sliding_window == Some(true) || sliding.is_some() {
            return Err(Error::unsupported("sliding-window attention", "every layer must be full_attention"));
        }
        Ok(())
    }
}

fn parse_modules(json: &[u8]) -> Result<Vec<Module>> {
    let modules: Vec<Module> =
        serde_json::from_slice(json).map_err(|e| Error::config("modules.json", e.to_string()))?;
    for module in &modules {
        let Module { path, kind } = module;
        let known = ["Transformer", "Pooling", "Normalize", "FlexibleQuantizer", "Dense", "MultiVectorMask"];
        if !known.iter().any(|k| module.is(k)) {
            return Err(Error::unsupported(format!("module {kind}"), format!("allowed are {}", known.join(", "))));
        }
        if path.contains("..") || path.starts_with('/') || path.contains('\\') || path.contains(':') {
            let message = format!("path {path:?} of module {kind} leads out of the model's folder");
            return Err(Error::config("modules.json", message));
        }
    }
    Ok(modules)
}

fn parse_pooling(file: &str, json: &[u8]) -> Result<Pooling> {
    let raw: RawPooling = serde_json::from_slice(json).map_err(|e| Error::config(file, e.to_string()))?;
    let flags: Vec<&str> = raw
        .other
        .iter()
        .filter(|(_, value)| **value == serde_json::Value::Bool(true))
        .filter_map(|(name, _)| name.strip_prefix("pooling_mode_"))
        .collect();
    match (raw.pooling_mode.as_deref(), &flags[..]) {
        (Some("mean"), _) | (None, ["mean_tokens"]) => Ok(Pooling::Mean),
        (Some("lasttoken" | "last"), _) | (None, ["lasttoken"]) => Ok(Pooling::Last),
        (None, []) => Err(Error::config(file, "no pooling_mode is set, allowed are mean_tokens and lasttoken")),
        (mode, flags) => {
            let mode = mode.map_or_else(|| flags.join("+"), String::from);
            Err(Error::unsupported(format!("pooling mode {mode}"), "allowed are mean_tokens and lasttoken"))
        }
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::config("config.json", message)
}
