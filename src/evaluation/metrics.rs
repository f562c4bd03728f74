//! Measures of a ranking against judgements, as trec_eval (and so pytrec_eval, BEIR and MTEB) defines them.
//!
//! A judgement is a whole number: 1 and more is relevant, and more is better; 0 and less is not; what nobody judged
//! counts as 0.

use std::cmp::Ordering;

/// Whether hit `a` stands before hit `b`, each a score and an id: by score, which trec_eval holds as float32, and of
/// equal scores by id, the *last* in the order of bytes first (`comp_sim_docno` of trec_eval's `form_res_rels.c`).
pub fn order(a: (f32, &str), b: (f32, &str)) -> Ordering {
    // There is one zero.
    (b.0 + 0.0).total_cmp(&(a.0 + 0.0)).then_with(|| b.1.as_bytes().cmp(a.1.as_bytes()))
}

/// What is said of one ranking, or of the mean over many.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Measures {
    /// `sum rel_i / log2(i + 1)` over the ranks `i` of the first ten hits, over the same sum of the best ranking there
    /// is: trec_eval's `ndcg_cut_10`, whose gain is the judgement itself.
    #[serde(rename = "ndcg@10")]
    pub ndcg_at_10: f64,
    /// Of the relevant documents, the share that is among the first hundred hits: `recall_100`.
    #[serde(rename = "recall@100")]
    pub recall_at_100: f64,
    /// One over the rank of the first relevant hit, 0 if it is beyond the tenth: `recip_rank` of the first ten hits.
    #[serde(rename = "mrr@10")]
    pub mrr_at_10: f64,
}

impl Measures {
    /// Of one query: `ranked` has the judgement of each hit, best first (the first hundred are enough), `judged` every
    /// judgement of the query. A query without a relevant document has 0 of everything.
    pub fn of(ranked: &[i64], judged: &[i64]) -> Self {
        let relevant = judged.iter().filter(|&&j| j > 0).count();
        if relevant == 0 {
            return Self::default();
        }
        let mut best = judged.to_vec();
        best.sort_unstable_by(|a, b| b.cmp(a));
        let found = ranked.iter().take(100).filter(|&&j| j > 0).count();
        Self {
            ndcg_at_10: gain(ranked) / gain(&best),
            recall_at_100: found as f64 / relevant as f64,
            mrr_at_10: ranked.iter().take(10).position(|&j| j > 0).map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0)),
        }
    }

    /// The mean over queries; zeros of none.
    pub fn mean(queries: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| queries.iter().map(of).sum::<f64>() / queries.len().max(1) as f64;
        Self {
            ndcg_at_10: mean(|q| q.ndcg_at_10),
            recall_at_100: mean(|q| q.recall_at_100),
            mrr_at_10: mean(|q| q.mrr_at_10),
        }
    }
}

/// The discounted gain of the first ten.
fn gain(ranked: &[i64]) -> f64 {
    let at = |(rank, &judgement): (i32, &i64)| judgement.max(0) as f64 / f64::from(rank + 2).log2();
    (0..).zip(ranked.iter().take(10)).map(at).sum()
}
