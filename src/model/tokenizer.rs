//! Text to token ids, as the model's own `tokenizer.json` says.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Sequence};
use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{AddedToken, AddedVocabulary, Encoding, PostProcessor, Tokenizer as Inner};

use super::config::MAX_JSON;
use super::special::SpecialTokens;
use super::{Config, ModelKind, added_tokens, byte_pairs, merges};
use crate::error::{Error, Result};
use crate::hub::{self, Source};
use crate::json;

/// Largest `tokenizer.json` accepted, in bytes; Qwen3's has 11 million.
const MAX_TOKENIZER: usize = 64 << 20;
const FILE: &str = "tokenizer_config.json";

/// The tokenizer of a model, with the model's limit on length.
pub struct Tokenizer {
    inner: Inner,
    vocabulary: u32,
    max_tokens: u32,
    /// Tokens that the post-processor adds to every text.
    added: usize,
    /// The end at which long texts lose tokens.
    cut_at: TruncationDirection,
    /// Tokens that transformers calls special: those with a role, and what is listed beside them.
    special: HashSet<u32>,
    separator: Option<Separator>,
    /// What there is to say of the files that is no error.
    notices: Vec<String>,
}

/// The token between the chunks of a document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Separator {
    /// Its text. Within a chunk this is text as any other.
    pub token: String,
    /// Its id.
    pub id: u32,
}

/// A text as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Ids, with whatever the tokenizer's own post-processor adds.
    pub ids: Vec<u32>,
    /// The text was longer than the model's limit, and its end was cut off.
    pub truncated: bool,
}

/// A text as the model sees it, and where each token stands in it.
pub(super) struct Placed {
    pub(super) ids: Vec<u32>,
    /// Bytes of the text; `None` for tokens that the tokenizer adds. Several tokens of one character have its range.
    pub(super) ranges: Vec<Option<(usize, usize)>>,
    pub(super) truncated: bool,
}

/// `tokenizer_config.json`, as far as it decides what becomes of a text.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSettings {
    model_max_length: Option<f64>,
    truncation_side: Option<String>,
    tokenizer_class: Option<String>,
    add_prefix_space: Option<bool>,
    split_special_tokens: Option<bool>,
}

/// `truncation` of `tokenizer.json`.
#[derive(Deserialize)]
struct Truncation {
    direction: Option<String>,
}

impl RawSettings {
    /// transformers makes this tokenizer by itself, of the vocabulary and the merges alone.
    fn is_qwen(&self) -> bool {
        self.tokenizer_class.as_deref().is_some_and(|class| class.starts_with("Qwen2Tokenizer"))
    }

    /// What transformers would do to texts, and this does not.
    fn check(&self) -> Result<()> {
        let prefix = self.is_qwen() && self.add_prefix_space == Some(true);
        for (key, is_on) in
            [("add_prefix_space", prefix), ("split_special_tokens", self.split_special_tokens == Some(true))]
        {
            if is_on {
                return Err(Error::unsupported(format!("{key} true in {FILE}"), "allowed are false and null"));
            }
        }
        Ok(())
    }
}

impl Tokenizer {
    /// Reads `tokenizer.json`, or makes one of `vocab.json` and `merges.txt`. The limit is that of `sentence_bert_config.json`
    /// or, where that says nothing, the smaller of `tokenizer_config.json`'s `model_max_length` and the model's positions, as
    /// sentence-transformers has it. A context model's separator is its `sep_token`, or where it has none its `eos_token`; from then on that
    /// token's text is text as any other.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if it cannot be read or has ids beyond the vocabulary, or what kept a file from
    /// being read.
    pub async fn load(source: &impl Source, config: &Config) -> Result<Self> {
        let json = byte_pairs::tokenizer_json(source, MAX_TOKENIZER).await?;
        let settings: Map<String, Value> = match hub::read_optional(source, FILE, MAX_JSON).await? {
            Some(bytes) => json::parse_as(FILE, &bytes)?,
            None => Map::new(),
        };
        let raw: RawSettings =
            serde_json::from_value(settings.clone().into()).map_err(|e| Error::config(FILE, e.to_string()))?;
        raw.check()?;
        let positions = f64::from(config.max_positions);
        let limit = config.lengths.max_tokens.or(raw.model_max_length).unwrap_or(positions).min(positions);
        if limit < 1.0 {
            return Err(Error::config(
                FILE,
                format!("model_max_length is {limit}, allowed are numbers of at least 1, and null"),
            ));
        }
        let mut tokenizer = Self::parse(&json, config.vocabulary, limit as u32)?;
        let separator = match config.kind {
            ModelKind::Context => Some(tokenizer.known_separator(SpecialTokens::load(source).await?)?),
            _ => None,
        };
        tokenizer.special = added_tokens::add(source, &settings, raw.is_qwen(), &mut tokenizer.inner).await?;
        tokenizer.check_ids()?;
        if raw.is_qwen() && !tokenizer.splits_as_qwen() {
            tokenizer.notices.push(format!(
                "tokenizer.json has another normalizer or pre_tokenizer than {}, which {FILE} names: transformers 5 takes the \
                 class's own, and the file's are taken here",
                raw.tokenizer_class.as_deref().unwrap_or_default()
            ));
        }
        tokenizer.cut_at = match raw.truncation_side.as_deref() {
            None => tokenizer.cut_at,
            Some("right") => TruncationDirection::Right,
            Some("left") => TruncationDirection::Left,
            Some(other) => {
                return Err(Error::config(FILE, format!("truncation_side is {other:?}, allowed are left and right")));
            }
        };
        if config.lengths.lowercase {
            tokenizer.put_in_lower_case()?;
        }
        if let Some(separator) = separator {
            tokenizer.separate_by(&separator)?;
        }
        Ok(tokenizer)
    }

