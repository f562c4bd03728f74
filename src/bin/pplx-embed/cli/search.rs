//! `pplx-embed search`

use std::io::{BufWriter, Write};

use pplx_embed::index::{
    AddMode, Hit, Index, IndexKind, IndexOptions, Item, ItemText, MAX_DATA, OpenOptions, SearchOptions,
};
use pplx_embed::model::Model;
use pplx_embed::{Error, Result};

use super::arguments::Search;
use super::input::{self, CorpusEntry};
use super::output;
use super::progress::Console;

/// Searches a corpus, or a saved index.
pub(crate) fn run(command: &Search) -> Result<()> {
    if command.k == 0 {
        return Err(Error::InvalidArgument { argument: "--k".into(), message: "0, allowed is 1 or more".into() });
    }
    let corpus = command.corpus.as_deref().map(input::corpus).transpose()?;
    let queries = if command.queries.is_empty() { input::lines()? } else { command.queries.clone() };
    let console = Console::new(command.common.origin.quiet);
    let model = command.common.load(&console)?;
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
    let found = queries.iter().zip(hits).map(|(query, hits)| {
        let hit = |hit: Hit| FoundItem {
            id: index.id(hit.position).unwrap_or_default(),
            score: hit.score,
            chunk: (index.options().kind == IndexKind::Dense).then_some(hit.chunk),
            data: index.data(hit.position).and_then(|data| serde_json::from_str(data).ok()),
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

#[derive(serde::Serialize)]
struct FoundItem<'a> {
    id: &'a str,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<serde_json::Value>,
}

/// A line for each hit: its score, id and text; before them the query, where there are several.
fn print<'a>(answers: impl Iterator<Item = QueryHits<'a>>, several: bool) -> Result<()> {
    let io = |e: std::io::Error| Error::Io { file: "standard output".into(), message: e.to_string() };
    let mut out = BufWriter::new(std::io::stdout());
    for answer in answers {
        if several {
            writeln!(out, "{}", answer.query).map_err(io)?;
        }
        for FoundItem { id, score, data, .. } in answer.hits {
            let text = data.as_ref().and_then(|data| data.get("text")?.as_str()).unwrap_or_default();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let indent = if several { "  " } else { "" };
            writeln!(out, "{indent}{score:.4}  {id}  {text}").map_err(io)?;
        }
    }
    out.flush().map_err(io)
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
        .map(|(entry, chunks)| match (entry.chunked, &chunks[..]) {
            (false, [text]) => ItemText::One(text),
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
