//! Cosines: of every query with every row.

use std::borrow::Cow;
use std::ops::Range;

use super::catalogue::Span;
use super::rows::{HostRows, RowBatch, RowLayout};
use super::segment::{RowSegment, RowStorage};
use super::store::SegmentStore;
use super::sweep::{MAX_QUERIES, Sweep};
use super::top::TopKByItem;
use super::{Hit, Index, SearchOptions};
use crate::backend::{BOUND_ROWS, Kernels, Operation};
use crate::error::{Error, Result};
use crate::maxsim::TokenVectors;
use crate::numbers::RowFormat;
use crate::progress::{Progress, Watch};
use crate::top_k::TopK;

/// Fewest items that the Hamming distance leaves to be scored: what it loses of the best ten with fewer is in
/// `bench/results/prefilter-recall.json`.
const MIN_CANDIDATES: usize = 256;

impl Index {
    /// [`Index::search`] of a dense index; `spans` are the items of each segment that may be hits.
    pub(super) async fn search_dense(
        &self,
        queries: &TokenVectors<'_>,
        spans: &[Cow<'_, [Span]>],
        options: &SearchOptions<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        let layout = &self.store.layout;
        let queries = RowBatch::of(layout, queries, 0..queries.count(), |query| {
            Error::argument(format!("queries[{query}]"), "has numbers that are too large")
        })?;
        let Some(signs) = &queries.signs else {
            return self.best(&queries.rows, &queries, spans, options.k, watch).await;
        };
        let candidates = options.k.saturating_mul(options.rescore.max(1) as usize).max(MIN_CANDIDATES);
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
        rows: &HostRows,
        queries: &RowBatch,
        spans: &[Cow<'_, [Span]>],
        k: usize,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        let total = spans.iter().flat_map(|spans| spans.iter()).map(|span| u64::from(span.rows)).sum::<u64>()
            * queries.len() as u64;
        let search = DenseSearch { store: &self.store, rows, queries, spans, k, watch, total };
        let format = search.layout().format;
        let operations = [Operation::Dense(format), Operation::DenseBounds(format)];
        let kernels = self.store.backend.kernels(&operations).await?;
        search.run(&kernels).await
    }

    /// The highest cosine of `query` with a row of the item at `position`, whose codes are in host memory.
    fn cosine(&self, queries: &RowBatch, query: usize, position: usize) -> Option<Hit> {
        let place = self.items.get(position)?.place;
        let segment = &self.store.segments()[self.store.at(place)?];
        let RowStorage::Host(own) = &segment.rows else { return None };
        let codes = queries.rows.codes(query..query + 1);
        let mut top = TopK::new(1);
        for chunk in 0..place.rows {
            let row = place.first + chunk;
            let similarity = Similarity::Codes(dot(codes, own.codes(row as usize..row as usize + 1)));
            let score = similarity.score(queries, query, segment, row);
            // Of equal rows the first, so the row takes the item's place.
            top.push_hit(Hit { position: chunk as usize, score, chunk });
        }
        top.hits().first().map(|best| Hit { position, ..*best })
    }
}

/// Queries that are compared with all rows of one kind.
struct DenseSearch<'a> {
    store: &'a SegmentStore,
    /// The queries, in the format of the rows.
    rows: &'a HostRows,
    queries: &'a RowBatch,
    spans: &'a [Cow<'a, [Span]>],
    k: usize,
    watch: &'a dyn Watch,
    /// Similarities in all.
    total: u64,
}

