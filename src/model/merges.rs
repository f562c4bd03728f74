//! A check of the merges of a `tokenizer.json` before the tokenizers crate reads them.
//!
//! That crate (0.23.2, `models/bpe/model.rs`, `BpeBuilder::build`) writes each merged symbol into a buffer as long as the
//! longest symbol of the vocabulary, less a prefix, without a look at the lengths: a file that lies makes it panic, which
//! ends the engine in a page, or take bytes for UTF-8 that are none.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

#[derive(Deserialize)]
struct RawBytePairs<'a> {
    #[serde(borrow)]
    vocab: Option<&'a RawValue>,
    #[serde(borrow)]
    merges: Option<&'a RawValue>,
    continuing_subword_prefix: Option<String>,
}

/// Checks the `model` among the parts of a `tokenizer.json`.
///
/// # Errors
/// [`Error::InvalidTokenizer`] if a merge is longer than every symbol, or symbols have a prefix. Whatever else may be wrong
/// with it is left to the crate.
pub(super) fn check(parts: &BTreeMap<String, &RawValue>) -> Result<()> {
    let model = parts.get("model").and_then(|model| serde_json::from_str::<RawBytePairs<'_>>(model.get()).ok());
    let Some(RawBytePairs { vocab: Some(vocab), merges: Some(merges), continuing_subword_prefix }) = model else {
        return Ok(());
    };
    let invalid = |message: String| Err(Error::InvalidTokenizer { message });
    let (Ok(Longest(longest)), Ok(merges)) =
        (serde_json::from_str(vocab.get()), serde_json::from_str::<Vec<MergedLength>>(merges.get()))
    else {
        return Ok(());
    };
    let merged = merges.iter().map(|MergedLength(bytes)| *bytes).max().unwrap_or(0);
    if continuing_subword_prefix.is_some_and(|prefix| !prefix.is_empty()) && merged > 0 {
        return invalid("has continuing_subword_prefix as well as merges, allowed is either".into());
    }
    if merged > longest {
        return invalid(format!("a merge has {merged} bytes, the longest token of the vocabulary {longest}"));
    }
    Ok(())
}

/// Bytes of a text.
struct Bytes(usize);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LongestToken;
        impl Visitor<'_> for LongestToken {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes(text.len()))
            }
        }
        deserializer.deserialize_str(LongestToken)
    }
}

/// Bytes of the longest key of an object.
struct Longest(usize);

impl<'de> Deserialize<'de> for Longest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Vocabulary;
        impl<'de> Visitor<'de> for Vocabulary {
            type Value = Longest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of ids by token")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Longest, A::Error> {
                let mut longest = 0;
                while let Some((Bytes(bytes), IgnoredAny)) = map.next_entry()? {
                    longest = longest.max(bytes);
                }
                Ok(Longest(longest))
            }
        }
        deserializer.deserialize_map(Vocabulary)
    }
}

/// Bytes of what a merge makes, written `"a b"` or `["a", "b"]`.
struct MergedLength(usize);

impl<'de> Deserialize<'de> for MergedLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MergedPair;
        impl<'de> Visitor<'de> for MergedPair {
            type Value = MergedLength;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<MergedLength, E> {
                Ok(MergedLength(text.len().saturating_sub(1)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MergedLength, A::Error> {
                let mut all = 0_usize;
                while let Some(Bytes(bytes)) = list.next_element()? {
                    all = all.saturating_add(bytes);
                }
                Ok(MergedLength(all))
            }
        }
        deserializer.deserialize_any(MergedPair)
    }
}
