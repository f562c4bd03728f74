//! Cosines: of every query with every row.

use std::ops::Range;

use super::rows::{Batch, Rows, Stream};
use super::segment::{Home, Segment};
use super::store::Store;
use super::sweep::{QUERIES, Sweep, dense_form};
use super::top::{Span, TopKByItem};
use super::{Hit, Index, SearchOptions};
use crate::cpu;
use crate::error::{Error, Result};
use crate::gpu::{Dense, DenseForm, Gpu};
use crate::maxsim::Tokens;
use crate::top_k::TopK;
use crate::watch::{Progress, Watch};

/// Fewest items that the Hamming distance leaves to be scored: what it loses of the best ten with fewer is in
/// `bench/results/prefilter-recall.json`.
const FEWEST: usize = 256;

impl Index {
    /// [`Index::search`] of a dense index; `spans` are the items of each segment that may be hits.
    pub(super) async fn search_dense(
        &self,
        queries: &Tokens<'_>,
        spans: &[Vec<Span>],
        options: &SearchOptions<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        let layout = &self.store.layout;
        let queries = Batch::of(layout, queries, 0..queries.count(), |query| {
            Error::argument(format!("queries[{query}]"), "has numbers that are too large")
        })?;
        let Some(signs) = &queries.signs else {
            return self.best(&queries.rows, &queries, spans, options.k, watch).await;
        };
        let candidates = options.k.saturating_mul(options.rescore.max(1) as usize).max(FEWEST);
        let near = self.best(signs, &queries, spans, candidates, watch).await?;
        let found = near.iter().enumerate().map(|(query, near)| {
            let mut top = TopK::new(options.k);
            near.iter().filter_map(|hit| self.cosine(&queries, query, hit.position)).for_each(|hit| top.push_hit(hit));
            top.hits()
        });
        Ok(found.collect())
    }

    /// The best `k` items for each query by the similarities of `rows` with the rows of that form.
    async fn best(
        &self,
        rows: &Rows,
        queries: &Batch,
        spans: &[Vec<Span>],
        k: usize,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        let total = spans.iter().flatten().map(|span| u64::from(span.rows)).sum::<u64>() * queries.len() as u64;
        let job = Job { store: &self.store, rows, queries, spans, k, watch, total };
        match &self.store.gpu {
            None => job.on_cpu(),
            Some(gpu) => {
                let mut kernel = self.dense.lock().await;
                let kernel = match &mut *kernel {
                    Some(kernel) => kernel,
                    none => none.insert(Dense::new(gpu, dense_form(job.stream())).await?),
                };
                job.on_gpu(gpu, kernel).await
            }
        }
    }

    /// The highest cosine of `query` with a row of the item at `position`, whose codes are in host memory.
    fn cosine(&self, queries: &Batch, query: usize, position: usize) -> Option<Hit> {
        let place = self.items.get(position)?.place;
        let segment = &self.store.segments()[self.store.at(place)?];
        let Home::Host(own) = &segment.rows else { return None };
        let mut top = TopK::new(1);
        for chunk in 0..place.rows {
            let row = place.first + chunk;
            let score = similarity(&queries.rows, query, own, row as usize).score(queries, query, segment, row);
            // Of equal rows the first, so the row takes the item's place.
            top.push_hit(Hit { position: chunk as usize, score, chunk });
        }
        top.hits().first().map(|best| Hit { position, ..*best })
    }
}

/// Queries that are held against all rows of one form.
struct Job<'a> {
    store: &'a Store,
    /// The queries, in that form.
    rows: &'a Rows,
    queries: &'a Batch,
    spans: &'a [Vec<Span>],
    k: usize,
    watch: &'a dyn Watch,
    /// Similarities in all.
    total: u64,
}

