//! The best items of each query.

use std::cmp::Reverse;
use std::ops::Range;

use super::Hit;
use super::catalogue::Span;
use crate::top_k::TopK;

/// A hit's position and chunk. Of equal scores the lower position is better.
pub(super) type HitKey = (Reverse<usize>, Reverse<u32>);

impl TopK<HitKey> {
    /// Adds a hit if it is among the best so far.
    pub(super) fn push_hit(&mut self, hit: Hit) {
        self.push(hit.score, (Reverse(hit.position), Reverse(hit.chunk)));
    }

    /// The best first.
    pub(super) fn hits(self) -> Vec<Hit> {
        let hit = |(score, (Reverse(position), Reverse(chunk)))| Hit { position, score, chunk };
        self.into_sorted().into_iter().map(hit).collect()
    }
}

/// The best items of each query, from the scores of rows, which come in order and piece by piece.
#[derive(Clone)]
pub(super) struct TopKByItem {
    tops: Vec<TopK<HitKey>>,
    /// For each query, the best row so far of the item that the last piece ended in.
    cut: Vec<Option<(f32, u32)>>,
}

impl TopKByItem {
    pub(super) fn new(queries: usize, k: usize) -> Self {
        Self { tops: (0..queries).map(|_| TopK::new(k)).collect(), cut: vec![None; queries] }
    }

    /// Takes the rows `piece` of a segment whose items `spans` are, by rising rows. `score` is of a query and a row,
    /// `None` where the row is known to be of no hit.
    pub(super) fn take(&mut self, spans: &[Span], piece: Range<u32>, score: impl Fn(usize, u32) -> Option<f32>) {
        let from = spans.partition_point(|s| s.range().end <= piece.start);
        let to = spans.partition_point(|s| s.first < piece.end);
        for (query, (top, cut)) in self.tops.iter_mut().zip(&mut self.cut).enumerate() {
            // Most rows are of no hit, and this is done for every row.
            let mut lowest = top.lowest().unwrap_or(f32::NEG_INFINITY);
            for span in &spans[from..to] {
                let begun = span.first < piece.start;
                let mut best = if begun { *cut } else { None };
                for row in span.first.max(piece.start)..span.range().end.min(piece.end) {
                    let Some(score) = score(query, row) else { continue };
                    if best.is_none_or(|(highest, _)| score > highest) {
                        best = Some((score, row - span.first));
                    }
                }
                if span.range().end > piece.end {
                    *cut = best;
                } else if let Some((score, chunk)) = best.filter(|(score, _)| *score >= lowest) {
                    top.push_hit(Hit { position: span.position, score, chunk });
                    lowest = top.lowest().unwrap_or(f32::NEG_INFINITY);
                }
            }
        }
    }

    /// The score that an item has to reach to be among the best of `query`, once there are so many.
    pub(super) fn lowest(&self, query: usize) -> Option<f32> {
        self.tops[query].lowest()
    }

    /// The best for each query, best first.
    pub(super) fn hits(self) -> Vec<Vec<Hit>> {
        self.tops.into_iter().map(TopK::hits).collect()
    }
}
