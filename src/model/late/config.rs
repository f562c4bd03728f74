//! What a late interaction model's repository says of itself: sentence-transformers' `MultiVectorEncoder` and PyLate.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::hub::{self, Source};
use crate::json;
use crate::model::config::keys::{self, Notices};
use crate::model::config::modules::{Module, TOKENS};
use crate::model::config::{Config, DenseLayer, MAX_JSON};

/// Longest query or document that a repository may ask for, in tokens.
const MAX_LENGTH: u32 = 1 << 20;
const MODEL_FILE: &str = "config_sentence_transformers.json";
const TRANSFORMER_FILE: &str = "sentence_bert_config.json";

/// The settings of a late interaction model. Tokens are texts here: what their ids are, the tokenizer says.
#[derive(Clone, Debug, PartialEq)]
pub struct LateConfig {
    /// The projection of each token's vector; `None` keeps all H dimensions.
    pub dense: Option<DenseLayer>,
    /// Put before a query.
    pub query_prompt: String,
    /// Put before a document.
    pub document_prompt: String,
    /// Most tokens of a query, with the prompt's; `None` is the model's limit. Expansion may allow more.
    pub query_length: Option<u32>,
    /// Most tokens of a document, with the prompt's; `None` is the model's limit.
    pub document_length: Option<u32>,
    /// How short queries are filled up.
    pub expansion: Option<Expansion>,
    /// Tokens whose vectors are left out of the result, though the others attend to them.
    pub skiplist: Vec<String>,
    /// The skiplist holds for queries.
    pub skip_in_queries: bool,
    /// The skiplist holds for documents.
    pub skip_in_documents: bool,
    /// Each vector is scaled to unit length.
    pub normalize: bool,
}

/// Filling a query up with a token of its own, so that it has room to say more than its words (Khattab & Zaharia 2020,
/// ColBERT, section 3.2). The vectors of these tokens are part of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// Tokens that a query has at least, with the prompt's.
    pub length: u32,
    /// A query is also cut to that length.
    pub fixed: bool,
    /// The query's own tokens attend to the filling.
    pub attend: bool,
    /// The token; `None` is the tokenizer's mask token, or where it has none the one that ends a text.
    pub token: Option<String>,
}

/// `config_sentence_transformers.json`, with the names of PyLate.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLateModel {
    model_type: Option<String>,
    prompts: std::collections::BTreeMap<String, Option<String>>,
    query_prefix: Option<String>,
    document_prefix: Option<String>,
    query_length: Option<u32>,
    document_length: Option<u32>,
    do_query_expansion: Option<bool>,
    attend_to_expansion_tokens: Option<bool>,
    skiplist_words: Option<Vec<String>>,
}

/// `sentence_bert_config.json`, as far as it is about late interaction.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTransformer {
    query_length: Option<u32>,
    document_length: Option<u32>,
    query_expansion: Option<RawExpansion>,
}

