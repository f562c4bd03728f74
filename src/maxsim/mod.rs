//! Late interaction: scores of queries against documents, each of which is many token vectors.
//!
//! `score(q, d) = sum_i max_j <q_i, d_j>` (Khattab & Zaharia 2020, "ColBERT"), over the tokens `i` of the query and `j` of
//! the document. What is promised, on every backend:
//!
//! 1. Sums are float32 and so are scores. A score is a raw sum: divide by Lq yourself.
//! 2. There is no padding and no mask: texts lie end to end, [`TokenVectors::offsets`] say where each begins. Negative
//!    similarities count as they are.
//! 3. An empty document scores `-inf` and has no matches. An empty query is refused.
//! 4. Numbers that are not finite, or so large that a similarity could not be, are refused.
//! 5. Of equal similarities the match is the lowest token.
//! 6. A score has the same bits whatever else is scored, in whatever order, and however large the corpus is.
//! 7. It is the dot product of what was given; `normalize` makes it the cosine of every pair of vectors.
//!
//! Documents may be float32, float16, int8 with a factor for each token, or bits, which stand for +1 and -1. Queries may
//! be any of these too, and are widened to float32.

#[cfg(all(test, not(target_arch = "wasm32")))]
mod bench;
mod check;
mod documents;
mod plan;
mod ragged;
mod scorer;
mod scoring;
mod source;
mod tokens;

pub use documents::Resident;
pub use plan::PieceSizes;
pub use scorer::Scorer;
pub use tokens::{MAX_DIM, TokenVectors};

/// How to score.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The pairs to score, each an index of a query and of a document; `None` is every query with every document.
    pub pairs: Option<&'a [(u32, u32)]>,
    /// Bring every vector to unit length first; one of zeros stays as it is.
    pub normalize: bool,
}

/// What a query token contributes to the score of a document.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Match {
    /// The document's token, counted from its first.
    pub token: u32,
    /// Its similarity with the query token.
    pub similarity: f32,
}
