//! `sentence_bert_config.json`: how sentence-transformers loads an encoder and cuts its texts.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::MAX_JSON;
use super::keys::{self, Keys, Notices, shortened};
use crate::error::{Error, Result};
use crate::hub::{self, Source};
use crate::json;

/// The file.
pub(super) const FILE: &str = "sentence_bert_config.json";
/// What sentence-transformers reads where that is not there.
const OTHER_FILES: [&str; 6] = [
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Limits on texts, and what is done with them before they are tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lengths {
    /// Most tokens of a text; `None` is what the tokenizer's own file says.
    pub max_tokens: Option<f64>,
    /// Texts are put in lower case.
    pub lowercase: bool,
}

/// What the file says.
#[derive(Default)]
pub(super) struct Transformer {
    pub(super) lengths: Lengths,
    /// Fields that are put in the place of those of `config.json`.
    pub(super) config: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTransformer {
    max_seq_length: Option<f64>,
    do_lower_case: Option<bool>,
}

impl Transformer {
    /// Reads the file, where there is one.
    ///
    /// # Errors
    /// As [`Transformer::parse`]; [`Error::Unsupported`] where it has one of the names of older models, or what kept it from
    /// being read.
    pub(super) async fn load(source: &impl Source, notices: &mut Notices) -> Result<Self> {
        if let Some(bytes) = hub::read_optional(source, FILE, MAX_JSON).await? {
            return Self::parse(&bytes, notices);
        }
        let listed = source.list().await?.unwrap_or_default();
        match listed.iter().find(|name| OTHER_FILES.contains(&name.as_str())) {
            Some(name) => Err(Error::unsupported(format!("the file {name}"), format!("allowed is {FILE}: rename it"))),
            None => Ok(Self::default()),
        }
    }

    /// # Errors
    /// [`Error::InvalidConfig`], or [`Error::Unsupported`] for an argument that this does not have.
    fn parse(bytes: &[u8], notices: &mut Notices) -> Result<Self> {
        let value = json::parse(FILE, bytes)?;
        let Some(object) = value.as_object() else {
            return Err(Error::config(FILE, format!("is {}, allowed are objects", shortened(&value))));
        };
        notices.check(FILE, "", object, keys::TRANSFORMER)?;
        arguments(object, "model", keys::MODEL_ARGS)?;
        let tokenizer = arguments(object, "tokenizer", keys::TOKENIZER_ARGS)?;
        let mut config =
            nested(object, ["config_args", "config_kwargs"])?.map(|(_, map)| map.clone()).unwrap_or_default();
        config.retain(|key, _| !keys::CONFIG_ARGS_HARMLESS.contains(&key.as_str()));
        let given = match tokenizer.and_then(|map| map.get("model_max_length")).filter(|value| !value.is_null()) {
            None => None,
            Some(value) => Some(value.as_f64().ok_or_else(|| {
                Error::config(FILE, format!("model_max_length is {}, allowed are numbers", shortened(value)))
            })?),
        };
        let raw: RawTransformer =
            serde_json::from_value(value.clone()).map_err(|e| Error::config(FILE, e.to_string()))?;
        for (key, limit) in [("model_max_length", given), ("max_seq_length", raw.max_seq_length)] {
            if let Some(limit) = limit.filter(|limit| *limit < 1.0) {
                return Err(Error::config(
                    FILE,
                    format!("{key} is {limit}, allowed are numbers of at least 1, and null"),
                ));
            }
        }
        let lengths = Lengths { max_tokens: given.or(raw.max_seq_length), lowercase: raw.do_lower_case == Some(true) };
        Ok(Self { lengths, config })
    }
}

/// The object under either of the two names that it has had; the newer one is the second.
fn nested<'a>(
    object: &'a Map<String, Value>,
    names: [&'static str; 2],
) -> Result<Option<(&'static str, &'a Map<String, Value>)>> {
    // The older name, where it is there, replaces the newer.
    for name in names {
        match object.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => return Ok(Some((name, map))),
            Some(other) => {
                return Err(Error::config(FILE, format!("{name} is {}, allowed are objects", shortened(other))));
            }
        }
    }
    Ok(None)
}

/// Arguments of a part of the loading, each of which must be known: what they do is up to transformers.
fn arguments<'a>(object: &'a Map<String, Value>, part: &str, keys: Keys) -> Result<Option<&'a Map<String, Value>>> {
    let names = match part {
        "model" => ["model_args", "model_kwargs"],
        _ => ["tokenizer_args", "processor_kwargs"],
    };
    let Some((name, map)) = nested(object, names)? else { return Ok(None) };
    let mut unknown = Notices::default();
    unknown.check(FILE, &format!("{name}."), map, keys)?;
    match unknown.0.into_iter().next() {
        None => Ok(Some(map)),
        Some(_) => {
            let known = |key: &&String| keys.iter().any(|(name, _)| name == *key);
            let key = map.keys().find(|key| !known(key)).map(String::as_str).unwrap_or_default();
            let allowed: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
            Err(Error::unsupported(format!("{name}.{key} in {FILE}"), format!("allowed are {}", allowed.join(", "))))
        }
    }
}