#[derive(Deserialize)]
struct RawExpansion {
    strategy: String,
    #[serde(default)]
    attend: bool,
    token: Option<String>,
    length: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawMask {
    skiplist_words: Option<Vec<String>>,
    skiplist_tasks: Option<Vec<String>>,
    keep_only_token_ids: Option<Vec<u32>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLateNormalize {
    module_input_name: Option<String>,
}

/// ASCII punctuation, which PyLate skips unless it is told otherwise: Python's `string.punctuation`.
fn punctuation() -> Vec<String> {
    (' '..='~').filter(char::is_ascii_punctuation).map(String::from).collect()
}

impl LateConfig {
    /// Reads the model's own settings and those of its `modules`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the file and field, [`Error::Unsupported`] for what this version does not do,
    /// or what kept a file from being read.
    pub(in crate::model) async fn load(
        source: &impl Source,
        modules: &[Module],
        config: &Config,
        notices: &mut Notices,
    ) -> Result<Self> {
        let model: RawLateModel = parsed(source, MODEL_FILE).await?.unwrap_or_default();
        let mask_module = modules.iter().find(|m| m.is("MultiVectorMask"));
        // PyLate lists the transformer and its projections only, and does the rest in its own code.
        let pylate = mask_module.is_none();
        if pylate && model.model_type.as_deref() != Some("ColBERT") && model.query_prefix.is_none() {
            let message = "allowed are Transformer, Pooling, Normalize and FlexibleQuantizer, or a late interaction \
                           model of sentence-transformers or PyLate";
            return Err(Error::unsupported("module Dense of a model with one vector a text", message));
        }
        if let Some(module) = modules.iter().find(|m| m.is("Pooling")) {
            return Err(Error::unsupported(
                format!("module {} of a late interaction model", module.kind),
                "leave it out",
            ));
        }
        let mask: RawMask = match mask_module {
            Some(module) => module.settings(source, keys::MULTI_VECTOR_MASK, notices).await?.unwrap_or_default(),
            None => RawMask::default(),
        };
        if mask.keep_only_token_ids.is_some_and(|ids| !ids.is_empty()) {
            return Err(Error::unsupported("keep_only_token_ids of MultiVectorMask", "allowed is null"));
        }
        let tasks = mask.skiplist_tasks.unwrap_or_else(|| vec!["document".into()]);
        let skiplist = if pylate { model.skiplist_words.clone().unwrap_or_else(punctuation) } else { Vec::new() };
        let mut transformer: RawTransformer = parsed(source, TRANSFORMER_FILE).await?.unwrap_or_default();
        let (query_length, expansion) =
            if pylate { model.expansion() } else { (transformer.query_length, transformer.expansion()?) };
        let late = Self {
            dense: dense(source, modules, config, notices).await?,
            query_prompt: model.prompt(&model.query_prefix, &["query"]),
            document_prompt: model.prompt(&model.document_prefix, &["document", "passage", "corpus"]),
            query_length,
            document_length: if pylate { model.document_length } else { transformer.document_length },
            expansion,
            skiplist: mask.skiplist_words.unwrap_or(skiplist),
            skip_in_queries: tasks.iter().any(|t| t == "query"),
            skip_in_documents: tasks.iter().any(|t| t == "document"),
            normalize: pylate || normalizes(source, modules, notices).await?,
        };
        late.check(if pylate { MODEL_FILE } else { TRANSFORMER_FILE }, config)?;
        Ok(late)
    }

    fn check(&self, file: &str, config: &Config) -> Result<()> {
        let expansion = self.expansion.as_ref().map(|e| e.length);
        let lengths = [
            ("query_length", self.query_length),
            ("document_length", self.document_length),
            ("the length of query_expansion", expansion),
        ];
        for (name, length) in lengths {
            if let Some(length) = length.filter(|n| !(1..=MAX_LENGTH).contains(n)) {
                return Err(Error::config(file, format!("{name} is {length}, allowed is 1 to {MAX_LENGTH}")));
            }
        }
        if config.causal && self.expansion.as_ref().is_some_and(|e| !e.attend) {
            let what = "query expansion that is not attended to, in a model with causal attention";
            return Err(Error::unsupported(what, "allowed is attention in both directions, or attend: true"));
        }
        if config.windows.iter().any(Option::is_some) && self.expansion.as_ref().is_some_and(|e| !e.attend) {
            let what = "query expansion that is not attended to, in a model with sliding windows";
            return Err(Error::unsupported(what, "allowed is full attention, or attend: true"));
        }
        Ok(())
    }
}

impl RawLateModel {
    /// The prompt of a role: PyLate's prefix, before whatever prompt there is.
    fn prompt(&self, prefix: &Option<String>, roles: &[&str]) -> String {
        let prompt = roles.iter().find_map(|role| self.prompts.get(*role)).cloned().flatten().unwrap_or_default();
        let prefix = prefix.as_deref().unwrap_or_default();
        format!("{prefix}{}", prompt.strip_prefix(prefix).unwrap_or(&prompt))
    }

    /// PyLate's query length and expansion, which is on unless it is switched off.
    fn expansion(&self) -> (Option<u32>, Option<Expansion>) {
        if self.do_query_expansion == Some(false) {
            return (self.query_length, None);
        }
        let (length, attend) = (self.query_length.unwrap_or(32), self.attend_to_expansion_tokens == Some(true));
        (None, Some(Expansion { length, fixed: true, attend, token: None }))
    }
}

impl RawTransformer {
    fn expansion(&mut self) -> Result<Option<Expansion>> {
        let Some(RawExpansion { strategy, attend, token, length }) = self.query_expansion.take() else {
            return Ok(None);
        };
        match strategy.as_str() {
            "fixed" | "min" => Ok(Some(Expansion { length, fixed: strategy == "fixed", attend, token })),
            other => {
                let message = format!("the strategy of query_expansion is {other:?}, allowed are fixed and min");
                Err(Error::config(TRANSFORMER_FILE, message))
            }
        }
    }
}

/// The projection of each token's vector.
async fn dense(
    source: &impl Source,
    modules: &[Module],
    config: &Config,
    notices: &mut Notices,
) -> Result<Option<DenseLayer>> {
    let found: Vec<usize> = (0..modules.len()).filter(|&i| modules[i].is("Dense")).collect();
    match found[..] {
        [] => Ok(None),
        [at] if !modules[..at].iter().any(|m| m.is("Normalize")) => {
            DenseLayer::load(source, &modules[at], config.hidden, TOKENS, notices).await.map(Some)
        }
        _ => Err(Error::unsupported("more than one Dense, or one after Normalize", "allowed is one before it")),
    }
}

/// A Normalize module that works on tokens.
async fn normalizes(source: &impl Source, modules: &[Module], notices: &mut Notices) -> Result<bool> {
    let Some(module) = modules.iter().find(|m| m.is("Normalize")) else { return Ok(false) };
    let raw: RawLateNormalize = module.settings(source, keys::NORMALIZE, notices).await?.unwrap_or_default();
    Ok(raw.module_input_name.as_deref() == Some(TOKENS))
}

async fn parsed<T: DeserializeOwned>(source: &impl Source, file: &str) -> Result<Option<T>> {
    match hub::read_optional(source, file, MAX_JSON).await? {
        Some(bytes) => json::parse_as(file, &bytes).map(Some),
        None => Ok(None),
    }
}
