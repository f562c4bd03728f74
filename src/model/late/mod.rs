//! Late interaction: a vector for each token of a query or document, to be scored by the sum of best matches.

mod clustering;
mod config;
mod encode;
mod sequence;
mod tokens;

pub use clustering::{MAX_POOLED, pool};
pub use config::{Expansion, LateConfig};
pub use encode::EncodedBatch;
pub use sequence::{Marked, Marking};
pub use tokens::{EncodeOptions, MarkerPosition, Role, TokenEmbeddings, TokenRows};

use super::Tokenizer;
use super::dense::Dense;
use super::special::SpecialTokens;
use crate::backend::{Backend, Kernels};
use crate::error::{Error, Result};
use crate::hub::Source;

/// A late interaction model's way with tokens, and its projection.
pub(super) struct Late {
    marking: Marking,
    projection: Option<Dense>,
}

/// What is known of a late interaction model.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LateInfo {
    /// Put before a query.
    pub query_prompt: String,
    /// Put before a document.
    pub document_prompt: String,
    /// Most tokens of a query, with the prompt's.
    pub query_length: usize,
    /// Most tokens of a document, with the prompt's.
    pub document_length: usize,
    /// How short queries are filled up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_expansion: Option<ExpansionInfo>,
    /// Ids of the tokens whose vectors are left out of documents.
    pub document_skiplist: Vec<u32>,
    /// Ids of the tokens whose vectors are left out of queries.
    pub query_skiplist: Vec<u32>,
}

/// How short queries are filled up.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ExpansionInfo {
    /// The id of the token that fills them.
    pub token: u32,
    /// Tokens that a query has at least.
    pub length: u32,
    /// The query's own tokens attend to the filling.
    pub attend: bool,
}

impl Late {
    /// Finds the ids of the tokens that `config` names, and loads the projection, which is held as float32: it is small.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a token or length that the tokenizer does not have, [`Error::InvalidCheckpoint`] for
    /// a projection of another shape, [`Error::Unsupported`], or what kept a file from being read.
    pub(super) async fn load(
        source: &impl Source,
        config: &LateConfig,
        tokenizer: &Tokenizer,
        backend: &Backend,
        kernels: &Kernels,
    ) -> Result<Self> {
        let filling = match &config.expansion {
            Some(expansion) => Some(filling(source, expansion, tokenizer).await?),
            None => None,
        };
        let projection = match &config.dense {
            Some(layer) => Some(Dense::load(source, layer, backend, kernels).await?),
            None => None,
        };
        Ok(Self { marking: Marking::new(config, tokenizer, filling)?, projection })
    }

    pub(super) fn projection(&self) -> Option<&Dense> {
        self.projection.as_ref()
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self) -> u64 {
        self.projection.as_ref().map_or(0, Dense::bytes)
    }

    pub(super) fn info(&self) -> LateInfo {
        self.marking.info()
    }
}

/// The id of the token that fills queries up.
async fn filling(source: &impl Source, expansion: &Expansion, tokenizer: &Tokenizer) -> Result<u32> {
    let file = "tokenizer_config.json";
    let special = SpecialTokens::load(source).await?;
    if special.padded_left {
        return Err(Error::unsupported("query expansion with padding_side left", "allowed is right"));
    }
    if expansion.length > tokenizer.max_tokens() {
        let (length, limit) = (expansion.length, tokenizer.max_tokens());
        return Err(Error::config(file, format!("query expansion to {length} tokens, the model's limit is {limit}")));
    }
    let token = expansion.token.clone().or(special.mask).or(special.end).ok_or_else(|| {
        Error::config(file, "mask_token is missing, and so is eos_token: nothing to fill queries up with")
    })?;
    let missing = || Error::config(file, format!("{token:?}, which fills queries up, is not in the vocabulary"));
    tokenizer.token_id(&token).ok_or_else(missing)
}