impl DenseSearch<'_> {
    /// The layout of the rows: of signs, where there are some.
    fn layout(&self) -> &RowLayout {
        self.store.layout.signs.as_ref().unwrap_or(&self.store.layout.rows)
    }

    /// Every segment that has items, with where its rows of that kind are.
    fn segments(&self) -> impl Iterator<Item = (&RowSegment, &RowStorage, &[Span], Range<u32>)> {
        self.store.segments().iter().zip(self.spans).filter_map(|(segment, spans)| {
            let (first, last) = (spans.first()?, spans.last()?);
            let storage = segment.signs.as_ref().unwrap_or(&segment.rows);
            Some((segment, storage, &spans[..], first.first..last.range().end))
        })
    }

    async fn run(&self, kernels: &Kernels) -> Result<Vec<Vec<Hit>>> {
        let (layout, device) = (self.layout(), (&self.store.backend, kernels));
        let mut hits = Vec::with_capacity(self.queries.len());
        let mut done = 0;
        for first in (0..self.queries.len()).step_by(MAX_QUERIES) {
            let block = first..self.queries.len().min(first + MAX_QUERIES);
            let mut sweep = Sweep::new(device, layout, &self.store.sizes, (self.rows, block.clone()), self.watch)?;
            let mut fold = TopKByItem::new(block.len(), self.k);
            for (segment, storage, spans, all) in self.segments() {
                let together = sweep.max_rows(storage);
                for start in all.clone().step_by(together as usize) {
                    if self.watch.cancelled() {
                        return Err(Error::Aborted);
                    }
                    let piece = start..all.end.min(start.saturating_add(together));
                    sweep.make(storage, piece.clone())?;
                    let score = |query: usize, row: u32, bits: u32| {
                        Similarity::of(layout.format, bits).score(self.queries, first + query, segment, row)
                    };
                    let columns = piece.len() as u32;
                    let picked = match self.picks(kernels, block.len(), columns) {
                        true => self.picked(&mut sweep, &fold, (segment, spans, piece.clone()), first, &score).await?,
                        false => None,
                    };
                    match picked {
                        Some(picked) => fold.take(spans, piece.clone(), |query, row| {
                            picked.get(query, row - start).map(|bits| score(query, row, bits))
                        }),
                        None => {
                            let similarities = sweep.all(columns).await?;
                            fold.take(spans, piece.clone(), |query, row| {
                                let bits = similarities[query * piece.len() + (row - start) as usize];
                                Some(score(query, row, bits))
                            });
                        }
                    }
                    done += piece.len() as u64 * block.len() as u64;
                    self.watch.progress(Progress::Score { done: done.min(self.total), total: self.total });
                }
            }
            hits.extend(fold.hits());
        }
        Ok(hits)
    }
}

/// Most similarities of a search that are picked: beyond, to tell the device what is wanted costs more than to read everything.
const MOST_PICKED: usize = 4096;
/// Hits beyond which everything is read.
const MOST_HITS: usize = 256;
/// How many blocks there have to be for each that has a hit.
const BLOCKS_A_HIT: usize = 4;
/// What the bound of a cosine may be too low by, relative to it.
const BOUND_ERROR: f32 = 4e-6;

/// The similarities that can be of hits, of a piece whose others stay on the device.
struct Picked {
    blocks: usize,
    /// `[queries, blocks]`, where a block's similarities begin in `words`; [`Picked::NOWHERE`] for those that were not read.
    at: Vec<u32>,
    words: Vec<u32>,
}

impl Picked {
    const NOWHERE: u32 = u32::MAX;

    fn get(&self, query: usize, column: u32) -> Option<u32> {
        let at = self.at[query * self.blocks + (column / BOUND_ROWS) as usize];
        (at != Self::NOWHERE).then(|| self.words[(at + column % BOUND_ROWS) as usize])
    }

    async fn read(&mut self, sweep: &mut Sweep<'_>, chosen: &[(u32, u32)], columns: u32) -> Result<()> {
        for (&(query, block), i) in chosen.iter().zip(0..) {
            self.at[query as usize * self.blocks + block as usize] = self.words.len() as u32 + i * BOUND_ROWS;
        }
        if !chosen.is_empty() {
            self.words.extend(sweep.blocks(chosen, columns).await?);
        }
        Ok(())
    }
}

