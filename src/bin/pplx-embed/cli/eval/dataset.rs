//! A retrieval set: documents, queries, and what was judged.
//!
//! It is a folder in BEIR's format. A line of `corpus.jsonl` is `{"_id", "title", "text"}`, or `{"_id", "title", "chunks"}`
//! with an array of strings; the title may be missing, and stands before the text, or the first chunk, with a space
//! between, as BEIR has it. A line of `qrels/*.tsv` names a document by its id, or chunk `i` of a document, counted from
//! 0, as `id#i`. If any line names a chunk, chunks are what is ranked, and no line may name a document that has chunks;
//! else documents are, each by the best of its chunks.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use pplx_embed::{Error, Result};

use super::files::{Lines, TextLine, splits};
use super::qrels::{Judgement, judgements};

/// Most documents, and most chunks.
const MAX_TEXTS: usize = 1 << 28;
/// Longest id, in bytes.
const LONGEST_ID: usize = 1024;

/// A document.
pub(super) struct CorpusDocument {
    pub(super) id: String,
    /// Its text, or its chunks.
    pub(super) texts: Vec<String>,
    chunked: bool,
}

/// A query that has judgements.
pub(super) struct Query {
    pub(super) id: String,
    pub(super) text: String,
    /// The judgements of items that are there.
    pub(super) judged: HashMap<u32, i64>,
    /// All of them.
    pub(super) judgements: Vec<i64>,
    /// The item that has the query's own id.
    pub(super) same: Option<u32>,
}

/// A set.
pub(super) struct Dataset {
    pub(super) split: String,
    pub(super) documents: Vec<CorpusDocument>,
    pub(super) queries: Vec<Query>,
    /// Chunks are what is ranked.
    pub(super) by_chunk: bool,
    /// The ids of what is ranked; an item is an index of them.
    pub(super) items: Vec<String>,
    /// The first item of each document, and one past the last.
    first: Vec<u32>,
    /// Judgements of queries, and of documents, that are not there.
    pub(super) unknown: [usize; 2],
}

impl Dataset {
    /// Reads the set in `folder`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no such split; [`Error::Io`] naming file and line.
    pub(super) fn load(folder: &Path, split: Option<&str>) -> Result<Self> {
        let (split, path) = splits(folder, split)?;
        let judgements = judgements(&path)?;
        let documents = documents(&folder.join("corpus.jsonl"))?;
        let texts = texts(&folder.join("queries.jsonl"), &judgements)?;
        let refuse = |message: String| Error::Io { file: path.display().to_string(), message };
        let place: HashMap<&str, usize> = documents.iter().enumerate().map(|(i, d)| (d.id.as_str(), i)).collect();
        let named: Vec<Option<JudgedItem>> =
            judgements.iter().map(|j| named(&j.document, &documents, &place)).collect();
        let lines = || judgements.iter().zip(&named);
        let by_chunk = named.iter().flatten().any(|named| named.chunk.is_some());
        let whole = |n: &JudgedItem| n.chunk.is_none() && documents[n.document].chunked;
        if let Some((j, _)) = lines().find(|(_, n)| by_chunk && n.as_ref().is_some_and(whole)) {
            let message = "names a document that has chunks, and other lines name chunks";
            return Err(refuse(format!("line {}: {:?} {message}", j.line, j.document)));
        }
        let (items, first) = items(&documents, by_chunk);
        let item = |n: &JudgedItem| first[n.document] + n.chunk.unwrap_or(0);

        let mut queries: Vec<Query> = Vec::new();
        let mut at: HashMap<&str, Option<usize>> = HashMap::new();
        let mut unknown = [0; 2];
        for (judgement, named) in lines() {
            let query = *at.entry(&judgement.query).or_insert_with(|| {
                let text = texts.get(&judgement.query)?.clone();
                let same = place.get(judgement.query.as_str()).filter(|_| !by_chunk).map(|&d| first[d]);
                let id = judgement.query.clone();
                queries.push(Query { id, text, judged: HashMap::new(), judgements: Vec::new(), same });
                Some(queries.len() - 1)
            });
            let Some(query) = query.map(|q| &mut queries[q]) else {
                unknown[0] += 1;
                continue;
            };
            query.judgements.push(judgement.score);
            match named {
                Some(named) => drop(query.judged.insert(item(named), judgement.score)),
                None => unknown[1] += 1,
            }
        }
        if queries.is_empty() {
            return Err(refuse("has no judgement of a query that is in queries.jsonl".into()));
        }
        Ok(Self { split, documents, queries, by_chunk, items, first, unknown })
    }

