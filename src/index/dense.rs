//! Cosines: of every query with every row.

use super::rows::{Batch, Rows};
use super::segment::{Home, Segment};
use super::top::{Fold, Span, Top};
use super::{Hit, Index, SearchOptions};
use crate::cpu;
use crate::error::{Error, Result};
use crate::maxsim::Tokens;
use crate::watch::{Progress, Watch};

/// Fewest items that the Hamming distance leaves to be scored.
const FEWEST: usize = 100;

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
            let mut top = Top::new(options.k);
            near.iter().filter_map(|hit| self.cosine(&queries, query, hit.position)).for_each(|hit| top.push(hit));
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
        let signs = queries.signs.is_some();
        let count = queries.len();
        let mut fold = Fold::new(count, k);
        let total = spans.iter().flatten().map(|span| u64::from(span.rows) * count as u64).sum();
        let mut done = 0;
        for (segment, spans) in self.store.segments().iter().zip(spans) {
            let (Some(first), Some(last)) = (spans.first(), spans.last()) else { continue };
            let home = if signs { segment.signs.as_ref() } else { Some(&segment.rows) };
            let all = first.first..last.range().end;
            if let Some(Home::Host(own)) = home {
                for span in spans {
                    if watch.cancelled() {
                        return Err(Error::Aborted);
                    }
                    fold.take(std::slice::from_ref(span), all.clone(), |query, row| {
                        similarity(rows, query, own, row as usize).score(queries, query, segment, row)
                    });
                }
            }
            done += spans.iter().map(|span| u64::from(span.rows) * count as u64).sum::<u64>();
            watch.progress(Progress::Score { done, total });
        }
        Ok(fold.hits())
    }

    /// The highest cosine of `query` with a row of the item at `position`, whose codes are in host memory.
    fn cosine(&self, queries: &Batch, query: usize, position: usize) -> Option<Hit> {
        let place = self.items.get(position)?.place;
        let segment = &self.store.segments()[self.store.at(place)?];
        let Home::Host(own) = &segment.rows else { return None };
        let mut top = Top::new(1);
        for chunk in 0..place.rows {
            let row = place.first + chunk;
            let score = similarity(&queries.rows, query, own, row as usize).score(queries, query, segment, row);
            // Of equal rows the first, so the row takes the item's place.
            top.push(Hit { position: chunk as usize, score, chunk });
        }
        top.hits().first().map(|best| Hit { position, ..*best })
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
