//! What is to be scored, cut to pieces that fit the device: pure arithmetic on offsets.
//!
//! The query rows go through in passes, most often one. In a pass the documents that are asked for go through in groups,
//! in their order, so that the running maxima of a group fit `best`. A group's tokens go through in shards; a document
//! may straddle shards, since its maxima stay where they are. Empty documents take no part: their score is known.

use std::ops::Range;

use super::ragged::Ragged;
use crate::backend::{MaxSimJob, MaximaSum};

/// Sizes of the pieces; the defaults are what memory is bounded by, and smaller ones are for tests of the seams.
#[derive(Clone, Copy, Debug)]
pub struct PieceSizes {
    /// Bytes of document tokens in a shard; at least one token is taken.
    pub shard_bytes: u64,
    /// Query rows in a pass, 1 to 32,768.
    pub query_rows: usize,
    /// Running maxima in a group; at least those of one document are taken.
    pub best: usize,
}

impl Default for PieceSizes {
    /// 32 MiB of tokens and 8 MiB of maxima at a time.
    fn default() -> Self {
        Self { shard_bytes: 32 << 20, query_rows: 32_768, best: 2 << 20 }
    }
}

/// A document, a query, and the place in the result that their score belongs to.
pub(super) type Pair = (usize, usize, usize);

/// Which scores are wanted, of documents that are not empty.
pub(super) enum WantedScores {
    /// Every query with each of these documents; place `query * all documents + document`.
    All(Vec<usize>),
    /// These pairs, sorted.
    Pairs(Vec<Pair>),
}

impl WantedScores {
    /// Every query with every document, or `pairs` of query and document; and the places of empty documents.
    pub(super) fn new(pairs: Option<&[(u32, u32)]>, queries: Ragged<'_>, documents: Ragged<'_>) -> (Self, Vec<usize>) {
        let empty = |d: usize| documents.rows(d).is_empty();
        let items = documents.items();
        let Some(pairs) = pairs else {
            let (none, some): (Vec<usize>, _) = (0..items).partition(|&d| empty(d));
            let places = (0..queries.items()).flat_map(|q| none.iter().map(move |d| q * items + d));
            return (Self::All(some), places.collect());
        };
        let pairs = pairs.iter().zip(0..).map(|(&(q, d), place)| (d as usize, q as usize, place));
        let (none, mut some): (Vec<Pair>, Vec<Pair>) = pairs.partition(|&(d, ..)| empty(d));
        some.sort_unstable();
        (Self::Pairs(some), none.into_iter().map(|(.., place)| place).collect())
    }

    /// The most tokens that a group can have, and the most maxima that a pass of `rows` query rows can.
    pub(super) fn room(&self, queries: Ragged<'_>, documents: Ragged<'_>, rows: usize) -> [usize; 2] {
        match self {
            Self::All(docs) => [documents.count(), docs.len().saturating_mul(rows)],
            Self::Pairs(pairs) => {
                let docs = pairs.chunk_by(|a, b| a.0 == b.0).map(|same| documents.rows(same[0].0).len());
                let rows = pairs.iter().map(|&(_, q, _)| queries.rows(q).len().min(rows));
                [docs.sum(), rows.fold(0, usize::saturating_add)]
            }
        }
    }

    /// Similarities in all: what progress is counted in.
    pub(super) fn similarities(&self, queries: Ragged<'_>, documents: Ragged<'_>) -> u64 {
        let product = |a: usize, b: usize| a as u64 * b as u64;
        match self {
            Self::All(_) => product(queries.count(), documents.count()),
            // A pair that is asked for twice is scored once.
            Self::Pairs(pairs) => pairs
                .chunk_by(|a, b| a.0 == b.0 && a.1 == b.1)
                .map(|same| product(queries.rows(same[0].1).len(), documents.rows(same[0].0).len()))
                .sum(),
        }
    }
}

/// A pass: some query rows, end to end.
pub(super) struct QueryPass {
    /// The rows, counted over all queries.
    pub(super) rows: Range<usize>,
    /// The queries these belong to, in order.
    parts: Vec<QueryPart>,
}

/// The rows of one query in a pass.
#[derive(Clone, Copy)]
struct QueryPart {
    query: usize,
    /// Counted from the pass's first row.
    first: usize,
    rows: usize,
}