    /// Parses `tokenizer.json` for a model of `vocabulary` ids and `max_tokens` tokens a text. Of the file's truncation its
    /// direction counts. Padding is ignored, and so is `dropout`, which is for training: the same text has the same tokens.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`].
    pub fn parse(json: &[u8], vocabulary: u32, max_tokens: u32) -> Result<Self> {
        let invalid = |message: String| Error::InvalidTokenizer { message };
        let mut parts: BTreeMap<String, &RawValue> =
            serde_json::from_slice(json).map_err(|e| invalid(e.to_string()))?;
        // Not wanted: the file's own truncation and padding, and the decoder, whose parser panics on bad input.
        let truncation = parts.get("truncation").map(|raw| serde_json::from_str::<Option<Truncation>>(raw.get()));
        let direction = truncation.transpose().map_err(|e| invalid(format!("truncation: {e}")))?.flatten();
        parts.retain(|name, _| !matches!(name.as_str(), "truncation" | "padding" | "decoder"));
        merges::check(&parts)?;
        let json = serde_json::to_vec(&parts).map_err(|e| invalid(e.to_string()))?;
        let mut inner = Inner::from_bytes(json).map_err(|e| invalid(e.to_string()))?;
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some()
        {
            let mut model = model.clone();
            model.dropout = None;
            inner.with_model(model);
        }
        let added = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if added >= max_tokens as usize {
            return Err(invalid(format!("it adds {added} tokens to every text, the model's limit is {max_tokens}")));
        }
        let cut_at = match direction.and_then(|truncation| truncation.direction).as_deref() {
            None | Some("Right") => TruncationDirection::Right,
            Some("Left") => TruncationDirection::Left,
            Some(other) => {
                return Err(invalid(format!("truncation.direction is {other:?}, allowed are Left and Right")));
            }
        };
        let (special, notices) = (HashSet::new(), Vec::new());
        let tokenizer = Self { inner, vocabulary, max_tokens, added, cut_at, special, separator: None, notices };
        tokenizer.check_ids()?;
        Ok(tokenizer)
    }

    /// The separator of a context model: a token that `tokenizer.json` has. One that is only named would be new to the model.
    fn known_separator(&self, special: SpecialTokens) -> Result<String> {
        let separator = special
            .separator
            .or(special.end)
            .ok_or_else(|| Error::config(FILE, "sep_token is missing, and so is eos_token: nothing parts chunks"))?;
        match self.token_id(&separator) {
            Some(_) => Ok(separator),
            None => Err(Error::InvalidTokenizer { message: format!("has no separator {separator:?}") }),
        }
    }

    /// Every token has a row in the embedding matrix.
    fn check_ids(&self) -> Result<()> {
        let highest = self.inner.get_vocab(true).into_iter().max_by_key(|(_, id)| *id);
        match highest.filter(|(_, id)| *id >= self.vocabulary) {
            Some((token, id)) => {
                let message = format!("token {token:?} has id {id}, the model's vocab_size is {}", self.vocabulary);
                Err(Error::InvalidTokenizer { message })
            }
            None => Ok(()),
        }
    }

    /// Texts are split as transformers' `Qwen2Tokenizer` splits them, as far as the kinds of the steps say.
    fn splits_as_qwen(&self) -> bool {
        let steps = serde_json::to_value(self.inner.get_pre_tokenizer()).unwrap_or_default();
        let kinds: Vec<&str> =
            steps["pretokenizers"].as_array().into_iter().flatten().filter_map(|s| s["type"].as_str()).collect();
        let plain = kinds == ["Split", "ByteLevel"] && steps["pretokenizers"][1]["add_prefix_space"] == false;
        plain && matches!(self.inner.get_normalizer(), Some(NormalizerWrapper::NFC(_)))
    }

    /// What there is to say of the files that is no error.
    pub(super) fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The most tokens a text may have; longer ones are cut.
    pub fn max_tokens(&self) -> u32 {
        self.max_tokens
    }

    /// The token between the chunks of a document; there for context models only.
    pub fn separator(&self) -> Option<&Separator> {
        self.separator.as_ref()
    }

