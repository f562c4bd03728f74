//! Tokens that other files than `tokenizer.json` name: transformers adds them to the tokenizer, where texts then match them.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::config::MAX_JSON;
use crate::collect::inserted;
use crate::error::{Error, Result};
use crate::hub::{self, Source};
use crate::json;

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
/// The tokens with a role, in the order in which transformers adds them.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Those without one: lists, or objects with names that do not matter.
const LISTS: [&str; 3] = ["extra_special_tokens", "additional_special_tokens", "model_specific_special_tokens"];
/// What `Qwen2Tokenizer` takes for a role that no file names.
const QWEN: (&str, [&str; 3]) = ("<|endoftext|>", ["unk_token", "eos_token", "pad_token"]);

/// A token as transformers writes it.
#[derive(Deserialize)]
struct Written {
    content: String,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

impl Written {
    fn parse(file: &str, key: &str, value: &Value) -> Result<Self> {
        if let Value::String(content) = value {
            let content = content.clone();
            return Ok(Self { content, lstrip: false, rstrip: false, single_word: false });
        }
        serde_json::from_value(value.clone()).map_err(|e| Error::config(file, format!("{key}: {e}")))
    }

    fn behaves_as(&self, token: &AddedToken) -> bool {
        (self.lstrip, self.rstrip, self.single_word) == (token.lstrip, token.rstrip, token.single_word)
    }
}

/// Adds the tokens that are named and not in `tokenizer.json`, as transformers does, and returns the ids of those that it
/// calls special. `config` is `tokenizer_config.json`.
///
/// # Errors
/// [`Error::Unsupported`] if a file describes tokens otherwise than `tokenizer.json`; [`Error::InvalidConfig`], or what kept
/// a file from being read.
pub(super) async fn add(
    source: &impl Source,
    config: &Map<String, Value>,
    is_qwen: bool,
    tokenizer: &mut Inner,
) -> Result<HashSet<u32>> {
    let known: BTreeMap<String, AddedToken> =
        inserted(tokenizer.get_added_tokens_decoder().into_values().map(|token| (token.content.clone(), token)));
    let mut named = config.clone();
    match decoder(config)? {
        Some(tokens) => {
            let tokens: Vec<Written> =
                tokens.values().map(|v| Written::parse(CONFIG, "added_tokens_decoder", v)).collect::<Result<_>>()?;
            agree(&tokens, &known)?;
            let lost = known.keys().find(|content| tokens.iter().all(|token| token.content != **content));
            if let Some(content) = lost.filter(|_| is_qwen) {
                return Err(differs(content, "is in tokenizer.json and not in added_tokens_decoder of", CONFIG));
            }
        }
        // Older files, which transformers reads where that is not there.
        None => {
            if let Some(map) = read(source, SPECIAL).await? {
                named.extend(map);
            }
            let added = read(source, ADDED).await?.unwrap_or_default();
            if let Some(content) = added.keys().find(|content| !known.contains_key(*content)) {
                return Err(differs(content, "is not in tokenizer.json, but in", ADDED));
            }
        }
    }
    let mut special = Vec::new();
    for role in ROLES {
        match named.get(role) {
            Some(Value::Null) => {}
            Some(value) => special.push(Written::parse(CONFIG, role, value)?),
            None if is_qwen && QWEN.1.contains(&role) => {
                special.push(Written::parse(CONFIG, role, &Value::String(QWEN.0.into()))?);
            }
            None => {}
        }
    }
    for list in LISTS {
        let values: Vec<&Value> = match named.get(list) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(values)) => values.iter().collect(),
            Some(Value::Object(map)) => map.values().collect(),
            Some(_) => return Err(Error::config(CONFIG, format!("{list} is neither a list nor an object"))),
        };
        special.extend(values.into_iter().map(|v| Written::parse(CONFIG, list, v)).collect::<Result<Vec<_>>>()?);
    }
    let failed = |error: tokenizers::Error| Error::InvalidTokenizer { message: error.to_string() };
    for token in special.iter().filter(|token| !known.contains_key(&token.content) && !token.content.is_empty()) {
        // Of such a token transformers takes the text alone, whatever else is written of it.
        tokenizer.add_special_tokens([AddedToken::from(token.content.clone(), true)]).map_err(failed)?;
    }
    Ok(special.iter().filter_map(|token| tokenizer.token_to_id(&token.content)).collect())
}

/// Each of `tokens` is known, and takes the same text.
fn agree(tokens: &[Written], known: &BTreeMap<String, AddedToken>) -> Result<()> {
    for token in tokens {
        match known.get(&token.content) {
            Some(one) if token.behaves_as(one) => {}
            Some(_) => return Err(differs(&token.content, "has other lstrip, rstrip or single_word in", CONFIG)),
            None => return Err(differs(&token.content, "is not in tokenizer.json, but in", CONFIG)),
        }
    }
    Ok(())
}

fn differs(content: &str, what: &str, file: &str) -> Error {
    let content: String = content.chars().take(80).collect();
    let what = format!("the added token {content:?} that {what} {file}");
    Error::unsupported(what, "allowed are the added tokens of tokenizer.json, as they are there")
}

fn decoder(config: &Map<String, Value>) -> Result<Option<&Map<String, Value>>> {
    match config.get("added_tokens_decoder") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Error::config(CONFIG, "added_tokens_decoder is no object")),
    }
}

async fn read(source: &impl Source, file: &str) -> Result<Option<Map<String, Value>>> {
    match hub::read_optional(source, file, MAX_JSON).await? {
        Some(bytes) => Ok(Some(json::parse_as(file, &bytes)?)),
        None => Ok(None),
    }
}
