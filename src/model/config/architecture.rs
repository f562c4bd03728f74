//! `config.json`: the encoder itself.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::{self, Notices, shortened};
use super::{Config, FILE, ModelKind, Pooling, invalid, rope};
use crate::checkpoint::Scheme;
use crate::error::{Error, Result};

/// Perplexity's own type: Qwen3 with attention in both directions and int8 vectors.
const PPLX: &str = "bidirectional_pplx_qwen3";
/// `sliding_window` and `max_window_layers` where a `Qwen3Config` does not say.
const SLIDING_WINDOW: u64 = 4096;
const MAX_WINDOW_LAYERS: u64 = 28;

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
    max_position_embeddings: Option<u64>,
    is_causal: Option<bool>,
    use_bidirectional_attention: Option<bool>,
    hidden_act: Option<String>,
    attention_bias: Option<bool>,
    use_sliding_window: Option<bool>,
    sliding_window: Option<u64>,
    max_window_layers: Option<u64>,
    layer_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct AutoMap {
    #[serde(rename = "AutoModel")]
    model: Option<Value>,
}

impl AutoMap {
    /// The model's class, which is code of the repository.
    fn class(&self) -> Option<&str> {
        self.model.as_ref().and_then(Value::as_str).map(|name| name.rsplit('.').next().unwrap_or(name))
    }
}

/// Reads `config.json`. Pooling and normalization are those that the architecture implies.
///
/// # Errors
/// As [`Config::load`].
pub(super) fn parse(config: &Map<String, Value>, notices: &mut Notices) -> Result<Config> {
    notices.check(FILE, "", config, keys::CONFIG)?;
    let value = Value::Object(config.clone());
    let scheme = Scheme::parse(&value)?.unwrap_or_default();
    let raw: RawConfig = serde_json::from_value(value).map_err(|e| invalid(e.to_string()))?;
    let causal = raw.causal()?;
    if let Some(act) = raw.hidden_act.as_deref().filter(|&act| act != "silu" && act != "swish") {
        return Err(Error::unsupported(format!("hidden_act {act}"), "allowed are silu and swish, which is the same"));
    }
    if let Some(class) = raw.foreign_class() {
        let message = "code of the repository, which is not run: vectors are those of transformers' own qwen3";
        notices.add(format!("{FILE}: auto_map.AutoModel names {class}, {message}"));
    }
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
    let max_positions = count("max_position_embeddings", raw.max_position_embeddings, 1 << 24)?;
    let layers = count("num_hidden_layers", raw.num_hidden_layers, 1 << 10)?;
    let contextual = raw.auto_map.as_ref().and_then(AutoMap::class).is_some_and(|c| c.ends_with("ContextualModel"));
    Ok(Config {
        kind: if contextual { ModelKind::Context } else { ModelKind::Embed },
        hidden,
        layers,
        query_heads,
        key_heads,
        head_dim: fours("head_dim", count("head_dim", head_dim, 256)?)?,
        intermediate: fours("intermediate_size", count("intermediate_size", raw.intermediate_size, 1 << 17)?)?,
        vocabulary: count("vocab_size", raw.vocab_size, 1 << 24)?,
        norm_eps,
        rope: rope::parse(config, max_positions, notices)?,
        max_positions,
        causal,
        windows: raw.windows(causal, layers)?,
        attention_bias: raw.attention_bias == Some(true),
        pooling: if causal { Pooling::Last } else { Pooling::Mean },
        include_prompt: true,
        head: Vec::new(),
        normalize: false,
        tanh_int8: raw.model_type.as_deref() == Some(PPLX),
        scheme,
        late: None,
        prompts: Default::default(),
        truncate: None,
        lengths: Default::default(),
        foreign_class: raw.foreign_class(),
        notices: Vec::new(),
    })
}

impl RawConfig {
    fn is_pplx(&self) -> bool {
        self.model_type.as_deref() == Some(PPLX)
    }

    /// Whether attention is causal: the model type says; `is_causal` or `use_bidirectional_attention` may say otherwise for
    /// Qwen3.
    fn causal(&self) -> Result<bool> {
        let (is_causal, both) = (self.is_causal, self.use_bidirectional_attention);
        match self.model_type.as_deref() {
            Some(PPLX) if both == Some(false) => {
                Err(invalid(format!("use_bidirectional_attention is false, but model_type is {PPLX}")))
            }
            Some(PPLX) if is_causal == Some(true) => {
                Err(invalid(format!("is_causal is true, but model_type is {PPLX}")))
            }
            Some(PPLX) => Ok(false),
            Some("qwen3") => match (is_causal, both) {
                (Some(causal), Some(both)) if causal == both => {
                    Err(invalid(format!("is_causal is {causal}, and so is use_bidirectional_attention")))
                }
                (Some(causal), _) => Ok(causal),
                (None, both) => Ok(both != Some(true)),
            },
            Some(other) => {
                Err(Error::unsupported(format!("model_type {other}"), format!("allowed are {PPLX} and qwen3")))
            }
            None => Err(invalid("model_type is missing")),
        }
    }

    /// How many places each layer sees around a token, itself included: as transformers' `Qwen3Config` and its masks have
    /// it, where a causal window counts the token itself and a window in both directions does not.
    fn windows(&self, causal: bool, layers: u32) -> Result<Vec<Option<u32>>> {
        let layers = layers as usize;
        let sliding = match &self.layer_types {
            Some(types) if types.len() != layers => {
                return Err(invalid(format!("layer_types has {} entries, num_hidden_layers is {layers}", types.len())));
            }
            Some(types) => {
                if let Some(other) =
                    types.iter().find(|t| !matches!(t.as_str(), "full_attention" | "sliding_attention"))
                {
                    let what = format!("{} in layer_types of {FILE}", shortened(&Value::from(other.as_str())));
                    return Err(Error::unsupported(what, "allowed are full_attention and sliding_attention"));
                }
                types.iter().map(|t| t == "sliding_attention").collect()
            }
            None if self.use_sliding_window == Some(true) => {
                let first = self.max_window_layers.unwrap_or(MAX_WINDOW_LAYERS);
                (0..layers).map(|layer| layer as u64 >= first).collect()
            }
            None => vec![false; layers],
        };
        if !sliding.contains(&true) {
            return Ok(vec![None; layers]);
        }
        if self.is_pplx() {
            return Err(Error::unsupported(
                format!("sliding-window attention with model_type {PPLX}"),
                "allowed is qwen3",
            ));
        }
        if self.use_sliding_window != Some(true) {
            return Err(invalid("layer_types has sliding_attention, but use_sliding_window is not true"));
        }
        let window = self.sliding_window.unwrap_or(SLIDING_WINDOW);
        if !(1..=1 << 24).contains(&window) {
            return Err(invalid(format!("sliding_window is {window}, allowed is 1 to {}", 1 << 24)));
        }
        let window = window as u32 + u32::from(!causal);
        Ok(sliding.into_iter().map(|slides| slides.then_some(window)).collect())
    }

    /// Code of the repository is never run; that of Perplexity's models is built in.
    fn foreign_class(&self) -> Option<String> {
        let class = self.auto_map.as_ref().and_then(AutoMap::class).filter(|_| !self.is_pplx());
        class.map(String::from)
    }
}
