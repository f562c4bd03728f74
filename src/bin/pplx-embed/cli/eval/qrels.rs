//! Judgements, in the forms that people keep them in.
//!
//! Columns of text are TREC's four (query, iteration, document, score, with spaces or tabs between), or three without the
//! second, as BEIR has them; a header says otherwise. Rows of JSON lines and Parquet have the names of a header.

use std::collections::HashMap;

use pplx_embed::Result;

use super::layout::{FileKind, SetFile};
use super::lines::{Lines, TextLine};
use super::rows::{self, Place, check_id, rows};

/// What the columns are called: BEIR's names first, then those that others have given them.
const QUERY: [&str; 7] = ["query-id", "query_id", "qid", "query", "topic", "topic_id", "topic-id"];
const DOCUMENT: [&str; 8] = ["corpus-id", "corpus_id", "docid", "doc_id", "doc-id", "docno", "pid", "document"];
const SCORE: [&str; 6] = ["score", "rel", "relevance", "label", "grade", "judgement"];

/// How relevant a document is to a query.
pub(super) struct Judgement {
    pub(super) query: String,
    pub(super) document: String,
    pub(super) score: i64,
    /// Where it stands.
    pub(super) place: Place,
}

/// All judgements, and what was passed over.
#[derive(Default)]
pub(super) struct Judgements {
    pub(super) all: Vec<Judgement>,
    /// The first that stands there twice, with the same score, and how many do; they count once.
    pub(super) repeated: Option<(String, usize)>,
    /// Lines that begin with `#`.
    pub(super) comments: usize,
}

/// The judgements of `files`, in order.
///
/// # Errors
/// [`pplx_embed::Error::Io`] naming the line or row: other columns than the first line has, an id that is none, a score
/// that is no whole number, or, as in trec_eval, another score for the same pair.
pub(super) fn judgements(files: &[SetFile]) -> Result<Judgements> {
    let mut found = Judgements::default();
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    let mut conflicts: Option<(String, usize, Place)> = None;
    let mut take = |found: &mut Judgements, judgement: Judgement| {
        let Judgement { query, document, score, place } = &judgement;
        match seen.get(&(query.clone(), document.clone())).map(|&at| &found.all[at]) {
            None => {
                seen.insert((query.clone(), document.clone()), found.all.len());
                found.all.push(judgement);
            }
            Some(before) if before.score == *score => {
                let pair = || (format!("{query:?} and {document:?} at {}", place.beside(&before.place)), 0);
                found.repeated.get_or_insert_with(pair).1 += 1;
            }
            Some(Judgement { score: was, place: other, .. }) => {
                let message = || {
                    format!(
                        "score {score}, but {was} for the same pair, {query:?} and {document:?}, on {}",
                        other.beside(place)
                    )
                };
                conflicts.get_or_insert_with(|| (message(), 0, place.clone())).1 += 1;
            }
        }
    };
    for file in files {
        if file.kind == FileKind::Columns {
            let mut columns = None;
            for line in Lines::open(&file.path)? {
                let line = line?;
                if line.text.starts_with('#') {
                    found.comments += 1;
                    continue;
                }
                match &columns {
                    None => {
                        let (own, header) = Columns::of(&line)?;
                        if !header {
                            take(&mut found, own.judgement(&line)?);
                        }
                        columns = Some(own);
                    }
                    Some(columns) => take(&mut found, columns.judgement(&line)?),
                }
            }
        } else {
            let names = [&QUERY[..], &DOCUMENT, &SCORE].concat();
            for row in rows(file, &names)? {
                let row = row?;
                let (query, document, score) = (row.id(&QUERY)?, row.id(&DOCUMENT)?, row.score(&SCORE)?);
                take(&mut found, Judgement { query, document, score, place: row.place });
            }
        }
    }
    match conflicts {
        None => Ok(found),
        Some((message, 1, place)) => Err(place.error(&message)),
        Some((message, count, place)) => Err(place.error(&format!("{message}; {count} pairs have two scores"))),
    }
}

/// Where in a line what stands.
struct Columns {
    tabs: bool,
    count: usize,
    query: usize,
    document: usize,
    score: usize,
}

impl Columns {
    /// The columns that the first line tells of, and whether it is a header.
    fn of(line: &TextLine) -> Result<(Self, bool)> {
        // Ids may have spaces in them where tabs part the columns; TREC's have none, and anything parts those.
        let tabs = split(&line.text, true).len() > 2;
        let parts = split(&line.text, tabs);
        let count = parts.len();
        let usual = |document: usize| Self { tabs, count, query: 0, document, score: document + 1 };
        let place = |names: &[&str]| parts.iter().position(|part| names.contains(&part.to_ascii_lowercase().as_str()));
        let number = parts.last().is_some_and(|last| last.parse::<f64>().is_ok());
        match (place(&QUERY), place(&DOCUMENT), place(&SCORE)) {
            (Some(query), Some(document), Some(score)) if !number => {
                Ok((Self { tabs, count, query, document, score }, true))
            }
            _ if count == 3 => Ok((usual(1), false)),
            _ if count == 4 => Ok((usual(2), false)),
            _ => {
                let names = [QUERY[0], DOCUMENT[0], SCORE[0]].join(", ");
                let message = format!(
                    "has {count} columns, allowed are three or four (query, iteration, document, score), or a header \
                     with {names}; tabs or spaces are between"
                );
                Err(line.place.error(&message))
            }
        }
    }

    fn judgement(&self, line: &TextLine) -> Result<Judgement> {
        let mut parts = split(&line.text, self.tabs);
        if parts.len() != self.count {
            parts = split(&line.text, false);
        }
        if parts.len() != self.count {
            let count = split(&line.text, self.tabs).len();
            let message = format!("has {count} columns, allowed are {}, as before", self.count);
            return Err(line.place.error(&message));
        }
        for id in [parts[self.query], parts[self.document]] {
            check_id(id).map_err(|message| line.place.error(&format!("an id {message}")))?;
        }
        let score = parts[self.score];
        let score = rows::score(score)
            .ok_or_else(|| line.place.error(&format!("score {score:?}, allowed are whole numbers")))?;
        let (query, document) = (parts[self.query].into(), parts[self.document].into());
        Ok(Judgement { query, document, score, place: line.place.clone() })
    }
}

fn split(text: &str, tabs: bool) -> Vec<&str> {
    let text = text.trim_end();
    if tabs { text.split('\t').collect() } else { text.split_whitespace().collect() }
}
