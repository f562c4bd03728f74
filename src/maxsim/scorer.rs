//! MaxSim on the GPU: what a caller sees of it.

use async_lock::Mutex;

use super::documents::Documents;
use super::plan::Limits;
use super::run::Run;
use super::{Match, Options, Resident, Tokens, check, probe};
use crate::error::{Error, Result};
use crate::gpu::{Family, Gpu, MaxSim, TokenForm};
use crate::watch::Watch;

/// Similarities that an explanation reads back at a time.
const EXPLAINED: usize = 1 << 20;

/// Scores on one device. It needs no model, holds no tokens, and compiles what a form of documents needs when the first
/// of that form come. Its calls run one after another.
pub struct Scorer {
    /// The pipelines of the forms that came so far.
    kernels: Mutex<Vec<MaxSim>>,
    family: Option<Family>,
    limits: Limits,
}

impl Default for Scorer {
    fn default() -> Self {
        Self::new()
    }
}

impl Scorer {
    /// A scorer that chooses the kernel by the adapter.
    pub fn new() -> Self {
        Self { kernels: Mutex::default(), family: None, limits: Limits::default() }
    }

    /// A scorer with this family of the kernel, for tests and measurements.
    pub fn of(family: Family) -> Self {
        Self { family: Some(family), ..Self::new() }
    }

    /// The same with pieces of other sizes, for tests of the seams between them.
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The scores of `queries` against `documents`: `[queries, documents]`, row-major, or one for each of
    /// [`Options::pairs`]. [`super`] says what a score is. The memory it takes does not grow with the documents.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the argument and index; [`Error::Aborted`]; [`Error::WrongKernel`] if no
    /// kernel gives the right numbers on this adapter; faults of the device.
    pub async fn score(
        &self,
        gpu: &Gpu,
        queries: Tokens<'_>,
        documents: Tokens<'_>,
        options: Options<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        self.run(gpu, &queries, Documents::Host(documents), options, watch).await
    }

    /// The scores of `queries` against documents that are on the device: `[queries, documents]`, row-major, or one for
    /// each of `pairs` of a query and a document. They have the bits that [`Scorer::score`] gives for the same vectors.
    ///
    /// # Errors
    /// As [`Scorer::score`]; of the documents, only shapes are checked.
    pub async fn score_resident(
        &self,
        gpu: &Gpu,
        queries: Tokens<'_>,
        documents: Resident<'_>,
        pairs: Option<&[(u32, u32)]>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        self.run(gpu, &queries, Documents::Device(documents), Options { pairs, normalize: false }, watch).await
    }

    async fn run(
        &self,
        gpu: &Gpu,
        queries: &Tokens<'_>,
        documents: Documents<'_>,
        options: Options<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let mut scores = check::zeros(check::arguments(queries, &documents, &options)?)?;
        let mut kernels = self.kernels.lock().await;
        let index = self.compiled(gpu, &mut kernels, documents.form()).await?;
        let run = Run { gpu, kernels: &kernels[index], limits: self.limits, normalize: options.normalize };
        run.score(queries, documents, options.pairs, watch, &mut scores).await?;
        Ok(scores)
    }

    /// What each token of a query contributes to its score against a document, and which of the document's tokens it
    /// matched: one [`Match`] a query token, or none for an empty document. The similarities add up, in order, to the
    /// bits of the score. `watch` is asked whether to stop, and hears nothing.
    ///
    /// # Errors
    /// As [`Scorer::score`], where `pair` is `pairs[0]`.
    pub async fn explain(
        &self,
        gpu: &Gpu,
        [queries, documents]: [Tokens<'_>; 2],
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
            let similarities = self.score(gpu, rows, columns, options, &Quiet(watch)).await?;
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

    /// The index of the pipelines for `form`, compiled and checked if they are not yet there: those of the family that
    /// suits the adapter, or if they are wrong on it, the other's.
    async fn compiled(&self, gpu: &Gpu, kernels: &mut Vec<MaxSim>, form: TokenForm) -> Result<usize> {
        if let Some(index) = kernels.iter().position(|k| k.form() == form) {
            return Ok(index);
        }
        let families = match self.family {
            Some(family) => vec![family],
            None if gpu.adapter().software => vec![Family::Strip],
            None => vec![Family::Tile, Family::Strip],
        };
        let mut wrong = None;
        for family in families {
            let compiled = MaxSim::compile(gpu, family, form).await?;
            let run = Run { gpu, kernels: &compiled, limits: Limits::default(), normalize: false };
            match probe::check(&run).await {
                Ok(()) => {
                    kernels.push(compiled);
                    return Ok(kernels.len() - 1);
                }
                Err(error @ Error::WrongKernel { .. }) => wrong = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(wrong.unwrap_or_else(|| Error::Gpu { message: "no family of the MaxSim kernel".into() }))
    }
}

/// Cancels as another does, and keeps the progress of a part of a call to itself.
struct Quiet<'a>(&'a dyn Watch);

impl Watch for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}
