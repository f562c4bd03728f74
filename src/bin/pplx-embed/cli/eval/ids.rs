//! The order of items whose scores are equal.

use pplx_embed::top_k::TopK;

/// Hits kept for each query: as many as the deepest measure reads.
pub(super) const DEPTH: usize = 100;

/// The order of ids, by rising bytes: what trec_eval orders equal scores by.
pub(super) struct IdOrder {
    /// The rank of each item's id.
    rank: Vec<u32>,
    /// The item of each rank.
    item: Vec<u32>,
}

impl IdOrder {
    /// `ids` has the id of each item.
    pub(super) fn new(ids: &[String]) -> Self {
        let mut item: Vec<u32> = (0..ids.len() as u32).collect();
        item.sort_unstable_by(|&a, &b| ids[a as usize].as_bytes().cmp(ids[b as usize].as_bytes()));
        let mut rank = vec![0; ids.len()];
        item.iter().zip(0..).for_each(|(&item, at)| rank[item as usize] = at);
        Self { rank, item }
    }

    /// The rank of each item's id, which is the key of a hit in a [`TopK`].
    pub(super) fn ranks(&self) -> &[u32] {
        &self.rank
    }

    /// The hits of `top`, best first, each with its item instead of its rank.
    pub(super) fn items(&self, top: TopK<u32>) -> Vec<(f32, u32)> {
        top.into_sorted().into_iter().map(|(score, rank)| (score, self.item[rank as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use pplx_embed::evaluation::order;
    use pplx_embed::top_k::TopK;

    use super::{DEPTH, IdOrder};

    #[test]
    fn the_best_hundred_of_many_ties_are_those_of_a_full_sort() {
        // IdOrder whose order is not that of their numbers, and few scores, zeros of both signs among them.
        let ids: Vec<String> = (0..1000).map(|i| format!("d{i}")).collect();
        let scores: Vec<f32> =
            (0..1000u64).map(|i| ((i * 7919 % 13) as f32 - 6.0) * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let id_order = IdOrder::new(&ids);
        let mut top = TopK::new(DEPTH);
        (0..1000).for_each(|item| top.push(scores[item as usize], id_order.ranks()[item as usize]));
        let mut all: Vec<u32> = (0..1000).collect();
        all.sort_by(|&a, &b| {
            let of = |i: u32| (scores[i as usize] + 0.0, ids[i as usize].as_str());
            order(of(a), of(b))
        });
        let got: Vec<u32> = id_order.items(top).into_iter().map(|(_, item)| item).collect();
        assert_eq!(got, all[..DEPTH]);
    }
}
