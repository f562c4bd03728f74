//! MaxSim as a caller sees it.

use super::documents::Documents;
use super::plan::PieceSizes;
use super::scoring::Scoring;
use super::{Match, Options, Resident, TokenVectors, check};
use crate::backend::{Backend, Kernels, Operation};
use crate::error::Result;
use crate::numbers::RowFormat;
use crate::progress::Watch;

/// Similarities that an explanation reads back at a time.
const EXPLAINED: usize = 1 << 20;

/// Scores on any backend. It needs no model and holds no tokens.
#[derive(Clone, Debug, Default)]
pub struct Scorer {
    family: Option<String>,
    sizes: PieceSizes,
}

impl Scorer {
    /// A scorer whose kernels are chosen by the device.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scorer with this family of kernels, `tile` or `strip`, for tests and measurements.
    pub fn of(family: &str) -> Self {
        Self { family: Some(family.into()), ..Self::default() }
    }

    /// The same with pieces of other sizes, for tests of the seams between them.
    pub fn with_sizes(self, sizes: PieceSizes) -> Self {
        Self { sizes, ..self }
    }

    /// The scores of `queries` against `documents`: `[queries, documents]`, row-major, or one for each of
    /// [`Options::pairs`]. [`super`] says what a score is. The memory it takes does not grow with the documents.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] naming the argument and index; [`crate::Error::Aborted`]; [`crate::Error::WrongKernel`] if no
    /// kernel gives the right numbers on this adapter; faults of the device.
    pub async fn score(
        &self,
        backend: &Backend,
        queries: TokenVectors<'_>,
        documents: TokenVectors<'_>,
        options: Options<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        self.run(backend, &queries, Documents::Host(documents), options, watch).await
    }

    /// The scores of `queries` against documents that are on the device: `[queries, documents]`, row-major, or one for
    /// each of `pairs` of a query and a document. They have the bits that [`Scorer::score`] gives for the same vectors.
    ///
    /// # Errors
    /// As [`Scorer::score`]; of the documents, only shapes are checked.
    pub async fn score_resident(
        &self,
        backend: &Backend,
        queries: TokenVectors<'_>,
        documents: Resident<'_>,
        pairs: Option<&[(u32, u32)]>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        self.run(backend, &queries, Documents::Device(documents), Options { pairs, normalize: false }, watch).await
    }

    async fn run(
        &self,
        backend: &Backend,
        queries: &TokenVectors<'_>,
        documents: Documents<'_>,
        options: Options<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let mut scores = check::zeros(check::arguments(queries, &documents, &options)?)?;
        let scored = async {
            let kernels = self.kernels(backend, documents.format()).await?;
            let scoring = Scoring { backend, kernels: &kernels, sizes: self.sizes, normalize: options.normalize };
            scoring.score(queries, documents, options.pairs, watch, &mut scores).await
        };
        let scored = scored.await;
        backend.settled(scored).await.map(|()| scores)
    }

    async fn kernels(&self, backend: &Backend, format: RowFormat) -> Result<Kernels> {
        let operations = [Operation::MaxSim(format)];
        match &self.family {
            Some(family) => backend.kernels_of(family, &operations).await,
            None => backend.kernels(&operations).await,
        }
    }

    /// What each token of a query contributes to its score against a document, and which of the document's tokens it
    /// matched: one [`Match`] a query token, or none for an empty document. The similarities add up, in order, to the
    /// bits of the score. `watch` is asked whether to stop, and hears nothing.
    ///
    /// # Errors
    /// As [`Scorer::score`], where `pair` is `pairs[0]`.
    pub async fn explain(
        &self,
        backend: &Backend,
        [queries, documents]: [TokenVectors<'_>; 2],
        pair: (u32, u32),
        normalize: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Match>> {
        check::arguments(&queries, &Documents::Host(documents), &Options { pairs: Some(&[pair]), normalize })?;
        let (query, document) = (queries.rows(pair.0 as usize), documents.rows(pair.1 as usize));
        // Every vector as an item of its own: then a score is a similarity.
        let counted: Vec<u64> = (0..=query.len().max(document.len()) as u64).collect();
        let rows = queries.apart(query.start, &counted[..=query.len()]);
        let mut matches: Vec<Match> = Vec::new();
        for first in document.clone().step_by((EXPLAINED / query.len()).max(1)) {
            let count = (EXPLAINED / query.len()).max(1).min(document.end - first);
            let columns = documents.apart(first, &counted[..=count]);
            let options = Options { pairs: None, normalize };
            let similarities = self.score(backend, rows, columns, options, &Quiet(watch)).await?;
            for (i, row) in similarities.chunks_exact(count).enumerate() {
                for (token, &similarity) in ((first - document.start) as u32..).zip(row) {
                    match matches.get_mut(i) {
                        None => matches.push(Match { token, similarity }),
                        Some(best) if similarity > best.similarity => *best = Match { token, similarity },
                        Some(_) => {}
                    }
                }
            }
        }
        Ok(matches)
    }
}

/// Cancels as another does, and keeps the progress of a part of a call to itself.
struct Quiet<'a>(&'a dyn Watch);

impl Watch for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}
