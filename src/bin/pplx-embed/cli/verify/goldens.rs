//! Values that others published: what the file of them holds, and which of it is about a model.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use pplx_embed::model::late::Role;
use pplx_embed::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// The file that comes with the command.
const PUBLISHED: &[u8] = include_bytes!("goldens.json");
/// Largest file accepted, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// Longest text accepted, in bytes, with its repetitions.
const MAX_TEXT: usize = 1 << 20;
/// What `schema` has to be.
const SCHEMA: u32 = 1;

/// Every published value.
pub(super) struct Goldens {
    /// Where values come from, by the word that they name it with.
    pub(super) sources: BTreeMap<String, String>,
    /// By the id of the model.
    pub(super) models: BTreeMap<String, PublishedModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenFile {
    schema: u32,
    #[serde(rename = "about")]
    _about: String,
    sources: BTreeMap<String, String>,
    #[serde(default)]
    tokens: Vec<GoldenTokens>,
    models: BTreeMap<String, PublishedModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenTokens {
    source: String,
    #[serde(default, rename = "note")]
    _note: String,
    models: Vec<String>,
    texts: Vec<(String, Vec<u32>)>,
}

/// What is published of one model.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PublishedModel {
    /// The commit that the values were made with, where the sources say.
    pub(super) revision: Option<String>,
    #[serde(skip)]
    pub(super) texts: Vec<PublishedText>,
    pub(super) vectors: Vec<PublishedVector>,
    pub(super) batches: Vec<PublishedBatch>,
    pub(super) similarities: Vec<PublishedCosines>,
    pub(super) documents: Vec<PublishedDocument>,
    pub(super) pooled: Vec<PublishedChunk>,
    pub(super) settings: Option<PublishedSettings>,
    pub(super) sequences: Vec<PublishedSequence>,
    pub(super) first_vectors: Vec<PublishedTokenVector>,
    pub(super) scores: Vec<PublishedScore>,
}

/// The ids of a text alone.
pub(super) struct PublishedText {
    pub(super) source: String,
    pub(super) text: String,
    pub(super) ids: Vec<u32>,
}

/// The int8 vector of a text, all of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedVector {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) text: String,
    pub(super) int8: Vec<i8>,
    pub(super) cosine_min: f64,
    pub(super) code_difference_max: u8,
}

/// Texts of [`PublishedVector`]s in one call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedBatch {
    pub(super) name: String,
    pub(super) source: String,
    /// Names of vectors.
    pub(super) rows: Vec<String>,
}

/// Cosines of a query's vector with those of documents, in the model's own form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedCosines {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) query: String,
    pub(super) documents: Vec<String>,
    pub(super) cosines: Vec<f64>,
    pub(super) atol: f64,
    pub(super) rtol: f64,
}

/// A document of chunks: its ids, and which of them are each chunk's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedDocument {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) chunks: Vec<String>,
    pub(super) ids: Vec<u32>,
    pub(super) spans: Vec<(u32, u32)>,
}

/// The first numbers of a chunk's vector, in three forms.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedChunk {
    pub(super) name: String,
    pub(super) source: String,
    /// The name of a document.
    pub(super) document: String,
    pub(super) chunk: usize,
    pub(super) float32: Vec<f32>,
    pub(super) int8: Vec<i8>,
    pub(super) binary: Vec<i8>,
    pub(super) cosine_min: f64,
    pub(super) code_difference_max: u8,
    /// Where float32 is nearer to 0, and not 0, its sign says nothing.
    pub(super) binary_zone: f32,
}

/// What a late interaction model's repository has to say of itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedSettings {
    pub(super) source: String,
    pub(super) query_length: u32,
    pub(super) document_length: u32,
    pub(super) expansion_token: u32,
    pub(super) document_skiplist: Vec<u32>,
}

/// A query or document of a late interaction model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedSequence {
    pub(super) name: String,
    pub(super) source: String,
    #[serde(deserialize_with = "role")]
    pub(super) role: Role,
    text: String,
    #[serde(default = "once")]
    times: usize,
    pub(super) ids: Vec<u32>,
    /// Places of the tokens whose vectors count.
    pub(super) scored: Option<Vec<u32>>,
}

/// The first numbers of a token's vector.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedTokenVector {
    pub(super) source: String,
    /// The name of a sequence.
    pub(super) sequence: String,
    /// The token's place in it.
    pub(super) position: u32,
    pub(super) float32: Vec<f32>,
    pub(super) cosine_min: f64,
}

/// The score of a query and a document, both names of sequences.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishedScore {
    pub(super) source: String,
    pub(super) query: String,
    pub(super) document: String,
    pub(super) score: f64,
    pub(super) atol: f64,
    #[serde(default)]
    pub(super) rtol: f64,
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Role, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn once() -> usize {
    1
}

