//! A retrieval set: documents, queries, and what was judged.
//!
//! A row of the corpus has `_id`, perhaps `title`, and `text` or `chunks`, an array of strings; the title stands before the
//! text, or the first chunk, with a space between, as BEIR has it. A judgement names a document by its id, or chunk `i` of
//! a document, counted from 0, as `id#i`. If any judgement names a chunk, chunks are what is ranked, and none may name a
//! document that has chunks; else documents are, each by the best of its chunks. `layout.rs` has the files, `rows.rs` what
//! is in them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

use pplx_embed::{Error, Result};

use super::layout::{SetFile, SetLayout};
use super::qrels::{Judgement, Judgements, judgements};
use super::rows::{RowPlace, rows};

/// Most documents, and most chunks.
const MAX_TEXTS: usize = 1 << 28;
/// What ids are called.
const ID: [&str; 2] = ["_id", "id"];

/// A document.
#[derive(PartialEq, Eq)]
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
    /// What is not as it might be, and how often.
    pub(super) oddities: Oddities,
}

/// Something that is not as it might be: the first one, and how many there are.
pub(super) type Oddity = Option<(String, usize)>;

/// Counts one more.
fn count(oddity: &mut Oddity, name: impl FnOnce() -> String) {
    oddity.get_or_insert_with(|| (name(), 0)).1 += 1;
}

/// What of a set may surprise.
#[derive(Default)]
pub(super) struct Oddities {
    /// Judgements of queries that are not there.
    pub(super) unknown_queries: Oddity,
    /// Judgements of documents that are not there.
    pub(super) unknown_documents: Oddity,
    /// Judgements that are there twice.
    pub(super) repeated_judgements: Oddity,
    /// Documents or queries that are there twice, alike.
    pub(super) repeated_texts: Oddity,
    /// Queries without judgements.
    pub(super) unjudged: Oddity,
    /// Documents or queries without a text.
    pub(super) empty: Oddity,
    /// Lines of judgements that begin with `#`.
    pub(super) comments: usize,
}

