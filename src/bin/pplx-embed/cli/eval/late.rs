//! Scores of late interaction: MaxSim, of each form of the documents' vectors.

use std::ops::Range;

use pplx_embed::Result;
use pplx_embed::evaluation::VectorForm;
use pplx_embed::maxsim::{Options, Scorer, TokenVectors};
use pplx_embed::model::Model;
use pplx_embed::numbers::{RowBuf, RowData, RowFormat};
use pplx_embed::top_k::TopK;

use super::vectors::EmbeddedTexts;

/// Queries that are scored together.
const QUERIES: usize = 1024;

/// What is scored.
pub(super) struct LateScorer<'a> {
    pub(super) model: &'a Model,
    pub(super) scorer: Scorer,
    pub(super) forms: Vec<VectorForm>,
}

impl LateScorer<'_> {
    /// Holds every query against documents, whose texts have `spans`, as [`pplx_embed::evaluation::ExactSearch::score`] does; `tops` are
    /// `[queries, forms]`. As in an index, queries are compared as float32.
    ///
    /// # Errors
    /// As [`Scorer::score`].
    pub(super) fn score(
        &self,
        queries: &EmbeddedTexts,
        documents: &EmbeddedTexts,
        spans: &[(Range<usize>, u32)],
        ranks: &[u32],
        skip: &[Option<u32>],
        tops: &mut [TopK<u32>],
    ) -> Result<()> {
        let dim = self.model.info().dimensions as usize;
        let (ends_of_queries, ends) = (ends(queries), ends(documents));
        let texts = documents.counts.len();
        for (place, form) in self.forms.iter().enumerate() {
            let rounded = rounded(*form, documents, dim);
            let data = rounded.as_ref().map_or(RowData::Float32(&documents.numbers), RowBuf::as_data);
            let documents = TokenVectors { data, offsets: &ends, dim };
            for first in (0..skip.len()).step_by(QUERIES) {
                let last = skip.len().min(first + QUERIES);
                let rows = ends_of_queries[first] as usize * dim..ends_of_queries[last] as usize * dim;
                let offsets: Vec<u64> =
                    ends_of_queries[first..=last].iter().map(|end| end - ends_of_queries[first]).collect();
                let block = TokenVectors { data: RowData::Float32(&queries.numbers[rows]), offsets: &offsets, dim };
                let score = self.scorer.score(self.model.backend(), block, documents, Options::default(), &());
                let scores = pollster::block_on(score)?;
                for (query, scores) in (first..last).zip(scores.chunks_exact(texts.max(1))) {
                    let top = &mut tops[query * self.forms.len() + place];
                    for (texts, item) in spans.iter().filter(|(_, item)| skip[query] != Some(*item)) {
                        let best = scores[texts.clone()].iter().copied().fold(f32::NEG_INFINITY, f32::max);
                        // An item without texts, or without vectors, cannot be found.
                        if best > f32::NEG_INFINITY {
                            top.push(best, ranks[*item as usize]);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where each text's vectors start, and the last one's end.
fn ends(vectors: &EmbeddedTexts) -> Vec<u64> {
    let ends = vectors.counts.iter().scan(0, |end, &count| {
        *end += u64::from(count);
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// The vectors in a form, with the rounding that `encode` has; `None` for the vectors themselves.
fn rounded(form: VectorForm, vectors: &EmbeddedTexts, dim: usize) -> Option<RowBuf> {
    let format = match form {
        VectorForm::Float => return None,
        VectorForm::Int8 => RowFormat::Int8,
        VectorForm::Binary => RowFormat::Binary,
    };
    Some(RowBuf::from_floats(vectors.numbers.clone(), dim, format))
}
