//! Text to token ids, as the model's own `tokenizer.json` says.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{PostProcessor, Tokenizer as Inner};

use super::Config;
use crate::error::{Error, Result};
use crate::hub::{self, Source};

/// Largest `tokenizer.json` accepted, in bytes; Qwen3's has 11 million.
const MAX_TOKENIZER: usize = 64 << 20;
const MAX_JSON: usize = 4 << 20;

/// The tokenizer of a model, with the model's limit on length.
pub struct Tokenizer {
    inner: Inner,
    vocabulary: u32,
    max_tokens: u32,
    /// Tokens that the post-processor adds to every text.
    added: usize,
}

/// A text as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, with whatever the tokenizer's own post-processor adds.
    pub ids: Vec<u32>,
    /// The text was longer than the model's limit, and its end was cut off.
    pub truncated: bool,
}

#[derive(Deserialize)]
struct Lengths {
    model_max_length: Option<f64>,
    max_seq_length: Option<f64>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and the limit from `sentence_bert_config.json` or, where that says nothing, the
    /// smaller of `tokenizer_config.json`'s `model_max_length` and the model's positions, as sentence-transformers
    /// does.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if it cannot be read or has ids beyond the vocabulary, or what kept a file from
    /// being read.
    pub async fn load(source: &impl Source, config: &Config) -> Result<Self> {
        let json = hub::read(source, "tokenizer.json", MAX_TOKENIZER).await?;
        let own = lengths(source, "sentence_bert_config.json").await?.and_then(|l| l.max_seq_length);
        let general = lengths(source, "tokenizer_config.json").await?.and_then(|l| l.model_max_length);
        let positions = f64::from(config.max_positions);
        let limit = own.or(general).unwrap_or(positions).min(positions);
        if limit < 1.0 {
            return Err(Error::config("tokenizer_config.json", format!("the length limit is {limit}, at least 1")));
        }
        Self::parse(&json, config.vocabulary, limit as u32)
    }

    /// Parses `tokenizer.json` for a model of `vocabulary` ids and `max_tokens` tokens a text. Truncation and padding
    /// settings in the file are ignored.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`].
    pub fn parse(json: &[u8], vocabulary: u32, max_tokens: u32) -> Result<Self> {
        let invalid = |message: String| Error::InvalidTokenizer { message };
        let mut parts: BTreeMap<String, &RawValue> =
            serde_json::from_slice(json).map_err(|e| invalid(e.to_string()))?;
        // Not wanted: the file's own truncation and padding, and the decoder, whose parser panics on bad input.
        parts.retain(|name, _| !matches!(name.as_str(), "truncation" | "padding" | "decoder"));
        let json = serde_json::to_vec(&parts).map_err(|e| invalid(e.to_string()))?;
        let inner = Inner::from_bytes(json).map_err(|e| invalid(e.to_string()))?;
        let highest = inner.get_vocab(true).into_iter().max_by_key(|(_, id)| *id);
        if let Some((token, id)) = highest.filter(|(_, id)| *id >= vocabulary) {
            return Err(invalid(format!("token {token:?} has id {id}, the model's vocab_size is {vocabulary}")));
        }
        let added = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if added >= max_tokens as usize {
            return Err(invalid(format!("it adds {added} tokens to every text, the model's limit is {max_tokens}")));
        }
        Ok(Self { inner, vocabulary, max_tokens, added })
    }

    /// The most tokens a text may have; longer ones are cut.
    pub fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    /// Tokenises one text.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if the tokenizer fails, or makes an id beyond the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let invalid = |message: String| Error::InvalidTokenizer { message };
        let invalid_tokenizer = |e: tokenizers::Error| invalid(e.to_string());
        // Cut before the post-processor adds its tokens, so that a cut text keeps them.
        let mut content = self.inner.encode_fast(text, false).map_err(invalid_tokenizer)?;
        let room = self.max_tokens as usize - self.added;
        let truncated = content.len() > room;
        content.truncate(room, 0, TruncationDirection::Right);
        let encoding = self.inner.post_process(content, None, true).map_err(invalid_tokenizer)?;
        let ids = encoding.get_ids().to_vec();
        match ids.iter().find(|&&id| id >= self.vocabulary) {
            Some(id) => Err(invalid(format!("made id {id}, the model's vocab_size is {}", self.vocabulary))),
            None => Ok(Tokens { ids, truncated }),
        }
    }
}

async fn lengths(source: &impl Source, file: &str) -> Result<Option<Lengths>> {
    match hub::read_optional(source, file, MAX_JSON).await? {
        Some(json) => serde_json::from_slice(&json).map(Some).map_err(|e| Error::config(file, e.to_string())),
        None => Ok(None),
    }
}