impl Dataset {
    /// Reads the set in `folder`, or a subset of it.
    ///
    /// # Errors
    /// As [`Layout::find`]; [`Error::Io`] naming file and line.
    pub(super) fn load(folder: &Path, subset: Option<&str>, split: Option<&str>) -> Result<Self> {
        let SetLayout { split, corpus, queries, qrels } = SetLayout::find(folder, subset, split)?;
        let Judgements { all: judgements, repeated, comments } = judgements(&qrels)?;
        let mut oddities = Oddities { repeated_judgements: repeated, comments, ..Oddities::default() };
        let documents = documents(&corpus, &mut oddities)?;
        let texts = texts(&queries, &judgements, &mut oddities)?;
        let place: HashMap<&str, usize> = documents.iter().enumerate().map(|(i, d)| (d.id.as_str(), i)).collect();
        let named: Vec<Option<JudgedItem>> =
            judgements.iter().map(|j| named(&j.document, &documents, &place)).collect();
        let lines = || judgements.iter().zip(&named);
        let by_chunk = named.iter().flatten().any(|named| named.chunk.is_some());
        let whole = |n: &JudgedItem| n.chunk.is_none() && documents[n.document].chunked;
        if let Some((j, _)) = lines().find(|(_, n)| by_chunk && n.as_ref().is_some_and(whole)) {
            let message = "names a document that has chunks, and other lines name chunks";
            return Err(j.place.error(&format!("{:?} {message}", j.document)));
        }
        let (items, first) = items(&documents, by_chunk);
        let item = |n: &JudgedItem| first[n.document] + n.chunk.unwrap_or(0);

        let mut queries: Vec<Query> = Vec::new();
        let mut at: HashMap<&str, Option<usize>> = HashMap::new();
        for (judgement, named) in lines() {
            let query = *at.entry(&judgement.query).or_insert_with(|| {
                let text = texts.get(&judgement.query)?.clone();
                let same = place.get(judgement.query.as_str()).filter(|_| !by_chunk).map(|&d| first[d]);
                let id = judgement.query.clone();
                queries.push(Query { id, text, judged: HashMap::new(), judgements: Vec::new(), same });
                Some(queries.len() - 1)
            });
            let Some(query) = query.map(|q| &mut queries[q]) else {
                count(&mut oddities.unknown_queries, || format!("{:?}", judgement.query));
                continue;
            };
            query.judgements.push(judgement.score);
            match named {
                Some(named) => drop(query.judged.insert(item(named), judgement.score)),
                None => count(&mut oddities.unknown_documents, || format!("{:?}", judgement.document)),
            }
        }
        if queries.is_empty() {
            return Err(nothing_in(&qrels, "judgement of a query that is there"));
        }
        Ok(Self { split, documents, queries, by_chunk, items, first, oddities })
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

/// The error where all of `files` together have no `what`.
fn nothing_in(files: &[SetFile], what: &str) -> Error {
    let files: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    Error::Io { file: files.join(", "), message: format!("has no {what}") }
}

fn documents(files: &[SetFile], oddities: &mut Oddities) -> Result<Vec<CorpusDocument>> {
    let mut documents: Vec<CorpusDocument> = Vec::new();
    let mut seen = Seen::default();
    let mut total = 0;
    for file in files {
        for row in rows(file, &[&ID[..], &["title", "text", "chunks"]].concat())? {
            let mut row = row?;
            let id = row.id(&ID)?;
            let (title, text, chunks) = (row.title()?, row.text("text")?, row.texts("chunks")?);
            let (mut texts, chunked) = match (text, chunks) {
                (text, None) => (vec![text.unwrap_or_default()], false),
                (None, Some(chunks)) => (chunks, true),
                (Some(_), Some(_)) => return Err(row.place.error("has text as well as chunks, allowed is either")),
            };
            if let (Some(first), Some(title)) = (texts.first_mut(), title) {
                *first = format!("{title} {first}").trim().to_owned();
            }
            if texts.iter().all(|text| text.trim().is_empty()) {
                count(&mut oddities.empty, || format!("{id:?}"));
            }
            let document = CorpusDocument { id, texts, chunked };
            if let Some(at) = seen.once(&document.id, &row.place, documents.len()) {
                seen.again(documents[at] == document, at, &document.id, row.place, oddities);
                continue;
            }
            total += document.texts.len();
            if total > MAX_TEXTS || documents.len() >= MAX_TEXTS {
                return Err(row.place.error(&format!("is beyond {MAX_TEXTS} texts, which is as many as there may be")));
            }
            documents.push(document);
        }
    }
    seen.finish()?;
    if documents.is_empty() {
        return Err(nothing_in(files, "document"));
    }
    // Then they are called otherwise, and what was measured would be nothing.
    let empty = oddities.empty.as_ref().map_or(0, |(_, count)| *count);
    match seen.place(0).filter(|_| empty >= documents.len()) {
        Some(place) => Err(place.error("has no text, title or chunks, and neither has any other row")),
        None => Ok(documents),
    }
}

/// The texts of queries that have judgements.
fn texts(files: &[SetFile], judgements: &[Judgement], oddities: &mut Oddities) -> Result<HashMap<String, String>> {
    let wanted: HashSet<&str> = judgements.iter().map(|j| j.query.as_str()).collect();
    let mut seen = Seen::default();
    let mut all: Vec<(String, String)> = Vec::new();
    for file in files {
        for row in rows(file, &[&ID[..], &["text", "query"]].concat())? {
            let mut row = row?;
            let id = row.id(&ID)?;
            let text = row.text("text")?.or(row.text("query")?).unwrap_or_default();
            if let Some(at) = seen.once(&id, &row.place, all.len()) {
                seen.again(all[at].1 == text, at, &id, row.place, oddities);
                continue;
            }
            match wanted.contains(id.as_str()) {
                true if text.trim().is_empty() => count(&mut oddities.empty, || format!("query {id:?}")),
                true => {}
                false => count(&mut oddities.unjudged, || format!("{id:?}")),
            }
            all.push((id, text));
        }
    }
    seen.finish()?;
    if all.is_empty() {
        return Err(nothing_in(files, "query"));
    }
    Ok(all.into_iter().filter(|(id, _)| wanted.contains(id.as_str())).collect())
}

/// The ids that were there, and those that are there again with another text.
#[derive(Default)]
struct Seen {
    /// The number of each.
    ids: HashMap<String, usize>,
    /// The place of each: which file, and where in it. A set has millions, of a handful of files.
    places: Vec<(u32, u32)>,
    files: Vec<RowPlace>,
    conflict: Option<(RowPlace, String, usize)>,
}

impl Seen {
    /// Takes down an id as the `number`th; gives the number that it has already.
    fn once(&mut self, id: &str, place: &RowPlace, number: usize) -> Option<usize> {
        if let Some(&at) = self.ids.get(id) {
            return Some(at);
        }
        self.ids.insert(id.to_owned(), number);
        if self.files.last().is_none_or(|last| last.file != place.file) {
            self.files.push(place.clone());
        }
        self.places.push((self.files.len() as u32 - 1, place.number as u32));
        None
    }

    /// Where the id with this number was first.
    fn place(&self, number: usize) -> Option<RowPlace> {
        let &(file, number) = self.places.get(number)?;
        Some(RowPlace { number: number as usize, ..self.files.get(file as usize)?.clone() })
    }

    /// Takes down that the id with number `at` is there again, with the same text or another.
    fn again(&mut self, same: bool, at: usize, id: &str, place: RowPlace, oddities: &mut Oddities) {
        let Some(first) = self.place(at) else { return };
        if same {
            return count(&mut oddities.repeated_texts, || {
                format!("{id:?} on {} and {}", first.beside(&place), place.beside(&first))
            });
        }
        let message = format!("_id {id:?} is on {} already, with another text", first.beside(&place));
        self.conflict.get_or_insert((place, message, 0)).2 += 1;
    }

    /// # Errors
    /// [`Error::Io`] if an id is there with two texts: nobody knows which of them was judged.
    fn finish(&self) -> Result<()> {
        match &self.conflict {
            None => Ok(()),
            Some((place, message, 1)) => Err(place.error(message)),
            Some((place, message, count)) => Err(place.error(&format!("{message}; {count} ids are there again so"))),
        }
    }
}