impl Job<'_> {
    /// The form of the rows: signs, where there are some.
    fn stream(&self) -> &Stream {
        self.store.layout.signs.as_ref().unwrap_or(&self.store.layout.rows)
    }

    /// Every segment that has items, with where its rows of that form are.
    fn segments(&self) -> impl Iterator<Item = (&Segment, &Home, &[Span], Range<u32>)> {
        self.store.segments().iter().zip(self.spans).filter_map(|(segment, spans)| {
            let (first, last) = (spans.first()?, spans.last()?);
            let home = segment.signs.as_ref().unwrap_or(&segment.rows);
            Some((segment, home, &spans[..], first.first..last.range().end))
        })
    }

    fn on_cpu(&self) -> Result<Vec<Vec<Hit>>> {
        let mut fold = TopKByItem::new(self.queries.len(), self.k);
        let mut done = 0;
        for (segment, home, spans, all) in self.segments() {
            let Home::Host(own) = home else { continue };
            for spans in spans.chunks(64) {
                if self.watch.cancelled() {
                    return Err(Error::Aborted);
                }
                fold.take(spans, all.clone(), |query, row| {
                    similarity(self.rows, query, own, row as usize).score(self.queries, query, segment, row)
                });
                done += spans.iter().map(|span| u64::from(span.rows)).sum::<u64>() * self.queries.len() as u64;
                self.watch.progress(Progress::Score { done, total: self.total });
            }
        }
        Ok(fold.hits())
    }

    async fn on_gpu(&self, gpu: &Gpu, kernel: &Dense) -> Result<Vec<Vec<Hit>>> {
        let mut hits = Vec::with_capacity(self.queries.len());
        let mut done = 0;
        for first in (0..self.queries.len()).step_by(QUERIES) {
            let block = first..self.queries.len().min(first + QUERIES);
            let queries = (self.rows, block.clone());
            let mut sweep = Sweep::new(gpu, kernel, self.stream(), &self.store.limits, queries, self.watch)?;
            let mut fold = TopKByItem::new(block.len(), self.k);
            for (segment, home, spans, all) in self.segments() {
                let most = sweep.most(home);
                for start in all.clone().step_by(most as usize) {
                    if self.watch.cancelled() {
                        return Err(Error::Aborted);
                    }
                    let piece = start..all.end.min(start.saturating_add(most));
                    let similarities = sweep.similarities(home, piece.clone()).await?;
                    fold.take(spans, piece.clone(), |query, row| {
                        let bits = similarities[query * piece.len() + (row - start) as usize];
                        Similarity::of(kernel.form(), bits).score(self.queries, first + query, segment, row)
                    });
                    done += piece.len() as u64 * block.len() as u64;
                    self.watch.progress(Progress::Score { done: done.min(self.total), total: self.total });
                }
            }
            hits.extend(fold.hits());
        }
        Ok(hits)
    }
}

/// What two rows have in common.
#[derive(Clone, Copy)]
enum Similarity {
    /// The dot product of two rows of codes.
    Codes(i64),
    /// The dot product of two rows of unit length.
    Unit(f32),
    /// How many bits differ.
    Distance(u32),
}

/// Of row `query` of `queries` and row `row` of `rows`.
fn similarity(queries: &Rows, query: usize, rows: &Rows, row: usize) -> Similarity {
    let (query, row) = (query..query + 1, row..row + 1);
    match (queries.codes(query.clone()), queries.floats(query.clone())) {
        ([], []) => Similarity::Distance(cpu::hamming(queries.bytes(query), rows.bytes(row))),
        ([], query) => Similarity::Unit(cpu::dot(query, rows.floats(row)) as f32),
        (query, _) => Similarity::Codes(cpu::dot_codes(query, rows.codes(row))),
    }
}

impl Similarity {
    /// As the kernel gives it.
    fn of(form: DenseForm, bits: u32) -> Self {
        match form {
            DenseForm::I8 => Self::Codes((bits as i32).into()),
            DenseForm::F32 => Self::Unit(f32::from_bits(bits)),
            DenseForm::B1 => Self::Distance(bits),
        }
    }

    /// What items are ordered by: the cosine, or how few bits differ.
    fn score(self, queries: &Batch, query: usize, segment: &Segment, row: u32) -> f32 {
        match self {
            Self::Distance(distance) => -(distance as f32),
            Self::Unit(cosine) => cosine.clamp(-1.0, 1.0),
            Self::Codes(dot) => {
                let squares = f64::from(queries.squares[query]) * f64::from(segment.squares[row as usize]);
                if squares > 0.0 { (dot as f64 / squares.sqrt()) as f32 } else { 0.0 }
            }
        }
    }
}
