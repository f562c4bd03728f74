//! The special tokens that a repository names: which token separates, masks or ends.

use serde::Deserialize;

use super::config::MAX_JSON;
use crate::error::Result;
use crate::hub::{self, Source};
use crate::json;

/// Where they are named; the first file that has one wins.
const FILES: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

/// Special tokens by their text, and the side on which texts are padded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SpecialTokens {
    /// Stands between the chunks of a document.
    pub(super) separator: Option<String>,
    /// Stands for a token that is not there.
    pub(super) mask: Option<String>,
    /// Ends a text.
    pub(super) end: Option<String>,
    /// Padding comes before the text.
    pub(super) padded_left: bool,
}

#[derive(Deserialize)]
struct RawSpecialTokens {
    sep_token: Option<RawToken>,
    mask_token: Option<RawToken>,
    eos_token: Option<RawToken>,
    padding_side: Option<String>,
}

/// A token's text alone, or with what else transformers keeps of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawToken {
    Text(String),
    Token { content: String },
}

impl RawToken {
    fn text(self) -> String {
        match self {
            Self::Text(text) | Self::Token { content: text } => text,
        }
    }
}

impl SpecialTokens {
    /// Reads `tokenizer_config.json`, and `special_tokens_map.json` for what that does not say.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], or what kept a file from being read.
    pub(super) async fn load(source: &impl Source) -> Result<Self> {
        let mut special = Self::default();
        for file in FILES {
            let Some(bytes) = hub::read_optional(source, file, MAX_JSON).await? else { continue };
            let raw: RawSpecialTokens = json::parse_as(file, &bytes)?;
            special.separator = special.separator.or_else(|| raw.sep_token.map(RawToken::text));
            special.mask = special.mask.or_else(|| raw.mask_token.map(RawToken::text));
            special.end = special.end.or_else(|| raw.eos_token.map(RawToken::text));
            special.padded_left |= raw.padding_side.as_deref() == Some("left");
        }
        Ok(special)
    }
}