impl DenseSearch<'_> {
    /// Whether similarities of `columns` rows are read block by block.
    fn picks(&self, kernels: &Kernels, queries: usize, columns: u32) -> bool {
        let blocks = columns.div_ceil(BOUND_ROWS) as usize;
        let few = self.k <= MOST_HITS && self.k * queries <= MOST_PICKED && blocks >= self.k * BLOCKS_A_HIT;
        few && kernels.have(Operation::DenseBounds(self.layout().format))
    }

    /// Of the similarities that `sweep` made, those of blocks whose bound an item has to reach to be a hit: first of as many
    /// blocks as there are hits, those with the highest bounds, then of all that reach the worst of the hits there. `None`
    /// if that is much of all.
    async fn picked(
        &self,
        sweep: &mut Sweep<'_>,
        fold: &TopKByItem,
        (segment, spans, piece): (&RowSegment, &[Span], Range<u32>),
        first: usize,
        score: &impl Fn(usize, u32, u32) -> f32,
    ) -> Result<Option<Picked>> {
        let columns = piece.len() as u32;
        let blocks = columns.div_ceil(BOUND_ROWS) as usize;
        let mut bounds = sweep.bounds(segment, columns, piece.start).await?;
        let queries = bounds.len() / blocks;
        for (query, bounds) in bounds.chunks_exact_mut(blocks).enumerate() {
            bounds.iter_mut().for_each(|bound| *bound = self.highest(first + query, *bound));
        }
        let mut picked = Picked { blocks, at: vec![Picked::NOWHERE; bounds.len()], words: Vec::new() };
        let mut chosen = Vec::new();
        for (query, bounds) in bounds.chunks_exact(blocks).enumerate() {
            let worst = fold.lowest(query).unwrap_or(f32::NEG_INFINITY);
            let mut order: Vec<u32> = (0..blocks as u32).filter(|&block| bounds[block as usize] >= worst).collect();
            let best = self.k.min(order.len());
            if best < order.len() {
                order.select_nth_unstable_by(best, |&a, &b| bounds[b as usize].total_cmp(&bounds[a as usize]));
            }
            chosen.extend(order[..best].iter().map(|&block| (query as u32, block)));
        }
        picked.read(sweep, &chosen, columns).await?;

        let mut trial = fold.clone();
        trial.take(spans, piece.clone(), |query, row| {
            picked.get(query, row - piece.start).map(|bits| score(query, row, bits))
        });
        let mut more = Vec::new();
        for (query, bounds) in bounds.chunks_exact(blocks).enumerate() {
            let worst = trial.lowest(query).unwrap_or(f32::NEG_INFINITY);
            let unread = |block: &usize| picked.at[query * blocks + block] == Picked::NOWHERE;
            let reached = (0..blocks).filter(|&block| bounds[block] >= worst).filter(unread);
            more.extend(reached.map(|block| (query as u32, block as u32)));
        }
        if chosen.len() + more.len() > MOST_PICKED.min(queries * blocks / 2) {
            return Ok(None);
        }
        picked.read(sweep, &more, columns).await?;
        Ok(Some(picked))
    }

    /// What no score of a block is above that has this bound.
    fn highest(&self, query: usize, bound: f32) -> f32 {
        match self.layout().format {
            // A device may take the smallest numbers for 0.
            RowFormat::Float32 | RowFormat::Float16 => bound.clamp(-1.0, 1.0) + f32::MIN_POSITIVE,
            RowFormat::Binary => bound,
            RowFormat::Int8 => {
                let length = (self.queries.squares[query] as f32).sqrt();
                let cosine = if length > 0.0 { bound / length } else { 0.0 };
                cosine + cosine.abs() * BOUND_ERROR
            }
        }
    }
}

/// The dot product of two rows of codes. Exact.
fn dot(a: &[i8], b: &[i8]) -> i64 {
    a.iter().zip(b).map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b))).sum()
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

impl Similarity {
    /// As [`crate::backend::Run::dense`] gives it.
    fn of(format: RowFormat, bits: u32) -> Self {
        match format {
            RowFormat::Int8 => Self::Codes((bits as i32).into()),
            RowFormat::Float32 | RowFormat::Float16 => Self::Unit(f32::from_bits(bits)),
            RowFormat::Binary => Self::Distance(bits),
        }
    }

    /// What items are ordered by: the cosine, or how few bits differ.
    fn score(self, queries: &RowBatch, query: usize, segment: &RowSegment, row: u32) -> f32 {
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
