//! `pplx-embed search`

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use pplx_embed::index::{
    AddMode, Hit, Index, IndexKind, IndexOptions, Item, ItemText, MAX_DATA, OpenOptions, SearchOptions,
};
use pplx_embed::model::Model;
use pplx_embed::{Error, Result};
use serde_json::Value;

use super::arguments::Search;
use super::corpus::{self, CorpusEntry, EntryKind};
use super::progress::Console;
use super::{input, output};

/// Most characters of a text that are shown to people.
const SHOWN: usize = 300;

/// Searches a corpus, or a saved index.
pub(crate) fn run(command: &Search) -> Result<()> {
    if command.k == 0 {
        return Err(Error::InvalidArgument { argument: "--k".into(), message: "0, allowed is 1 or more".into() });
    }
    if command.queries.is_empty() && command.corpus.as_deref().is_some_and(|corpus| corpus.as_os_str() == "-") {
        let message = "missing, and standard input is the corpus; give them as arguments".into();
        return Err(Error::InvalidArgument { argument: "QUERY".into(), message });
    }
    let console = Console::new(command.common.origin.quiet);
    let read = |corpus: &Path| corpus::read_corpus(corpus, command.text.format, &console);
    let corpus = command.corpus.as_deref().map(read).transpose()?;
    let queries = if command.queries.is_empty() { input::lines()? } else { command.queries.clone() };
    let model = command.common.load(&console)?;
    let kind = IndexOptions::of_model(&model.info(), command.kind, command.dimensions).kind;
    let most = command.chunk_tokens as usize;
    let corpus = corpus.map(|entries| corpus::split(entries, &model, kind, most)).transpose()?;
    let index = match (&corpus, &command.index) {
        (Some(corpus), _) => build(command, &model, corpus, &console)?,
        (None, Some(path)) => {
            let backend = model.backend().clone();
            pollster::block_on(Index::open_file(backend, path, OpenOptions::default(), &console))?
        }
        (None, None) => {
            return Err(Error::InvalidArgument { argument: "--corpus".into(), message: "is missing".into() });
        }
    };
    if let (Some(_), Some(path)) = (&corpus, &command.index) {
        pollster::block_on(index.save_file(path, &console))?;
        console.note(&format!("{}: {} items", path.display(), index.len()));
    }
    let texts: Vec<&str> = queries.iter().map(String::as_str).collect();
    let SearchOptions { rescore, candidates, .. } = SearchOptions::default();
    let options = SearchOptions {
        k: command.k,
        filter: None,
        rescore: command.rescore.unwrap_or(rescore),
        candidates: command.candidates.unwrap_or(candidates),
    };
    let hits = pollster::block_on(index.search_texts(&model, &texts, options, &console))?;
    console.done();
    // What is too long to be kept with an item is in the corpus.
    let texts: HashMap<&str, &CorpusEntry> = corpus.iter().flatten().map(|entry| (entry.id.as_str(), entry)).collect();
    let found = queries.iter().zip(hits).map(|(query, hits)| {
        let hit = |hit: Hit| {
            let id = index.id(hit.position).unwrap_or_default();
            let chunk = (index.options().kind == IndexKind::Dense).then_some(hit.chunk);
            let data = index.data(hit.position).and_then(|data| serde_json::from_str(data).ok());
            let entry = texts.get(id).and_then(|entry| entry.texts.get(chunk.unwrap_or(0) as usize));
            FoundItem { id, score: hit.score, chunk, ..FoundItem::with(data, hit.chunk, entry, command.text.no_text) }
        };
        QueryHits { query, hits: hits.into_iter().map(hit).collect() }
    });
    if command.common.origin.json { output::json_lines(found) } else { print(found, queries.len() > 1) }
}

#[derive(serde::Serialize)]
struct QueryHits<'a> {
    query: &'a str,
    hits: Vec<FoundItem<'a>>,
}

#[derive(Default, serde::Serialize)]
struct FoundItem<'a> {
    id: &'a str,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<u32>,
    /// The text that was found, of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Characters that are left out of the text.
    #[serde(rename = "textCut", skip_serializing_if = "Option::is_none")]
    cut: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// What was found, for people.
    #[serde(skip)]
    passage: String,
}