impl Goldens {
    /// Those that come with the command, or those of a file in the same form.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::InvalidConfig`] for a file of another form or one that contradicts itself.
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Self::parse("goldens.json", PUBLISHED) };
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
        read.map_err(|e| Error::Io { file: name.clone(), message: e.to_string() })?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(Error::InvalidConfig { file: name, message: format!("is longer than {MAX_FILE} bytes") });
        }
        Self::parse(&name, &bytes)
    }

    fn parse(file: &str, json: &[u8]) -> Result<Self> {
        let invalid = |message: String| Error::InvalidConfig { file: file.into(), message };
        let raw: GoldenFile = serde_json::from_slice(json).map_err(|e| invalid(e.to_string()))?;
        if raw.schema != SCHEMA {
            return Err(invalid(format!("schema is {}, allowed is {SCHEMA}", raw.schema)));
        }
        let mut models = raw.models;
        for GoldenTokens { source, models: ids, texts, .. } in raw.tokens {
            for id in ids {
                let texts = texts.iter().cloned();
                let texts = texts.map(|(text, ids)| PublishedText { source: source.clone(), text, ids });
                models.entry(id).or_default().texts.extend(texts);
            }
        }
        for (id, published) in &models {
            published.check(&raw.sources).map_err(|wrong| invalid(format!("of {id}, {wrong}")))?;
        }
        Ok(Self { sources: raw.sources, models })
    }

    /// What is published of the model `id`; `argument` is where the id comes from.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the models of which something is.
    pub(super) fn of(&self, id: &str, argument: &str) -> Result<&PublishedModel> {
        self.models.get(id).ok_or_else(|| {
            let known = self.models.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("nothing is published of {id:?}; allowed are {known}, and for a copy of one --as");
            Error::InvalidArgument { argument: argument.into(), message }
        })
    }
}

impl PublishedModel {
    pub(super) fn vector(&self, name: &str) -> Option<&PublishedVector> {
        self.vectors.iter().find(|v| v.name == name)
    }

    /// The place of a sequence.
    pub(super) fn sequence(&self, name: &str) -> Option<usize> {
        self.sequences.iter().position(|s| s.name == name)
    }

    /// Whether names are of something, and lists as long as they have to be; if not, what is wrong.
    fn check(&self, sources: &BTreeMap<String, String>) -> std::result::Result<(), String> {
        let named: [(&str, Vec<&String>); 10] = [
            ("tokens", self.texts.iter().map(|t| &t.source).collect()),
            ("vectors", self.vectors.iter().map(|v| &v.source).collect()),
            ("batches", self.batches.iter().map(|b| &b.source).collect()),
            ("similarities", self.similarities.iter().map(|s| &s.source).collect()),
            ("documents", self.documents.iter().map(|d| &d.source).collect()),
            ("pooled", self.pooled.iter().map(|p| &p.source).collect()),
            ("settings", self.settings.iter().map(|s| &s.source).collect()),
            ("sequences", self.sequences.iter().map(|s| &s.source).collect()),
            ("first_vectors", self.first_vectors.iter().map(|v| &v.source).collect()),
            ("scores", self.scores.iter().map(|s| &s.source).collect()),
        ];
        for (list, named) in &named {
            if let Some(source) = named.iter().find(|source| !sources.contains_key(**source)) {
                return Err(format!("{list} name the source {source:?}, which sources do not have"));
            }
        }
        if named.iter().all(|(_, named)| named.is_empty()) {
            return Err("there is nothing to check".into());
        }
        let holds = |holds: bool, what: &str, name: &str| if holds { Ok(()) } else { Err(format!("{what} {name:?}")) };
        for PublishedBatch { name, rows, .. } in &self.batches {
            holds(
                !rows.is_empty() && rows.iter().all(|r| self.vector(r).is_some()),
                "rows that are no vectors:",
                name,
            )?;
        }
        for PublishedCosines { name, documents, cosines, .. } in &self.similarities {
            holds(documents.len() == cosines.len() && !cosines.is_empty(), "not a cosine a document:", name)?;
        }
        for PublishedDocument { name, chunks, spans, .. } in &self.documents {
            holds(chunks.len() == spans.len(), "not a span a chunk:", name)?;
        }
        for PublishedChunk { name, document, chunk, float32, int8, binary, .. } in &self.pooled {
            let whole = self.documents.iter().find(|d| d.name == *document);
            holds(whole.is_some_and(|d| *chunk < d.chunks.len()), "no such chunk:", name)?;
            let lengths = [int8.len(), binary.len()];
            holds(!float32.is_empty() && lengths == [float32.len(); 2], "forms of several lengths:", name)?;
        }
        for PublishedSequence { name, text, times, .. } in &self.sequences {
            let bytes = text.len().checked_mul(*times);
            holds(bytes.is_some_and(|bytes| bytes <= MAX_TEXT), "a text longer than a MiB:", name)?;
        }
        let role = |name: &str| self.sequence(name).map(|at| self.sequences[at].role);
        for PublishedTokenVector { sequence, float32, .. } in &self.first_vectors {
            holds(
                role(sequence).is_some() && !float32.is_empty(),
                "first_vectors without numbers or sequence:",
                sequence,
            )?;
        }
        for PublishedScore { query, document, .. } in &self.scores {
            holds(role(query) == Some(Role::Query), "scores of no such query:", query)?;
            holds(role(document) == Some(Role::Document), "scores of no such document:", document)?;
        }
        Ok(())
    }
}

impl PublishedSequence {
    /// The text.
    pub(super) fn text(&self) -> String {
        self.text.repeat(self.times)
    }
}
