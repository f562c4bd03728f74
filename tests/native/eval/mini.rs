//! The model that comes with the package, and what is written of it.

use serde_json::Value;

use super::runs::Folder;

/// What `models/mini/eval/scores.json` says is what these weights give, on the adapter at hand. A tie that rounding turns on
/// another adapter may move a hit by a rank: of 134 queries that is 0.003.
#[test]
fn the_scores_that_are_written_of_mini_are_those_it_has() {
    let written: Value = serde_json::from_slice(&std::fs::read("models/mini/eval/scores.json").unwrap()).unwrap();
    let folder = Folder::new("mini");
    for (kind, size) in [("", "128"), ("context", "256"), ("late", "128")] {
        let model = format!("models/mini/{kind}");
        let arguments = ["--model", &model, "--dataset", "models/mini/eval/handbook", "--dimensions", size];
        let report = folder.report(&arguments);
        for result in report["results"].as_array().unwrap() {
            let row = format!("{kind} {} {size}", result["form"].as_str().unwrap());
            for measure in ["ndcg@10", "recall@100", "mrr@10"] {
                let expected = written["handbook"][row.trim_start()][measure].as_f64().unwrap();
                let got = result[measure].as_f64().unwrap();
                assert!((got - expected).abs() < 0.005, "{row} {measure}: {got}, expected {expected}");
            }
        }
    }
}
