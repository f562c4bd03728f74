//! BM25, to stand beside the model's numbers.

use std::collections::HashMap;

use pplx_embed::top_k::TopK;

use super::dataset::Dataset;
use super::ids::DEPTH;

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// The best hits of each query. Words are runs of letters, digits and `_`, in lower case; a word that is in `n` of `N`
/// items counts `ln(1 + (N - n + 0.5) / (n + 0.5))`, as in Lucene, times `f (k1 + 1) / (f + k1 (1 - b + b l / mean l))` for
/// its `f` places in an item of `l` words (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework"). An item
/// without any word of the query is no hit.
pub(super) fn search(set: &Dataset, ranks: &[u32], skip: &[Option<u32>]) -> Vec<TopK<u32>> {
    // The items of each word that any query has, with how often it is there.
    let mut places: HashMap<String, Vec<(u32, u32)>> = HashMap::new();
    for word in set.queries.iter().flat_map(|query| words(&query.text)) {
        places.entry(word).or_default();
    }
    let mut lengths = vec![0u32; set.items.len()];
    for (at, document) in set.documents.iter().enumerate() {
        for (texts, item) in set.spans(at..at + 1) {
            for word in document.texts[texts].iter().flat_map(|text| words(text)) {
                lengths[item as usize] += 1;
                match places.get_mut(&word).map(|places| (places.last().copied(), places)) {
                    Some((Some((last, count)), places)) if last == item => {
                        let end = places.len() - 1;
                        places[end].1 = count + 1;
                    }
                    Some((_, places)) => places.push((item, 1)),
                    None => {}
                }
            }
        }
    }
    let count = lengths.len() as f64;
    let mean = lengths.iter().map(|&l| f64::from(l)).sum::<f64>() / count;
    let query = |(query, skip): (&super::dataset::Query, &Option<u32>)| {
        let mut scores: HashMap<u32, f64> = HashMap::new();
        for places in words(&query.text).filter_map(|word| places.get(&word)) {
            let own = places.len() as f64;
            let weight = (1.0 + (count - own + 0.5) / (own + 0.5)).ln();
            for &(item, f) in places {
                let length = 1.0 - B + B * f64::from(lengths[item as usize]) / mean;
                *scores.entry(item).or_default() += weight * f64::from(f) * (K1 + 1.0) / (f64::from(f) + K1 * length);
            }
        }
        let mut top = TopK::new(DEPTH);
        let hits = scores.into_iter().filter(|(item, _)| *skip != Some(*item));
        hits.for_each(|(item, score)| top.push(score as f32, ranks[item as usize]));
        top
    };
    set.queries.iter().zip(skip).map(query).collect()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.map(String::from).collect::<Vec<_>>().into_iter()
}