    /// The items among the texts of documents `range`: each a range of these texts, counted from the first.
    pub(super) fn spans(&self, range: Range<usize>) -> Vec<(Range<usize>, u32)> {
        let mut spans = Vec::new();
        let mut text = 0;
        for document in range {
            let count = self.documents[document].texts.len();
            let first = self.first[document];
            match self.by_chunk {
                true => spans.extend((0..count).zip(first..).map(|(i, item)| (text + i..text + i + 1, item))),
                false => spans.push((text..text + count, first)),
            }
            text += count;
        }
        spans
    }
}

/// What a judgement is of.
struct JudgedItem {
    document: usize,
    chunk: Option<u32>,
}

/// The document that is called `id`, or else the chunk.
fn named(id: &str, documents: &[CorpusDocument], place: &HashMap<&str, usize>) -> Option<JudgedItem> {
    if let Some(&document) = place.get(id) {
        return Some(JudgedItem { document, chunk: None });
    }
    let (document, chunk) = id.rsplit_once('#')?;
    let &document = place.get(document)?;
    let number: u32 = chunk.parse().ok().filter(|n: &u32| n.to_string() == chunk)?;
    let CorpusDocument { texts, chunked, .. } = &documents[document];
    (*chunked && (number as usize) < texts.len()).then_some(JudgedItem { document, chunk: Some(number) })
}

/// The ids of what is ranked, and where each document's are.
fn items(documents: &[CorpusDocument], by_chunk: bool) -> (Vec<String>, Vec<u32>) {
    let (mut ids, mut first) = (Vec::new(), Vec::with_capacity(documents.len()));
    for CorpusDocument { id, texts, chunked } in documents {
        first.push(ids.len() as u32);
        match by_chunk && *chunked {
            true => ids.extend((0..texts.len()).map(|i| format!("{id}#{i}"))),
            false => ids.push(id.clone()),
        }
    }
    (ids, first)
}

#[derive(serde::Deserialize)]
struct CorpusLine {
    _id: String,
    title: Option<String>,
    text: Option<String>,
    chunks: Option<Vec<String>>,
}

fn documents(path: &Path) -> Result<Vec<CorpusDocument>> {
    let mut documents: Vec<CorpusDocument> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut count = 0;
    for line in Lines::open(path)? {
        let line = line?;
        let CorpusLine { _id, title, text, chunks } = line.json()?;
        once(&mut seen, &_id, &line)?;
        let (mut texts, chunked) = match (text, chunks) {
            (Some(text), None) => (vec![text], false),
            (None, Some(chunks)) => (chunks, true),
            _ => return Err(line.error("has to have either text or chunks")),
        };
        if let (Some(first), Some(title)) = (texts.first_mut(), title) {
            *first = format!("{title} {first}").trim().to_owned();
        }
        count += texts.len();
        if count > MAX_TEXTS || documents.len() >= MAX_TEXTS {
            return Err(line.error(&format!("is beyond {MAX_TEXTS} texts, which is as many as there may be")));
        }
        documents.push(CorpusDocument { id: _id, texts, chunked });
    }
    Ok(documents)
}

#[derive(serde::Deserialize)]
struct QueryLine {
    _id: String,
    text: String,
}

/// The texts of queries that have judgements.
fn texts(path: &Path, judgements: &[Judgement]) -> Result<HashMap<String, String>> {
    let wanted: std::collections::HashSet<&str> = judgements.iter().map(|j| j.query.as_str()).collect();
    let mut seen = HashMap::new();
    let mut texts = HashMap::new();
    for line in Lines::open(path)? {
        let line = line?;
        let QueryLine { _id, text } = line.json()?;
        once(&mut seen, &_id, &line)?;
        if wanted.contains(_id.as_str()) {
            texts.insert(_id, text);
        }
    }
    Ok(texts)
}

/// Refuses an id that was there before, or is none.
fn once(seen: &mut HashMap<String, usize>, id: &str, line: &TextLine<'_>) -> Result<()> {
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(line.error(&format!("_id has {} bytes, allowed are 1 to {LONGEST_ID}", id.len())));
    }
    match seen.insert(id.to_owned(), line.number) {
        Some(before) => Err(line.error(&format!("_id {id:?} is on line {before} already"))),
        None => Ok(()),
    }
}
