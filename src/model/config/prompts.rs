//! `config_sentence_transformers.json`: what is put before texts, and how many dimensions are kept.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::keys::{self, Notices};
use crate::error::{Error, Result};
use crate::json;
use crate::model::late::Role;

/// The file.
pub(in crate::model) const FILE: &str = "config_sentence_transformers.json";
/// The names of the prompts of the roles, which every model has: where its repository has none, they are empty.
const QUERY: &str = "query";
const DOCUMENT: &str = "document";
/// Longest prompt that is read, in bytes.
const MAX_PROMPT: usize = 64 << 10;

/// Which of a model's prompts is put before a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Prompt {
    /// The one that its repository names as the default, if it does.
    #[default]
    Default,
    /// That of a query: `prompts.query` of the repository.
    Query,
    /// That of a document: `prompts.document` of the repository.
    Document,
    /// The one of this name.
    Named(String),
    /// This text.
    Text(String),
}

impl Prompt {
    /// From a text, the name of one of the model's prompts, or a role; at most one of the first two, which come before it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for both a text and a name.
    pub fn choose(text: Option<String>, name: Option<String>, role: Option<Role>) -> Result<Self> {
        match (text, name, role) {
            (Some(_), Some(_), _) => {
                Err(Error::argument("promptName", "is given together with prompt, allowed is one of them"))
            }
            (Some(text), None, _) => Ok(Self::Text(text)),
            (None, Some(name), _) => Ok(Self::Named(name)),
            (None, None, Some(role)) => Ok(role.into()),
            (None, None, None) => Ok(Self::Default),
        }
    }
}

impl From<Role> for Prompt {
    fn from(role: Role) -> Self {
        match role {
            Role::Query => Self::Query,
            Role::Document => Self::Document,
        }
    }
}

/// The prompts of a repository, as sentence-transformers reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    named: BTreeMap<String, String>,
    default: Option<String>,
}

impl Default for Prompts {
    fn default() -> Self {
        let named = [QUERY, DOCUMENT].map(|name| (name.to_owned(), String::new()));
        Self { named: named.into(), default: None }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPrompts {
    model_type: Option<String>,
    prompts: Option<BTreeMap<String, Option<String>>>,
    default_prompt_name: Option<String>,
    truncate_dim: Option<u32>,
}

/// What the file says.
#[derive(Default)]
pub(super) struct SentenceTransformer {
    pub(super) prompts: Prompts,
    /// Leading dimensions that are kept unless another number is asked for.
    pub(super) truncate: Option<u32>,
}

impl SentenceTransformer {
    /// # Errors
    /// [`Error::InvalidConfig`], and [`Error::Unsupported`] for what is no model of embeddings.
    pub(super) fn parse(bytes: &[u8], notices: &mut Notices) -> Result<Self> {
        let value = json::parse(FILE, bytes)?;
        if let Some(object) = value.as_object() {
            notices.check(FILE, "", object, keys::SENTENCE_TRANSFORMER)?;
        }
        let raw: RawPrompts = serde_json::from_value(value).map_err(|e| Error::config(FILE, e.to_string()))?;
        if let Some(other) = raw.model_type.as_deref().filter(|kind| matches!(*kind, "CrossEncoder" | "SparseEncoder"))
        {
            let allowed = "allowed are SentenceTransformer, MultiVectorEncoder and ColBERT";
            return Err(Error::unsupported(format!("model_type {other} in {FILE}"), allowed));
        }
        let mut prompts = Prompts::default();
        for (name, text) in raw.prompts.unwrap_or_default() {
            let text = text.unwrap_or_default();
            if text.len() > MAX_PROMPT {
                let message = format!("prompt {name:?} has {} bytes, allowed are {MAX_PROMPT}", text.len());
                return Err(Error::config(FILE, message));
            }
            prompts.named.insert(name, text);
        }
        if let Some(name) = raw.default_prompt_name {
            if !prompts.named.contains_key(&name) {
                let message = format!("default_prompt_name is {name:?}, allowed are {}", prompts.names());
                return Err(Error::config(FILE, message));
            }
            prompts.default = Some(name);
        }
        if raw.truncate_dim == Some(0) {
            return Err(Error::config(FILE, "truncate_dim is 0, allowed is 1 or more"));
        }
        Ok(Self { prompts, truncate: raw.truncate_dim })
    }
}

impl Prompts {
    /// The text of `prompt`, empty for none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name that there is not.
    pub fn text<'a>(&'a self, prompt: &'a Prompt) -> Result<&'a str> {
        let name = match prompt {
            Prompt::Text(text) => return Ok(text),
            Prompt::Default => match &self.default {
                None => return Ok(""),
                Some(name) => name,
            },
            Prompt::Query => QUERY,
            Prompt::Document => DOCUMENT,
            Prompt::Named(name) => name,
        };
        let text = self.named.get(name).map(String::as_str);
        text.ok_or_else(|| Error::argument("promptName", format!("{name:?}, allowed are {}", self.names())))
    }

    /// Each prompt by its name; those of `query` and `document` are always there.
    pub fn named(&self) -> &BTreeMap<String, String> {
        &self.named
    }

    /// The name of the one that is used where none is asked for.
    pub fn default_name(&self) -> Option<&str> {
        self.default.as_deref()
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.named.keys().map(|name| format!("{name:?}")).collect();
        names.join(", ")
    }
}
