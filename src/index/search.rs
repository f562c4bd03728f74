//! Finding the best items.

use super::Index;
use crate::error::Result;
use crate::maxsim::{Match, Tokens};
use crate::watch::Watch;

/// How to search.
#[derive(Clone, Copy)]
pub struct SearchOptions<'a> {
    /// Most hits of a query, 1 or more.
    pub k: usize,
    /// Of the positions of items, those that may be hits.
    pub filter: Option<&'a dyn Fn(usize) -> bool>,
    /// [`super::RowType::Binary`] of a dense index: rows that Hamming distance leaves to be scored are this many times
    /// `k`, and at least 100.
    pub rescore: u32,
    /// [`super::IndexOptions::first_pass`] of a late index: items that the first pass leaves to be scored; at least `k`.
    pub candidates: u32,
}

impl Default for SearchOptions<'_> {
    /// 10 hits, of 100 rows or 256 items that a first pass leaves.
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
        queries: Tokens<'_>,
        options: SearchOptions<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        let _ = (queries, options, watch);
        Err(crate::Error::unsupported("search", "not yet"))
    }

    /// What each row of the one query in `query` matched in the late item `id`: its rows and their similarities, which add
    /// up, in order, to the bits of the score. See also [`Index::ranges`].
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] for a dense index; [`crate::Error::InvalidArgument`] for an id that is not there;
    /// and as [`Index::search`].
    pub async fn explain(&self, query: Tokens<'_>, id: &str, watch: &dyn Watch) -> Result<Vec<Match>> {
        let _ = (query, id, watch);
        Err(crate::Error::unsupported("explain", "not yet"))
    }
}
