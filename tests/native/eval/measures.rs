//! The measures, and BM25.

use std::collections::BTreeMap;

use pplx_embed::evaluation::{Measures, order};
use serde::Deserialize;

use super::runs::Folder;

#[derive(Deserialize)]
struct Expected {
    mean: Values,
    bm25: BTreeMap<String, f64>,
    queries: Vec<Query>,
}

impl Expected {
    fn read() -> Self {
        serde_json::from_slice(&std::fs::read("tests/fixtures/expected/eval.json").unwrap()).unwrap()
    }
}

#[derive(Deserialize)]
struct Values {
    ndcg_cut_10: f64,
    recall_100: f64,
    recip_rank_10: f64,
}

#[derive(Deserialize)]
struct Query {
    name: String,
    qrels: BTreeMap<String, i64>,
    run: BTreeMap<String, f64>,
    #[serde(flatten)]
    values: Values,
}

#[track_caller]
fn equal(got: Measures, expected: &Values, name: &str) {
    for (got, expected) in [
        (got.ndcg_at_10, expected.ndcg_cut_10),
        (got.recall_at_100, expected.recall_100),
        (got.mrr_at_10, expected.recip_rank_10),
    ] {
        assert!((got - expected).abs() < 1e-6, "{name}: {got}, pytrec_eval has {expected}");
    }
}

#[test]
fn measures_equal_pytrec_eval_with_ties_grades_negatives_and_documents_nobody_ranked() {
    let expected = Expected::read();
    let mut each = Vec::new();
    for Query { name, qrels, run, values } in &expected.queries {
        let mut hits: Vec<(f32, &str)> = run.iter().map(|(id, &score)| (score as f32, id.as_str())).collect();
        hits.sort_by(|a, b| order(*a, *b));
        let ranked: Vec<i64> = hits.iter().map(|(_, id)| qrels.get(*id).copied().unwrap_or(0)).collect();
        let judged: Vec<i64> = qrels.values().copied().collect();
        each.push(Measures::of(&ranked, &judged));
        equal(each[each.len() - 1], values, name);
    }
    assert!(each.len() > 60);
    equal(Measures::mean(&each), &expected.mean, "the mean");
}

#[test]
fn judgements_that_are_all_negative_or_none_are_zero_of_everything() {
    assert_eq!(Measures::of(&[-1, -2], &[-1, -2]), Measures::default());
    assert_eq!(Measures::of(&[], &[]), Measures::default());
    assert_eq!(Measures::mean(&[]), Measures::default());
    let huge = Measures::of(&[i64::MAX, i64::MIN], &[i64::MAX, i64::MIN, i64::MAX]);
    assert!(huge.ndcg_at_10 > 0.5 && huge.ndcg_at_10 < 1.0 && huge.recall_at_100 == 0.5, "{huge:?}");
}

#[test]
fn bm25_equals_bm25s() {
    let folder = Folder::new("bm25");
    for (set, expected) in Expected::read().bm25 {
        let set = format!("models/mini/eval/{set}");
        let model = "tests/fixtures/checkpoints/f32-odd";
        let report = folder.report(&["--model", model, "--dataset", &set, "--bm25", "--forms", "binary"]);
        let results = report["results"].as_array().unwrap();
        let bm25 = &results[results.len() - 1];
        assert_eq!(bm25["form"], "bm25");
        let got = bm25["ndcg@10"].as_f64().unwrap();
        assert!((got - expected).abs() < 1e-6, "{set}: {got}, expected {expected}");
    }
}
