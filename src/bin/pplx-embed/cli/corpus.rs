//! What is searched: the texts of a file, or the documents of a folder.

use std::path::Path;

use pplx_embed::Result;
use pplx_embed::index::{IndexKind, MAX_DATA};
use pplx_embed::json::standard;
use pplx_embed::model::{Model, SplitOptions};
use serde_json::{Value, json};

use super::documents::{self, Format};
use super::input::{json_line, read};
use super::progress::Console;

/// What files are read.
const KINDS: &str = "a .txt file (a text a line), a .jsonl file, Markdown, HTML, a folder of such, and - for standard input; \
                     --format says what another file is";

/// What an entry's texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// One text.
    Text,
    /// The chunks of a document.
    Chunks,
    /// A document that is yet to be cut into chunks.
    Document,
}

/// A text of a corpus, or its chunks.
pub(crate) struct CorpusEntry {
    pub(crate) id: String,
    pub(crate) texts: Vec<String>,
    pub(crate) kind: EntryKind,
    /// What is kept with it, as JSON: the line, or `{"path"}` and its text.
    pub(crate) data: String,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum CorpusLine {
    Text(String),
    Object {
        text: String,
        #[serde(alias = "_id")]
        id: Option<Id>,
    },
    Chunks {
        chunks: Vec<String>,
        #[serde(alias = "_id")]
        id: Option<Id>,
    },
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
    /// One that only 64 bits without a sign have.
    Large(u64),
}

impl Id {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Large(number) => number.to_string(),
        }
    }
}

/// The texts of `path`: of a `.txt` or `.jsonl` file those of its lines, called by their `id` or else by the number of
/// their line, where blank lines are nothing; a document as a whole, called by its name; of a folder each file, called by
/// its path there, and `path:id` for a line of JSON.
///
/// # Errors
/// [`pplx_embed::Error::InvalidArgument`] for another kind of file, [`pplx_embed::Error::Io`] naming file and line.
pub(crate) fn read_corpus(path: &Path, format: Option<Format>, console: &Console) -> Result<Vec<CorpusEntry>> {
    if path.is_dir() {
        let mut entries = Vec::new();
        for file in documents::folder(path, "--corpus", console)? {
            if file.format == Format::JsonLines {
                let lines = lines(&path.join(&file.name), &file.text, true)?;
                entries.extend(lines.into_iter().map(|e| CorpusEntry { id: format!("{}:{}", file.name, e.id), ..e }));
            } else {
                entries.extend(document(file.name, file.text));
            }
        }
        return Ok(entries);
    }
    let (text, format) = read(path, "--corpus", format, KINDS)?;
    match format {
        Format::Lines | Format::JsonLines => lines(path, &text, format == Format::JsonLines),
        Format::Text | Format::Html => {
            let name = path.file_name().map_or_else(|| "-".into(), |name| name.to_string_lossy().into_owned());
            Ok(document(name, format.readable(text)).into_iter().collect())
        }
    }
}

/// A document, if there is anything in it.
fn document(name: String, text: String) -> Option<CorpusEntry> {
    let data = json!({ "path": name }).to_string();
    let some = !text.trim().is_empty();
    some.then(|| CorpusEntry { id: name, texts: vec![text], kind: EntryKind::Document, data })
}

fn lines(path: &Path, text: &str, json: bool) -> Result<Vec<CorpusEntry>> {
    let of_text = |text: String| json!({ "text": text }).to_string();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let wanted = "neither a string nor an object with a string text or an array of strings chunks, and perhaps an id, \
                  a string or a whole number";
    let entry = |(number, line): (usize, &str)| {
        let parsed = if json { json_line(path, number, line, wanted)? } else { CorpusLine::Text(line.into()) };
        let (texts, kind, id, data) = match parsed {
            CorpusLine::Text(text) => (vec![text.clone()], EntryKind::Text, None, of_text(text)),
            CorpusLine::Object { text, id } => (vec![text], EntryKind::Text, id, standard(line.trim())),
            CorpusLine::Chunks { chunks, id } => (chunks, EntryKind::Chunks, id, standard(line.trim())),
        };
        Ok(CorpusEntry { id: id.map_or_else(|| number.to_string(), Id::text), texts, kind, data })
    };
    lines.map(entry).collect()
}

/// Cuts documents into chunks of at most `max_tokens` tokens. In a late index, whose items have no chunks, each becomes an
/// item: `path#0`, `path#1`.
///
/// # Errors
/// As [`pplx_embed::model::Tokenizer::split`].
pub(crate) fn split(
    entries: Vec<CorpusEntry>,
    model: &Model,
    kind: IndexKind,
    max_tokens: usize,
) -> Result<Vec<CorpusEntry>> {
    let mut done = Vec::with_capacity(entries.len());
    for entry in entries {
        let (EntryKind::Document, [text]) = (entry.kind, &entry.texts[..]) else {
            done.push(entry);
            continue;
        };
        let chunks = model.tokenizer().split(text, SplitOptions { max_tokens, overlap: 0 })?;
        let chunks = chunks.into_iter().map(|chunk| text[chunk.range].trim().to_owned());
        let chunks: Vec<String> = chunks.filter(|chunk| !chunk.is_empty()).collect();
        let path = &entry.id;
        match (kind, &chunks[..]) {
            (_, []) => {}
            (_, [one]) => {
                let data = kept(json!({ "path": path, "text": one }), path);
                done.push(CorpusEntry { data, kind: EntryKind::Text, texts: chunks, id: entry.id });
            }
            (IndexKind::Dense, several) => {
                let data = kept(json!({ "path": path, "chunks": several }), path);
                done.push(CorpusEntry { data, kind: EntryKind::Chunks, texts: chunks, id: entry.id });
            }
            (IndexKind::Late, several) => done.extend(several.iter().enumerate().map(|(i, chunk)| CorpusEntry {
                id: format!("{path}#{i}"),
                texts: vec![chunk.clone()],
                kind: EntryKind::Text,
                data: kept(json!({ "path": path, "text": chunk }), path),
            })),
        }
    }
    Ok(done)
}

/// What is kept with an item; without its text where that is too long.
fn kept(data: Value, path: &str) -> String {
    let whole = data.to_string();
    if whole.len() <= MAX_DATA { whole } else { json!({ "path": path }).to_string() }
}
