//! Judgements, in the forms that people keep them in.
//!
//! Columns of text are TREC's four (query, iteration, document, score, with spaces or tabs between), or three without the
//! second, as BEIR has them; a header says otherwise. Rows of JSON lines and Parquet have the names of a header.
//!
//! A line that begins with `#` is a comment unless it reads as a judgement, because ids begin with `#` as well: it has as
//! many columns, and a number as its score. Where spaces part the columns, one after the `#` makes it a comment.

use std::borrow::Cow;
use std::collections::HashMap;

use pplx_embed::Result;

use super::layout::{FileKind, SetFile};
use super::lines::{Lines, TextLine};
use super::rows::{self, RowPlace, check_id, rows};

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
    pub(super) place: RowPlace,
}

/// All judgements, and what was passed over.
#[derive(Default)]
pub(super) struct Judgements {
    pub(super) all: Vec<Judgement>,
    /// The first that stands there twice, with the same score, and how many do; they count once.
    pub(super) repeated: Option<(String, usize)>,
    /// Lines that are comments.
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
    let mut conflicts: Option<(String, usize, RowPlace)> = None;
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
                if is_comment(&line, columns.as_ref()) {
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
    /// Those of a line without a header, if it has as many as such lines have.
    fn usual(tabs: bool, count: usize) -> Option<Self> {
        let document = if count == 3 { 1 } else { 2 };
        matches!(count, 3 | 4).then_some(Self { tabs, count, query: 0, document, score: document + 1 })
    }

    /// The columns that the first line tells of, and whether it is a header.
    fn of(line: &TextLine) -> Result<(Self, bool)> {
        // Ids may have spaces in them where tabs part the columns; TREC's have none, and anything parts those.
        let tabs = has_tabs(&line.text);
        let parts = split(&line.text, tabs);
        let count = parts.len();
        let place = |names: &[&str]| parts.iter().position(|part| names.contains(&part.to_ascii_lowercase().as_str()));
        let number = parts.last().is_some_and(|last| last.parse::<f64>().is_ok());
        match (place(&QUERY), place(&DOCUMENT), place(&SCORE)) {
            (Some(query), Some(document), Some(score)) if !number => {
                Ok((Self { tabs, count, query, document, score }, true))
            }
            _ => Self::usual(tabs, count).map(|columns| (columns, false)).ok_or_else(|| {
                let names = [QUERY[0], DOCUMENT[0], SCORE[0]].join(", ");
                let message = format!(
                    "has {count} columns, allowed are three or four (query, iteration, document, score), or a header \
                     with {names}; tabs or spaces are between"
                );
                line.place.error(&message)
            }),
        }
    }

    /// The columns of a line; as many as there should be, or else as tabs and spaces part them.
    fn split<'a>(&self, text: &'a str) -> Vec<Cow<'a, str>> {
        let parts = split(text, self.tabs);
        if parts.len() == self.count { parts } else { split(text, false) }
    }

    fn judgement(&self, line: &TextLine) -> Result<Judgement> {
        let mut parts = self.split(&line.text);
        if parts.len() != self.count {
            let count = split(&line.text, self.tabs).len();
            let message = format!("has {count} columns, allowed are {}, as before", self.count);
            return Err(line.place.error(&message));
        }
        for id in [&parts[self.query], &parts[self.document]] {
            check_id(id).map_err(|message| line.place.error(&format!("an id {message}")))?;
        }
        let score = &parts[self.score];
        let score = rows::score(score)
            .ok_or_else(|| line.place.error(&format!("score {score:?}, allowed are whole numbers")))?;
        let mut own = |at: usize| std::mem::take(&mut parts[at]).into_owned();
        Ok(Judgement { query: own(self.query), document: own(self.document), score, place: line.place.clone() })
    }
}

/// Whether a line is a comment; `columns` are those of the lines before it, if there were any.
fn is_comment(line: &TextLine, columns: Option<&Columns>) -> bool {
    let Some(rest) = line.text.strip_prefix('#') else { return false };
    let tabs = has_tabs(&line.text);
    if !tabs && rest.starts_with(char::is_whitespace) {
        return true;
    }
    let usual = Columns::usual(tabs, split(&line.text, tabs).len());
    let Some(columns) = columns.or(usual.as_ref()) else { return true };
    let parts = columns.split(&line.text);
    let number = |score: &Cow<'_, str>| score.trim().parse::<f64>().is_ok();
    parts.len() != columns.count || !parts.get(columns.score).is_some_and(number)
}

fn has_tabs(text: &str) -> bool {
    split(text, true).len() > 2
}

/// The columns of a line. Between tabs they may be quoted.
fn split(text: &str, tabs: bool) -> Vec<Cow<'_, str>> {
    let text = text.trim_end();
    if !tabs {
        return text.split_whitespace().map(Cow::Borrowed).collect();
    }
    let mut parts = Vec::new();
    let mut rest = Some(text);
    while let Some(line) = rest {
        let (part, after) = quoted(line).unwrap_or_else(|| match line.split_once('\t') {
            Some((part, after)) => (part.into(), Some(after)),
            None => (line.into(), None),
        });
        parts.push(part);
        rest = after;
    }
    parts
}

/// The column at the front of `line` if it is quoted, and what comes after its tab. As Python's `csv` reads it: two quotes
/// are one, a tab is part of it, and what stands behind the last quote is, too. `None` if no quote ends it on this line.
fn quoted(line: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let mut rest = line.strip_prefix('"')?;
    let mut text = String::new();
    loop {
        let (inside, after) = rest.split_once('"')?;
        text.push_str(inside);
        match after.strip_prefix('"') {
            Some(after) => {
                text.push('"');
                rest = after;
            }
            None => {
                let (more, next) = after.split_once('\t').map_or((after, None), |(more, next)| (more, Some(next)));
                text.push_str(more);
                return Some((text.into(), next));
            }
        }
    }
}
