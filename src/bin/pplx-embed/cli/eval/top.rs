//! The best hits of a query.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Hits that are kept: as many as the deepest measure looks at.
const KEPT: usize = 100;

/// A hit: a score, and the rank of the item's id among all ids, by rising bytes. Ordered as trec_eval orders hits, the
/// best highest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hit {
    score: f32,
    id: u32,
}

impl Eq for Hit {}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best hits so far.
#[derive(Clone, Default)]
pub(super) struct Top(BinaryHeap<Reverse<Hit>>);

impl Top {
    /// `id` is the rank of the item's id. What cannot be found scores minus infinity.
    pub(super) fn push(&mut self, score: f32, id: u32) {
        if score == f32::NEG_INFINITY {
            return;
        }
        // There is one zero.
        let hit = Reverse(Hit { score: score + 0.0, id });
        if self.0.len() < KEPT {
            self.0.push(hit);
        } else if let Some(mut worst) = self.0.peek_mut()
            && hit < *worst
        {
            *worst = hit;
        }
    }

    /// Best first.
    pub(super) fn hits(self) -> Vec<(f32, u32)> {
        self.0.into_sorted_vec().into_iter().map(|Reverse(hit)| (hit.score, hit.id)).collect()
    }
}

/// The order of ids.
pub(super) struct Ids {
    /// The rank of each item's id.
    rank: Vec<u32>,
    /// The item of each rank.
    item: Vec<u32>,
}

impl Ids {
    pub(super) fn new(ids: &[String]) -> Self {
        let mut item: Vec<u32> = (0..ids.len() as u32).collect();
        item.sort_unstable_by(|&a, &b| ids[a as usize].as_bytes().cmp(ids[b as usize].as_bytes()));
        let mut rank = vec![0; ids.len()];
        item.iter().zip(0..).for_each(|(&item, at)| rank[item as usize] = at);
        Self { rank, item }
    }

    pub(super) fn rank(&self, item: u32) -> u32 {
        self.rank[item as usize]
    }

    /// Hits with their items instead of ranks.
    pub(super) fn items(&self, top: Top) -> Vec<(f32, u32)> {
        top.hits().into_iter().map(|(score, rank)| (score, self.item[rank as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use pplx_embed::metrics;

    use super::{Ids, KEPT, Top};

    #[test]
    fn the_best_hundred_of_many_ties_are_those_of_a_full_sort() {
        // Ids whose order is not that of their numbers, and few scores, zeros of both signs among them.
        let ids: Vec<String> = (0..1000).map(|i| format!("d{i}")).collect();
        let scores: Vec<f32> =
            (0..1000u64).map(|i| ((i * 7919 % 13) as f32 - 6.0) * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let order = Ids::new(&ids);
        let mut top = Top::default();
        (0..1000).for_each(|item| top.push(scores[item as usize], order.rank(item)));
        let mut all: Vec<u32> = (0..1000).collect();
        all.sort_by(|&a, &b| {
            let of = |i: u32| (scores[i as usize] + 0.0, ids[i as usize].as_str());
            metrics::order(of(a), of(b))
        });
        let got: Vec<u32> = order.items(top).into_iter().map(|(_, item)| item).collect();
        assert_eq!(got, all[..KEPT]);
    }
}