    /// Makes `token` the separator: no text is read as that token any more, so that a chunk that has its text does not
    /// fall apart.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if there is no such token, [`Error::Unsupported`] if texts get tokens of their own
    /// or the separator takes the spaces around it, since a document would then not be its chunks' tokens in a row.
    pub fn separate_by(&mut self, token: &str) -> Result<()> {
        let invalid = |message: String| Error::InvalidTokenizer { message };
        let id = self.token_id(token).ok_or_else(|| invalid(format!("has no separator {token:?}")))?;
        if self.added > 0 {
            let what = "late chunking with a tokenizer that adds tokens to every text";
            return Err(Error::unsupported(what, "allowed is one that adds none"));
        }
        let tokens: BTreeMap<u32, AddedToken> = self.inner.get_added_tokens_decoder().into_iter().collect();
        if tokens.get(&id).is_some_and(|t| t.lstrip || t.rstrip) {
            return Err(Error::unsupported("a separator with lstrip or rstrip", "allowed are false and false"));
        }
        // Being "special" means nothing here but what `encode_special_tokens` makes of it: to be read as text.
        let mut vocabulary = AddedVocabulary::new();
        let others = tokens.values().map(|t| t.clone().special(t.content == token));
        vocabulary.add_tokens(others, self.inner.get_model(), self.inner.get_normalizer()).map_err(failed)?;
        vocabulary.set_encode_special_tokens(true);
        if let Some((id, token)) = tokens.iter().find(|(id, t)| vocabulary.get_vocab().get(&t.content) != Some(*id)) {
            return Err(invalid(format!("the ids of its added tokens have gaps before {id}, {:?}", token.content)));
        }
        self.inner.with_added_vocabulary(vocabulary);
        self.separator = Some(Separator { token: token.into(), id });
        Ok(())
    }

    /// As sentence-transformers' `do_lower_case` does: before whatever else is done to a text.
    fn put_in_lower_case(&mut self) -> Result<()> {
        let mut all = vec![NormalizerWrapper::from(Lowercase)];
        all.extend(self.inner.get_normalizer().cloned());
        self.inner.with_normalizer(Some(Sequence::new(all))).map(drop).map_err(failed)
    }

    /// How many of a text's leading tokens are those of a prompt before it, as sentence-transformers counts them: the prompt
    /// alone, without a special token at its end.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub(super) fn prompt_tokens(&self, prompt: &str) -> Result<u32> {
        if prompt.is_empty() {
            return Ok(0);
        }
        let ids = self.encode(prompt)?.ids;
        let special = ids.last().is_some_and(|id| self.special.contains(id));
        Ok((ids.len() - usize::from(special)) as u32)
    }

    /// The id of a token, by its spelling in the vocabulary.
    pub(super) fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token).filter(|id| *id < self.vocabulary)
    }

    /// Tokenizes one text.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`] if the tokenizer fails, or makes an id beyond the vocabulary.
    pub fn encode(&self, text: &str) -> Result<Tokens> {
        let content = self.inner.encode_fast(text, false).map_err(failed)?;
        let (encoding, truncated) = self.finished(content, self.max_tokens as usize)?;
        Ok(Tokens { ids: encoding.get_ids().to_vec(), truncated })
    }

    /// Tokenizes a text of any length, without what the post-processor adds.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub(super) fn encode_whole(&self, text: &str) -> Result<Vec<u32>> {
        let content = self.inner.encode_fast(text, false).map_err(failed)?;
        self.check(&content)?;
        Ok(content.get_ids().to_vec())
    }

    /// Tokenizes one text to at most `limit` tokens, and says where each stands in it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub(super) fn encode_placed(&self, text: &str, limit: usize) -> Result<Placed> {
        let content = self.inner.encode(text, false).map_err(failed)?;
        let (encoding, truncated) = self.finished(content, limit)?;
        let added = encoding.get_special_tokens_mask().iter().map(|&a| a == 1);
        let ranges = encoding.get_offsets().iter().zip(added).map(|(&o, added)| (!added).then_some(o)).collect();
        Ok(Placed { ids: encoding.get_ids().to_vec(), ranges, truncated })
    }

    /// Bytes of `text` that each token stands for, without what the post-processor adds.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub(super) fn places(&self, text: &str) -> Result<Vec<(usize, usize)>> {
        Ok(self.inner.encode(text, false).map_err(failed)?.get_offsets().to_vec())
    }

    /// Cuts to `limit` tokens before the post-processor adds its own, so that a cut text keeps them.
    fn finished(&self, mut content: Encoding, limit: usize) -> Result<(Encoding, bool)> {
        let room = limit.saturating_sub(self.added);
        let truncated = content.len() > room;
        content.truncate(room, 0, self.cut_at);
        let encoding = self.inner.post_process(content, None, true).map_err(failed)?;
        self.check(&encoding)?;
        Ok((encoding, truncated))
    }

    fn check(&self, encoding: &Encoding) -> Result<()> {
        match encoding.get_ids().iter().find(|&&id| id >= self.vocabulary) {
            Some(id) => {
                let message = format!("made id {id}, the model's vocab_size is {}", self.vocabulary);
                Err(Error::InvalidTokenizer { message })
            }
            None => Ok(()),
        }
    }
}

fn failed(error: tokenizers::Error) -> Error {
    Error::InvalidTokenizer { message: error.to_string() }
}
