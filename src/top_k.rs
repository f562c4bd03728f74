//! The best `k` of many scored candidates.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Keeps the `k` candidates with the highest scores. Of equal scores the greater key is better, so the result does not
/// depend on the order of pushes.
#[derive(Clone)]
pub struct TopK<K> {
    k: usize,
    /// The worst candidate is on top.
    heap: BinaryHeap<Reverse<ScoredKey<K>>>,
}

#[derive(Clone)]
struct ScoredKey<K> {
    score: f32,
    key: K,
}

impl<K: Ord> Ord for ScoredKey<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| self.key.cmp(&other.key))
    }
}

impl<K: Ord> PartialOrd for ScoredKey<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> PartialEq for ScoredKey<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord> Eq for ScoredKey<K> {}

impl<K: Ord> TopK<K> {
    /// No candidates yet, and room for `k`.
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// Adds a candidate if it is among the best `k` so far.
    pub fn push(&mut self, score: f32, key: K) {
        // Adding 0 turns -0 into 0: the two are equal scores, which total_cmp would tell apart.
        let candidate = Reverse(ScoredKey { score: score + 0.0, key });
        if self.heap.len() < self.k {
            self.heap.push(candidate);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate < *worst
        {
            *worst = candidate;
        }
    }

    /// The score that a candidate has to reach to be among the best `k`, once there are so many.
    pub fn lowest(&self) -> Option<f32> {
        self.heap.peek().filter(|_| self.heap.len() >= self.k).map(|Reverse(worst)| worst.score)
    }

    /// Scores and keys, the best first.
    pub fn into_sorted(self) -> Vec<(f32, K)> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(candidate)| (candidate.score, candidate.key)).collect()
    }
}