impl FoundItem<'_> {
    /// What is shown of an item that keeps `data`; `text` is its text or chunk, where that is at hand.
    fn with(data: Option<Value>, chunk: u32, text: Option<&String>, no_text: bool) -> Self {
        let mut data = data.unwrap_or_default();
        let chunk_of = |data: &Value| data.get("chunks")?.get(chunk as usize)?.as_str().map(String::from);
        let text_of = |data: &Value| data.get("text").and_then(Value::as_str).map(String::from);
        let passage = text.cloned().or_else(|| text_of(&data)).or_else(|| chunk_of(&data)).unwrap_or_default();
        let mut found = Self::default();
        if no_text {
            drop_texts(&mut data);
        } else {
            let (beginning, cut) = output::beginning(&passage, output::SHOWN);
            found.cut = (cut > 0).then_some(cut);
            // A document's data is of this command's making: what is shown is the chunk that was found.
            if data.get("path").is_some()
                && data.as_object().is_some_and(|data| data.keys().all(|key| is_of_document(key)))
            {
                drop_texts(&mut data);
                found.text = Some(beginning.into());
            } else if cut > 0 && data.get("text").is_some() {
                data["text"] = beginning.into();
            }
            found.passage = passage;
        }
        let empty = data.is_null() || data.as_object().is_some_and(serde_json::Map::is_empty);
        Self { data: (!empty).then_some(data), ..found }
    }
}

fn is_of_document(key: &str) -> bool {
    ["path", "text", "chunks"].contains(&key)
}

fn drop_texts(data: &mut Value) {
    if let Some(data) = data.as_object_mut() {
        data.retain(|key, _| key != "text" && key != "chunks");
    }
}

/// A line for each hit: its score, id and text; before them the query, where there are several.
fn print<'a>(answers: impl Iterator<Item = QueryHits<'a>>, several: bool) -> Result<()> {
    let io = |e: std::io::Error| Error::Io { file: "standard output".into(), message: e.to_string() };
    let mut out = BufWriter::new(std::io::stdout());
    for answer in answers {
        if several {
            let (query, more) = output::beginning(answer.query, SHOWN);
            writeln!(out, "{query}{}", left_out(more)).map_err(io)?;
        }
        for FoundItem { id, score, passage, .. } in answer.hits {
            let passage = passage.split_whitespace().collect::<Vec<_>>().join(" ");
            let (text, more) = output::beginning(&passage, SHOWN);
            let indent = if several { "  " } else { "" };
            writeln!(out, "{}", format!("{indent}{score:.4}  {id}  {text}{}", left_out(more)).trim_end())
                .map_err(io)?;
        }
    }
    out.flush().map_err(io)
}

/// Says how much of a text is not shown.
fn left_out(characters: usize) -> String {
    if characters > 0 { format!("... ({characters} more characters)") } else { String::new() }
}

fn build(command: &Search, model: &Model, corpus: &[CorpusEntry], console: &Console) -> Result<Index> {
    let info = model.info();
    let mut options = IndexOptions::of_model(&info, command.kind, command.dimensions);
    options.rows = command.dtype.unwrap_or(options.rows);
    options.model = Some(command.common.origin.model.clone());
    options.first_pass = command.first_pass;
    let mut index = Index::new(model.backend().clone(), options)?;
    let chunks: Vec<Vec<&str>> = corpus.iter().map(|entry| entry.texts.iter().map(String::as_str).collect()).collect();
    let texts: Vec<ItemText<'_>> = corpus
        .iter()
        .zip(&chunks)
        .map(|(entry, chunks)| match (entry.kind, &chunks[..]) {
            (EntryKind::Text, [text]) => ItemText::One(text),
            _ => ItemText::Chunks(chunks),
        })
        .collect();
    // What is too long to be kept with an item is left out; it is in the corpus.
    let kept = |entry: &CorpusEntry| entry.data.len() <= MAX_DATA;
    let items: Vec<Item<'_>> =
        corpus.iter().map(|e| Item { id: &e.id, data: kept(e).then_some(e.data.as_str()) }).collect();
    let usage = pollster::block_on(index.add_texts(model, &items, &texts, AddMode::Add, console))?;
    console.done();
    for &item in &usage.truncated {
        console.note(&format!("note: {} was cut to the length the model reads", corpus[item].id));
    }
    Ok(index)
}