impl QueryPass {
    /// The passes over `queries`, none of which is empty, each of `most` rows at most.
    pub(super) fn all(queries: Ragged<'_>, most: usize) -> impl Iterator<Item = Self> {
        let total = queries.count();
        (0..total).step_by(most).map(move |start| {
            let rows = start..total.min(start + most);
            let first = queries.item_of(start);
            let here = (first..queries.items()).map(|query| (query, queries.rows(query)));
            let parts = here.take_while(|(_, of)| of.start < rows.end).map(|(query, of)| {
                let (from, to) = (of.start.max(rows.start), of.end.min(rows.end));
                QueryPart { query, first: from - rows.start, rows: to - from }
            });
            Self { parts: parts.collect(), rows }
        })
    }

    fn part(&self, query: usize) -> Option<QueryPart> {
        self.parts.binary_search_by_key(&query, |p| p.query).ok().map(|i| self.parts[i])
    }
}

/// Documents whose maxima are in `best` together.
#[derive(Default)]
pub(super) struct DocumentGroup {
    /// In ascending order.
    docs: Vec<PlacedDocument>,
    jobs: Vec<GroupJob>,
    /// What is to be summed.
    pub(super) outputs: Vec<MaximaSum>,
    /// `(output, place)`: where in the result an output belongs. A pair that is asked for twice has two places.
    pub(super) places: Vec<(usize, usize)>,
    /// Numbers taken of `best`.
    best: usize,
    placement: Placement,
}

/// How the tokens of a group lie where they are scored.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Placement {
    /// Uploaded, end to end, as many shards as it takes.
    #[default]
    Packed,
    /// Where they are on the device; between two documents there may be others.
    Resident,
    /// Where they are in host memory, a shard after the other; between two documents there may be others.
    Lent,
}

/// A document of a group, and its tokens: counted over the group, or over the buffer where it is.
struct PlacedDocument {
    doc: usize,
    tokens: Range<usize>,
}

/// Query rows against consecutive documents of a group; their maxima are `[docs, rows]` from `best` on.
struct GroupJob {
    docs: Range<usize>,
    query: usize,
    rows: usize,
    best: usize,
}

impl DocumentGroup {
    /// The spans of `wanted` that make a group of `most` maxima, or of one document, each.
    pub(super) fn spans(wanted: &WantedScores, pass: &QueryPass, most: usize) -> Vec<Range<usize>> {
        let mut spans = Vec::new();
        match wanted {
            WantedScores::All(docs) => {
                let each = (most / pass.rows.len()).max(1);
                spans.extend((0..docs.len()).step_by(each).map(|from| from..docs.len().min(from + each)));
            }
            WantedScores::Pairs(pairs) => {
                let (mut from, mut to, mut best) = (0, 0, 0);
                for of_doc in pairs.chunk_by(|a, b| a.0 == b.0) {
                    let rows =
                        of_doc.chunk_by(|a, b| a.1 == b.1).map(|same| pass.part(same[0].1).map_or(0, |p| p.rows));
                    let rows: usize = rows.sum();
                    if best + rows > most && from < to {
                        spans.push(from..to);
                        (from, best) = (to, 0);
                    }
                    best += rows;
                    to += of_doc.len();
                }
                spans.push(from..to);
            }
        }
        spans
    }

    /// The group of one span.
    pub(super) fn new(
        wanted: &WantedScores,
        span: Range<usize>,
        pass: &QueryPass,
        documents: Ragged<'_>,
        placement: Placement,
    ) -> Self {
        let mut group = Self { placement, ..Self::default() };
        match wanted {
            WantedScores::All(docs) => {
                let docs = &docs[span];
                docs.iter().for_each(|&d| group.add_document(documents, d));
                group.add_job(0..docs.len(), 0, pass.rows.len());
                for (position, doc) in docs.iter().enumerate() {
                    for part in &pass.parts {
                        let place = part.query * documents.items() + doc;
                        group.places.push((group.outputs.len(), place));
                        let best = (position * pass.rows.len() + part.first) as u32;
                        group.outputs.push(MaximaSum { best, rows: part.rows as u32 });
                    }
                }
            }
            WantedScores::Pairs(pairs) => group.add_pairs(&pairs[span], pass, documents),
        }
        group
    }

