//! Judgements, from a `.tsv` file.

use std::collections::HashMap;
use std::path::Path;

use pplx_embed::Result;

use super::files::Lines;

/// The first line of such a file.
const HEADER: [&str; 3] = ["query-id", "corpus-id", "score"];

/// How relevant a document is to a query.
pub(super) struct Judgement {
    pub(super) query: String,
    pub(super) document: String,
    pub(super) score: i64,
    /// Where it stands.
    pub(super) line: usize,
}

/// The judgements of `path`, in order. One that stands there twice counts once.
///
/// # Errors
/// [`pplx_embed::Error::Io`] naming the line: no header, other than three columns, a score that is no whole number, or
/// another score for the same pair.
pub(super) fn judgements(path: &Path) -> Result<Vec<Judgement>> {
    let mut found: Vec<Judgement> = Vec::new();
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    for (i, line) in Lines::open(path)?.enumerate() {
        let line = line?;
        let columns: Vec<&str> = line.text.trim_end_matches(['\n', '\r']).split('\t').collect();
        let [query, document, score] = columns[..] else {
            let message =
                format!("has {} columns, allowed are {}, with tabs between", columns.len(), HEADER.join(", "));
            return Err(line.error(&message));
        };
        if i == 0 {
            if columns != HEADER {
                return Err(line.error(&format!("{columns:?}, allowed is the header {HEADER:?}")));
            }
            continue;
        }
        let score: i64 =
            score.trim().parse().map_err(|_| line.error(&format!("score {score:?}, allowed are whole numbers")))?;
        match seen.insert((query.into(), document.into()), found.len()) {
            None => found.push(Judgement { query: query.into(), document: document.into(), score, line: line.number }),
            Some(before) if found[before].score == score => {
                seen.insert((query.into(), document.into()), before);
            }
            Some(before) => {
                let Judgement { line: other, score: was, .. } = &found[before];
                return Err(line.error(&format!("score {score}, but {was} for the same pair on line {other}")));
            }
        }
    }
    Ok(found)
}
