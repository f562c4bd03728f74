//! A tokenizer from `vocab.json` and `merges.txt`, where a repository has no `tokenizer.json`.
//!
//! It is put together as transformers' `Qwen2Tokenizer` does it (`models/qwen2/tokenization_qwen2.py`,
//! `tokenization_utils_tokenizers.py`): byte-level BPE after NFC, its pattern for words, and the added tokens of
//! `tokenizer_config.json`, or in older repositories of `added_tokens.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::hub::{self, Source};

const CONFIG: &str = "tokenizer_config.json";
const MAX_JSON: usize = 4 << 20;
/// Most added tokens; Qwen3 has 26.
const MAX_ADDED: usize = 65_536;
/// What a text is cut into before the merges (`PRETOKENIZE_REGEX` there).
const WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The classes whose tokenizer this is.
const CLASSES: [&str; 2] = ["Qwen2Tokenizer", "Qwen2TokenizerFast"];
/// The special tokens with names, in the order in which they are added (`SPECIAL_TOKENS_ATTRIBUTES` there).
const NAMED: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// What those are that no file names.
const USUAL: [(&str, &str); 3] =
    [("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")];

/// A token beside the vocabulary, as `tokenizer.json` lists it.
#[derive(Clone, Debug, Deserialize)]
struct Added {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

impl Added {
    fn plain(content: &str, special: bool) -> Self {
        let content = content.into();
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: None, special }
    }
}

/// The bytes of `tokenizer.json` in `source`, or of one with what `vocab.json` and `merges.txt` say. No file may have more
/// than `cap` bytes.
///
/// # Errors
/// [`Error::NotFound`] naming `tokenizer.json` where neither is there; [`Error::InvalidConfig`] naming the file that makes no
/// tokenizer; [`Error::Unsupported`] for another tokenizer than Qwen's; otherwise what kept a file from being read.
pub async fn tokenizer_json(source: &impl Source, cap: usize) -> Result<Vec<u8>> {
    let missing = match hub::read(source, "tokenizer.json", cap).await {
        Err(error @ Error::NotFound { .. }) => error,
        read => return read,
    };
    let Some(vocabulary) = hub::read_optional(source, "vocab.json", cap).await? else { return Err(missing) };
    let Some(merges) = hub::read_optional(source, "merges.txt", cap).await? else { return Err(missing) };
    let settings = match hub::read_optional(source, CONFIG, MAX_JSON).await? {
        Some(json) => serde_json::from_slice(&json).map_err(|e| Error::config(CONFIG, e.to_string()))?,
        None => Map::new(),
    };
    let older = match settings.contains_key("added_tokens_decoder") {
        true => Older::default(),
        false => Older::load(source).await?,
    };
    let built = built(&vocabulary, &merges, settings, older)?;
    serde_json::to_vec(&built).map_err(|e| Error::config("vocab.json", e.to_string()))
}

/// What repositories had before `added_tokens_decoder`.
#[derive(Default)]
struct Older {
    /// `added_tokens.json`: ids by token.
    added: BTreeMap<String, u32>,
    /// `special_tokens_map.json`
    special: Map<String, Value>,
}

impl Older {
    async fn load(source: &impl Source) -> Result<Self> {
        Ok(Self {
            added: optional(source, "added_tokens.json").await?,
            special: optional(source, "special_tokens_map.json").await?,
        })
    }
}

async fn optional<T: Default + serde::de::DeserializeOwned>(source: &impl Source, file: &str) -> Result<T> {
    match hub::read_optional(source, file, MAX_JSON).await? {
        Some(json) => serde_json::from_slice(&json).map_err(|e| Error::config(file, e.to_string())),
        None => Ok(T::default()),
    }
}

