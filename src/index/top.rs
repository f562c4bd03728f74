//! The best of many.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::Hit;

/// The best `k` items of those it was shown: by score, and of equal scores by position.
pub(super) struct Top {
    k: usize,
    /// The worst first.
    heap: BinaryHeap<Worst>,
}

/// Ordered by how little a hit is worth.
struct Worst(Hit);

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.0, &other.0);
        b.score.total_cmp(&a.score).then(a.position.cmp(&b.position))
    }
}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Worst {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Worst {}

impl Top {
    /// Of none so far.
    pub(super) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    pub(super) fn push(&mut self, mut hit: Hit) {
        // There is one zero.
        hit.score += 0.0;
        let hit = Worst(hit);
        if self.heap.len() < self.k {
            self.heap.push(hit);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && hit < *worst
        {
            *worst = hit;
        }
    }

    /// Best first.
    pub(super) fn hits(self) -> Vec<Hit> {
        self.heap.into_sorted_vec().into_iter().map(|worst| worst.0).collect()
    }
}

/// An item's rows in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) rows: u32,
    pub(super) position: usize,
}

impl Span {
    pub(super) fn range(&self) -> Range<u32> {
        self.first..self.first + self.rows
    }
}

/// Makes of the scores of rows, which come piece by piece and in order, those of items, and keeps the best for each query.
pub(super) struct Fold {
    tops: Vec<Top>,
    /// For each query, the best row so far of the item that the last piece ended in.
    cut: Vec<(f32, u32)>,
}

impl Fold {
    pub(super) fn new(queries: usize, k: usize) -> Self {
        Self { tops: (0..queries).map(|_| Top::new(k)).collect(), cut: vec![(0.0, 0); queries] }
    }

    /// Takes the rows `piece` of a segment whose items `spans` are, by rising rows. `score` is of a query and a row.
    pub(super) fn take(&mut self, spans: &[Span], piece: Range<u32>, score: impl Fn(usize, u32) -> f32) {
        let from = spans.partition_point(|s| s.range().end <= piece.start);
        let to = spans.partition_point(|s| s.first < piece.end);
        for (query, (top, cut)) in self.tops.iter_mut().zip(&mut self.cut).enumerate() {
            for span in &spans[from..to] {
                let begun = span.first < piece.start;
                let mut best = begun.then_some(*cut);
                for row in span.first.max(piece.start)..span.range().end.min(piece.end) {
                    let score = score(query, row);
                    if best.is_none_or(|(highest, _)| score > highest) {
                        best = Some((score, row - span.first));
                    }
                }
                let Some((score, chunk)) = best else { continue };
                if span.range().end > piece.end {
                    *cut = (score, chunk);
                } else {
                    top.push(Hit { position: span.position, score, chunk });
                }
            }
        }
    }

    /// The best for each query, best first.
    pub(super) fn hits(self) -> Vec<Vec<Hit>> {
        self.tops.into_iter().map(Top::hits).collect()
    }
}
