//! Finding the best items.

use std::borrow::Cow;

use super::catalogue::Span;
use super::rows::MAX_NUMBER;
use super::{Index, IndexKind};
use crate::error::{Error, Result};
use crate::maxsim::{Match, TokenVectors};
use crate::progress::Watch;

/// How to search.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// Most hits of a query, 1 or more.
    pub k: usize,
    /// Of the positions of items, those that may be hits.
    pub filter: Option<&'a dyn Fn(usize) -> bool>,
    /// [`crate::numbers::RowFormat::Binary`] of a dense index: items that Hamming distance leaves to be scored are this many times
    /// `k`, and at least 256.
    pub rescore: u32,
    /// [`super::IndexOptions::first_pass`] of a late index: items that the first pass leaves to be scored; at least `k`.
    pub candidates: u32,
}

impl Default for SearchOptions<'_> {
    /// 10 hits, of 256 items that Hamming distance or a late first pass leaves.
    fn default() -> Self {
        Self { k: 10, filter: None, rescore: 4, candidates: 256 }
    }
}

/// An item that was found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Hit {
    /// Its place in the order of adding.
    pub position: usize,
    /// Dense: a cosine, -1 to 1. Late: a sum, one term a query token.
    pub score: f32,
    /// Dense: which of its rows, counted from 0, has that score; the first of equals. Late: 0.
    pub chunk: u32,
}

impl Index {
    /// The best items for each query, best first: fewer than `k` if there are no more. A dense query is one row, a late
    /// one a row for each of its tokens.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] naming the argument and index: `k` of 0, queries of another shape or with numbers
    /// that are not finite, a late query without rows. [`crate::Error::Aborted`]; [`crate::Error::OutOfMemory`]; faults of
    /// the device.
    pub async fn search(
        &self,
        queries: TokenVectors<'_>,
        options: SearchOptions<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        if options.k == 0 {
            return Err(Error::argument("k", "0, allowed is 1 or more"));
        }
        self.check_queries(&queries)?;
        let spans = self.spans(options.filter);
        if queries.items() == 0 || spans.iter().all(|spans| spans.is_empty()) {
            return Ok(vec![Vec::new(); queries.items()]);
        }
        let found = match self.options.kind {
            IndexKind::Dense => self.search_dense(&queries, &spans, &options, watch).await,
            IndexKind::Late => self.search_late(&queries, &spans, &options, watch).await,
        };
        self.store.backend.settled(found).await
    }

    /// What each row of the one query in `query` matched in the late item `id`: its rows and their similarities, which add
    /// up, in order, to the bits of the score. See also [`Index::ranges`].
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for a dense index; [`crate::Error::InvalidArgument`] for an id that is not there;
    /// and as [`Index::search`].
    pub async fn explain(&self, query: TokenVectors<'_>, id: &str, watch: &dyn Watch) -> Result<Vec<Match>> {
        if self.options.kind == IndexKind::Dense {
            return Err(Error::unsupported("explain with a dense index", "allowed is a late one, which has tokens"));
        }
        self.check_queries(&query)?;
        if query.items() != 1 {
            return Err(Error::argument("queries", format!("are {}, allowed is one", query.items())));
        }
        let unknown = || Error::argument("id", format!("{id:?} is not in the index"));
        let position = self.position(id).ok_or_else(unknown)?;
        self.explain_late(&query, position, watch).await
    }

    fn check_queries(&self, queries: &TokenVectors<'_>) -> Result<()> {
        self.check_rows("queries", queries)?;
        let dense = self.options.kind == IndexKind::Dense;
        for (i, rows) in (0..queries.items()).map(|i| (i, queries.rows(i).len())) {
            if rows == 0 || dense && rows > 1 {
                let allowed = if dense { "one" } else { "one or more" };
                return Err(Error::argument(format!("queries[{i}]"), format!("has {rows} rows, allowed is {allowed}")));
            }
        }
        let highest = queries.peak();
        if !dense && highest > f64::from(MAX_NUMBER) {
            let message = format!("have numbers of up to {highest:e}, allowed are {MAX_NUMBER:e}");
            return Err(Error::argument("queries", message));
        }
        Ok(())
    }

    /// For each segment, the items that have rows there and pass `filter`, in the order of their rows.
    fn spans(&self, filter: Option<&dyn Fn(usize) -> bool>) -> Vec<Cow<'_, [Span]>> {
        let segments = self.store.segments().iter().map(|segment| self.items.spans(segment.name));
        let passing = |spans: &[Span]| {
            spans.iter().filter(|span| filter.is_none_or(|filter| filter(span.position))).copied().collect()
        };
        segments.map(|spans| if filter.is_some() { Cow::Owned(passing(spans)) } else { Cow::Borrowed(spans) }).collect()
    }
}