/// The whole of `tokenizer.json`.
fn built(vocabulary: &[u8], merges: &[u8], mut settings: Map<String, Value>, older: Older) -> Result<Value> {
    for (key, value) in older.special {
        settings.insert(key, value);
    }
    check_class(&settings)?;
    let vocabulary: BTreeMap<String, u32> =
        serde_json::from_slice(vocabulary).map_err(|e| Error::config("vocab.json", e.to_string()))?;
    let merges = merges_of(merges, &vocabulary)?;
    let named = named(&settings)?;
    let tokens =
        added(&settings, &older.added, &named, vocabulary.len() as u32, |token| vocabulary.get(token).copied())?;
    let post_processor = post_processor(&settings, &named, &tokens)?;
    let added_tokens: Vec<Value> = tokens.iter().map(|(id, token)| in_json(*id, token)).collect();
    let prefix = flag(&settings, "add_prefix_space")?;
    let bytes = |prefix: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": true, "use_regex": false});
    Ok(json!({
        "version": "1.0",
        "added_tokens": added_tokens,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": false},
            bytes(prefix),
        ]},
        "post_processor": post_processor,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": merges,
        },
    }))
}

/// Only Qwen's tokenizers are put together in this way.
fn check_class(settings: &Map<String, Value>) -> Result<()> {
    let class = settings.get("tokenizer_class").and_then(Value::as_str);
    if let Some(class) = class.filter(|class| !CLASSES.contains(class)) {
        let what = format!("a tokenizer of vocab.json and merges.txt whose {CONFIG} has tokenizer_class {class:?}");
        let message = format!("allowed are {}, or a tokenizer.json", CLASSES.join(" and "));
        return Err(Error::unsupported(what, message));
    }
    if flag(settings, "split_special_tokens")? {
        return Err(Error::unsupported(format!("split_special_tokens of {CONFIG}"), "allowed is false"));
    }
    Ok(())
}

fn flag(settings: &Map<String, Value>, key: &str) -> Result<bool> {
    match settings.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(other) => Err(Error::config(CONFIG, format!("{key} is {other}, allowed are true and false"))),
    }
}

/// The pairs of `merges.txt`: two symbols on a line, after a line with the version. The library takes for granted that
/// the vocabulary has both and what they become.
fn merges_of<'a>(text: &'a [u8], vocabulary: &BTreeMap<String, u32>) -> Result<Vec<[&'a str; 2]>> {
    let invalid = |message: String| Error::config("merges.txt", message);
    let text = std::str::from_utf8(text).map_err(|e| invalid(format!("is not UTF-8 at byte {}", e.valid_up_to())))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with("#version") && !line.is_empty());
    let mut pairs = Vec::new();
    for (number, line) in lines {
        match line.split_once(' ') {
            Some((first, second)) if !first.is_empty() && !second.is_empty() && !second.contains(' ') => {
                let merged = format!("{first}{second}");
                if let Some(symbol) = [first, second, &merged].into_iter().find(|s| !vocabulary.contains_key(*s)) {
                    return Err(invalid(format!("line {number}: {symbol:?} is not in vocab.json")));
                }
                pairs.push([first, second]);
            }
            _ => return Err(invalid(format!("line {number} is not two symbols with a space between them"))),
        }
    }
    Ok(pairs)
}

/// A token as transformers writes one: its text, or what else is kept of it as well.
fn token_of(value: &Value, key: &str, special: bool) -> Result<Added> {
    let invalid = |message: String| Error::config(CONFIG, format!("{key}: {message}"));
    let token = match value {
        Value::String(text) => Added::plain(text, special),
        Value::Object(_) => serde_json::from_value(value.clone()).map_err(|e| invalid(e.to_string()))?,
        other => return Err(invalid(format!("is {other}, allowed is a text or an object with content"))),
    };
    if token.content.is_empty() {
        return Err(invalid("is empty".into()));
    }
    Ok(token)
}

/// The special tokens with names.
fn named(settings: &Map<String, Value>) -> Result<BTreeMap<&'static str, Added>> {
    let mut named = BTreeMap::new();
    for key in NAMED {
        match settings.get(key) {
            Some(Value::Null) => {}
            Some(value) => drop(named.insert(key, Added { special: true, ..token_of(value, key, true)? })),
            None => {
                let usual = USUAL.iter().find(|(name, _)| *name == key);
                named.extend(usual.map(|(name, token)| (*name, Added::plain(token, true))));
            }
        }
    }
    Ok(named)
}