    fn add_document(&mut self, documents: Ragged<'_>, doc: usize) {
        let rows = documents.rows(doc);
        let start = match self.placement {
            Placement::Packed => self.docs.last().map_or(0, |d| d.tokens.end),
            Placement::Resident | Placement::Lent => rows.start,
        };
        self.docs.push(PlacedDocument { doc, tokens: start..start + rows.len() });
    }

    fn add_job(&mut self, docs: Range<usize>, query: usize, rows: usize) {
        let best = self.best;
        self.best += docs.len() * rows;
        self.jobs.push(GroupJob { docs, query, rows, best });
    }

    fn add_pairs(&mut self, pairs: &[Pair], pass: &QueryPass, documents: Ragged<'_>) {
        // By query, then by document: neighbours become one job.
        let mut by_query = Vec::new();
        for &(doc, query, place) in pairs {
            let Some(part) = pass.part(query) else { continue };
            if self.docs.last().is_none_or(|d| d.doc != doc) {
                self.add_document(documents, doc);
            }
            by_query.push((part, self.docs.len() - 1, place));
        }
        by_query.sort_unstable_by_key(|&(part, position, place)| (part.query, position, place));
        for run in by_query.chunk_by(|a, b| a.0.query == b.0.query && b.1 <= a.1 + 1) {
            let (part, first, _) = run[0];
            let best = self.best;
            self.add_job(first..run[run.len() - 1].1 + 1, part.first, part.rows);
            for same in run.chunk_by(|a, b| a.1 == b.1) {
                self.places.extend(same.iter().map(|&(.., place)| (self.outputs.len(), place)));
                let best = (best + (same[0].1 - first) * part.rows) as u32;
                self.outputs.push(MaximaSum { best, rows: part.rows as u32 });
            }
        }
    }

    /// The position of the document that has this token of the group.
    fn at(&self, token: usize) -> usize {
        self.docs.partition_point(|d| d.tokens.end <= token)
    }

    /// The group's tokens in shards of `most`, which begin and end with tokens of documents.
    pub(super) fn shards(&self, most: usize) -> impl Iterator<Item = TokenShard> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = self.at(next);
            let start = next.max(self.docs.get(first)?.tokens.start);
            let limit = start.saturating_add(most);
            let last = self.docs.partition_point(|d| d.tokens.start < limit);
            next = limit.min(self.docs[last - 1].tokens.end);
            let origin = if self.placement == Placement::Resident { 0 } else { start };
            Some(TokenShard { docs: first..last, tokens: start..next, origin })
        })
    }

    /// Rows of `documents` that a shard of packed tokens holds, in order.
    pub(super) fn rows(&self, shard: &TokenShard, documents: Ragged<'_>) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for PlacedDocument { doc, tokens } in &self.docs[shard.docs.clone()] {
            let first = documents.rows(*doc).start;
            let (from, to) = (tokens.start.max(shard.tokens.start), tokens.end.min(shard.tokens.end));
            let rows = first + from - tokens.start..first + to - tokens.start;
            match runs.last_mut() {
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => runs.push(rows),
            }
        }
        runs
    }

    /// The documents of a shard as rows of its buffer, and what is scored of them.
    pub(super) fn work(&self, shard: &TokenShard) -> (Vec<Range<u32>>, Vec<MaxSimJob>) {
        let (here, docs) = (&shard.tokens, &shard.docs);
        let rows = |placed: &PlacedDocument| {
            let (from, to) = (placed.tokens.start.max(here.start), placed.tokens.end.min(here.end));
            (from - shard.origin) as u32..(to - shard.origin) as u32
        };
        let documents = self.docs[docs.clone()].iter().map(rows).collect();
        let job = |job: &GroupJob| {
            let of_job = job.docs.start.max(docs.start)..job.docs.end.min(docs.end);
            let best = job.best + of_job.start.saturating_sub(job.docs.start) * job.rows;
            let documents = of_job.start.saturating_sub(docs.start)..of_job.end.saturating_sub(docs.start);
            let (query, rows, best) = (job.query as u32, job.rows as u32, best as u32);
            (!of_job.is_empty()).then_some(MaxSimJob { documents, query, rows, best })
        };
        (documents, self.jobs.iter().filter_map(job).collect())
    }
}

/// Consecutive tokens of a group.
pub(super) struct TokenShard {
    /// As they lie: of lent ones, rows of the caller's.
    pub(super) tokens: Range<usize>,
    docs: Range<usize>,
    /// The token that is the first row of what is scored.
    origin: usize,
}