/// All added tokens with their ids, rising: those that the files list, then special tokens that are not among them. One
/// that is in the vocabulary has its id there; the others follow the vocabulary.
fn added(
    settings: &Map<String, Value>,
    older: &BTreeMap<String, u32>,
    named: &BTreeMap<&'static str, Added>,
    size: u32,
    in_vocabulary: impl Fn(&str) -> Option<u32>,
) -> Result<Vec<(u32, Added)>> {
    let is_special = |content: &str| named.values().any(|token| token.content == content);
    let mut listed: BTreeMap<u32, Added> = BTreeMap::new();
    if let Some(decoder) = settings.get("added_tokens_decoder") {
        let invalid = || Error::config(CONFIG, "added_tokens_decoder is not an object of tokens by their ids");
        for (id, token) in decoder.as_object().ok_or_else(invalid)? {
            let token = token_of(token, "added_tokens_decoder", false)?;
            listed.insert(id.parse().map_err(|_| invalid())?, token);
        }
    }
    listed.extend(older.iter().map(|(content, id)| (*id, Added::plain(content, is_special(content)))));
    let mut tokens: Vec<(u32, Added)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = size;
    let mut add = |token: Added, wanted: Option<u32>| {
        if !seen.insert(token.content.clone()) {
            return Ok(());
        }
        let id = in_vocabulary(&token.content).unwrap_or(next);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != id) {
            let Added { content, .. } = &token;
            let message =
                format!("token {content:?} has id {wanted}, but after vocab.json and those before it comes {id}");
            return Err(Error::config(if older.is_empty() { CONFIG } else { "added_tokens.json" }, message));
        }
        if tokens.len() >= MAX_ADDED {
            return Err(Error::config(CONFIG, format!("has more than {MAX_ADDED} added tokens")));
        }
        next = next.max(id.saturating_add(1));
        tokens.push((id, token));
        Ok(())
    };
    for (id, token) in listed {
        let special = token.special || is_special(&token.content);
        add(Added { special, ..token }, Some(id))?;
    }
    for key in NAMED {
        named.get(key).map_or(Ok(()), |token| add(token.clone(), None))?;
    }
    for key in ["additional_special_tokens", "extra_special_tokens"] {
        for token in settings.get(key).and_then(Value::as_array).into_iter().flatten() {
            add(Added { special: true, ..token_of(token, key, true)? }, None)?;
        }
    }
    tokens.sort_by_key(|(id, _)| *id);
    Ok(tokens)
}

fn in_json(id: u32, token: &Added) -> Value {
    let Added { content, single_word, lstrip, rstrip, normalized, special } = token;
    json!({
        "id": id, "content": content, "single_word": single_word, "lstrip": lstrip, "rstrip": rstrip,
        "normalized": normalized.unwrap_or(!special), "special": special,
    })
}

/// What `add_bos_token` and `add_eos_token` put around every text; null if nothing.
fn post_processor(
    settings: &Map<String, Value>,
    named: &BTreeMap<&'static str, Added>,
    tokens: &[(u32, Added)],
) -> Result<Value> {
    let around = |flag_key: &str, key: &str| -> Result<Option<(String, u32)>> {
        let token = if flag(settings, flag_key)? { named.get(key) } else { None };
        Ok(token.and_then(|token| {
            let (id, _) = tokens.iter().find(|(_, other)| other.content == token.content)?;
            Some((token.content.clone(), *id))
        }))
    };
    let (before, after) = (around("add_bos_token", "bos_token")?, around("add_eos_token", "eos_token")?);
    if before.is_none() && after.is_none() {
        return Ok(Value::Null);
    }
    let special = |token: &(String, u32)| json!({"SpecialToken": {"id": token.0, "type_id": 0}});
    let mut single: Vec<Value> = before.iter().map(special).collect();
    single.push(json!({"Sequence": {"id": "A", "type_id": 0}}));
    single.extend(after.iter().map(special));
    let both = before.iter().chain(&after);
    let known: Map<String, Value> =
        both.map(|(token, id)| (token.clone(), json!({"id": token, "ids": [id], "tokens": [token]}))).collect();
    let pair = json!([{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]);
    Ok(json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known}))
}
