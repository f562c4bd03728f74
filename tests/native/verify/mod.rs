//! `pplx-embed verify`: that it finds what is as published, and what is not.

mod published;
mod stand_in;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use stand_in::{CONTEXT, EMBED, HALVES, LATE, goldens};

use crate::support::hub::Hub;

/// A file of published values, removed at the end.
struct File(PathBuf);

impl File {
    fn holding(bytes: impl AsRef<[u8]>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pplx-embed-verify-{}-{}.json", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let file = Self(std::env::temp_dir().join(name));
        std::fs::write(&file.0, bytes).unwrap();
        file
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn verify(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
    // No token and no files of other tools.
    let home = std::env::temp_dir().join("pplx-embed-verify-no-home");
    command.arg("verify").args(arguments).env_remove("HF_TOKEN").env("HF_HOME", home).output().unwrap()
}

/// Holds the fixture that `id` stands in for against `goldens`: each check and the summary, as JSON.
fn checked(id: &str, goldens: &Value, code: i32) -> (Vec<Value>, Value) {
    let file = File::holding(goldens.to_string());
    let folder = format!("tests/fixtures/checkpoints/{}", id.strip_prefix("stand-in/").unwrap());
    let output = verify(&["--model", &folder, "--as", id, "--goldens", file.0.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap();
    (lines, summary)
}

/// What is compared, of the checks that did not hold.
fn failed(checks: &[Value]) -> BTreeSet<(String, String)> {
    let failed = checks.iter().filter(|check| check["ok"] == false);
    failed.map(|check| (text(&check["name"]), text(&check["what"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().into()
}

/// Changes what is at `place` among the values of a model.
fn edit(goldens: &mut Value, id: &str, place: &str, change: impl FnOnce(&mut Value)) {
    let place = format!("/models/{}/{place}", id.replace('/', "~1"));
    change(goldens.pointer_mut(&place).unwrap_or_else(|| panic!("{place}")));
}

/// Moves a number, towards 0 if it is a whole one: codes have a limited range.
fn by(distance: f64) -> impl FnOnce(&mut Value) {
    move |value| {
        *value = match value.as_i64() {
            Some(whole) if whole > 0 => json!(whole - distance as i64),
            Some(whole) => json!(whole + distance as i64),
            None => json!(value.as_f64().unwrap() + distance),
        }
    }
}

/// Scales a list.
fn times(factor: f64) -> impl FnOnce(&mut Value) {
    move |list| list.as_array_mut().unwrap().iter_mut().for_each(|v| *v = json!(v.as_f64().unwrap() * factor))
}

fn to(other: Value) -> impl FnOnce(&mut Value) {
    move |value| *value = other
}

/// All checks of `id` hold, and they are as many of each kind as `counts` says.
fn all_hold(id: &str, goldens: &Value, counts: &[(&str, usize)]) {
    let (checks, summary) = checked(id, goldens, 0);
    assert_eq!(failed(&checks), BTreeSet::new());
    for (what, count) in counts {
        assert_eq!(checks.iter().filter(|c| c["what"] == *what).count(), *count, "{what}");
    }
    let total: usize = counts.iter().map(|c| c.1).sum();
    assert_eq!((checks.len(), &summary["checks"], &summary["failed"]), (total, &json!(total), &json!(0)));
    assert_eq!((&summary["model"], &summary["weights"]), (&json!(id), &json!("f32")));
}

/// Expects just these to be found off.
fn finds(id: &str, goldens: &Value, expected: &[(&str, &str)]) {
    let (checks, summary) = checked(id, goldens, 1);
    let expected: BTreeSet<_> = expected.iter().map(|&(name, what)| (name.to_owned(), what.to_owned())).collect();
    assert_eq!(failed(&checks), expected);
    assert_eq!(summary["failed"], expected.len());
    for check in checks.iter().filter(|check| check["ok"] == false) {
        // JSON has no infinity: there is no number where a list is too short.
        let [worst, allowed] = ["worst", "allowed"].map(|field| check[field].as_f64());
        assert!(worst.is_none_or(|worst| worst > allowed.unwrap()), "{check}");
    }
}

#[test]
fn vectors_batches_and_cosines_are_as_transformers_made_them() {
    let mut goldens = goldens();
    let counts = [("token ids", 26), ("int8 codes", 9), ("cosine of codes", 9), ("cosine of texts", 3)];
    all_hold(EMBED, &goldens, &counts);
    edit(&mut goldens, EMBED, "vectors/0/int8/5", by(1.0));
    edit(&mut goldens, EMBED, "similarities/0/cosines/1", by(5e-4));
    all_hold(EMBED, &goldens, &counts);
}

#[test]
fn a_false_id_code_or_cosine_of_a_text_is_found() {
    let mut goldens = goldens();
    let texts = &mut goldens["tokens"][0]["texts"];
    texts[0][1] = json!([7]);
    by(1.0)(&mut texts[1][1][4]);
    texts[18][1] = json!([]);
    edit(&mut goldens, EMBED, "vectors/0/int8/77", by(9.0));
    // One code more than there are.
    edit(&mut goldens, EMBED, "vectors/1/int8", |codes| codes.as_array_mut().unwrap().push(json!(0)));
    // Any code may be as far off as it likes, but not all of them.
    edit(&mut goldens, EMBED, "vectors/4/int8", |codes| codes.as_array_mut().unwrap().reverse());
    edit(&mut goldens, EMBED, "vectors/4/code_difference_max", to(json!(255)));
    edit(&mut goldens, EMBED, "similarities/0/cosines/2", by(0.02));
    let found = [
        ("\"\"", "token ids"),
        ("\"A search engine should f\"...", "token ids"),
        ("\"of\"", "token ids"),
        ("english", "int8 codes"),
        ("batch[0]", "int8 codes"),
        ("batch[2]", "int8 codes"),
        ("chinese", "int8 codes"),
        ("chinese", "cosine of codes"),
        ("german", "cosine of codes"),
        ("planets[2]", "cosine of texts"),
    ];
    finds(EMBED, &goldens, &found);
}

#[test]
fn documents_and_their_chunks_are_as_transformers_made_them() {
    let mut goldens = goldens();
    let prefixes = goldens["models"][CONTEXT]["pooled"].as_array().unwrap().len();
    let [floats, codes, signs] = ["float32 prefix", "int8 prefix", "binary prefix"].map(|what| (what, prefixes));
    let counts = [("token ids", 13), ("chunk spans", 13), floats, codes, signs];
    all_hold(CONTEXT, &goldens, &counts);
    // A length 0.2 % off is 0.002 of it; allowed is sqrt(2e-5), 0.0045. Signs within the zone say nothing.
    edit(&mut goldens, CONTEXT, "pooled/4/float32", times(1.002));
    edit(&mut goldens, CONTEXT, "pooled/5/int8/3", by(1.0));
    edit(&mut goldens, CONTEXT, "pooled/6/binary/2", |sign| *sign = json!(-sign.as_i64().unwrap()));
    edit(&mut goldens, CONTEXT, "pooled/6/binary_zone", to(json!(100)));
    all_hold(CONTEXT, &goldens, &counts);
}

#[test]
fn a_false_span_length_code_or_sign_of_a_chunk_is_found() {
    let mut goldens = goldens();
    edit(&mut goldens, CONTEXT, "documents/3/ids/0", by(1.0));
    edit(&mut goldens, CONTEXT, "documents/4/spans/1/0", by(1.0));
    // The whole vector in another length, which no cosine would see; and one of zeros that is none.
    edit(&mut goldens, CONTEXT, "pooled/4/float32", times(1.01));
    edit(&mut goldens, CONTEXT, "pooled/0/float32/7", to(json!(0.5)));
    edit(&mut goldens, CONTEXT, "pooled/5/int8/3", by(9.0));
    edit(&mut goldens, CONTEXT, "pooled/6/binary/2", |sign| *sign = json!(-sign.as_i64().unwrap()));
    let found = [
        ("one_chunk", "token ids"),
        ("two_chunks", "chunk spans"),
        ("one_chunk[0]", "float32 prefix"),
        ("one_empty_chunk[0]", "float32 prefix"),
        ("two_chunks[0]", "int8 prefix"),
        ("two_chunks[1]", "binary prefix"),
    ];
    finds(CONTEXT, &goldens, &found);
}

#[test]
fn sequences_token_vectors_and_scores_are_as_sentence_transformers_made_them() {
    let mut goldens = goldens();
    let counts = [
        ("query length", 1),
        ("document length", 1),
        ("expansion token", 1),
        ("skiplist", 1),
        ("token ids", 32),
        ("scored positions", 32),
        ("vector prefix", 32),
        ("maxsim", 16),
    ];
    all_hold(LATE, &goldens, &counts);
    edit(&mut goldens, LATE, "first_vectors/7/float32", times(0.998));
    edit(&mut goldens, LATE, "scores/3/score", by(5e-4));
    edit(&mut goldens, LATE, "scores/4/score", by(1.0));
    edit(&mut goldens, LATE, "scores/4", |score| score["rtol"] = json!(0.5));
    all_hold(LATE, &goldens, &counts);
}

#[test]
fn a_false_setting_sequence_vector_or_score_is_found() {
    let mut goldens = goldens();
    edit(&mut goldens, LATE, "settings/query_length", by(1.0));
    edit(&mut goldens, LATE, "settings/document_length", by(1.0));
    edit(&mut goldens, LATE, "settings/expansion_token", by(1.0));
    edit(&mut goldens, LATE, "settings/document_skiplist", |list| drop(list.as_array_mut().unwrap().pop()));
    edit(&mut goldens, LATE, "sequences/6/ids/31", by(1.0));
    edit(&mut goldens, LATE, "sequences/7/scored", |list| drop(list.as_array_mut().unwrap().pop()));
    edit(&mut goldens, LATE, "first_vectors/7/float32", times(0.99));
    // Punctuation, which has no vector.
    edit(&mut goldens, LATE, "first_vectors/3/position", to(json!(2)));
    edit(&mut goldens, LATE, "scores/3/score", by(-2e-3));
    let found = [
        ("settings", "query length"),
        ("settings", "document length"),
        ("settings", "expansion token"),
        ("settings", "skiplist"),
        ("question query", "token ids"),
        ("question document", "scored positions"),
        ("question document", "vector prefix"),
        ("punctuation document", "vector prefix"),
        ("question query / long document", "maxsim"),
    ];
    finds(LATE, &goldens, &found);
}

#[test]
fn a_repository_on_a_hub_is_known_by_its_id_and_the_table_says_what_weights_were_used() {
    let hub = Hub::start();
    let file = File::holding(goldens().to_string());
    let run = |id: &str, more: &[&str]| {
        let common = ["--model", id, "--endpoint", &hub.endpoint, "--no-cache", "--goldens", file.0.to_str().unwrap()];
        verify(&[&common, more].concat())
    };
    let output = run(CONTEXT, &[]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    let lines: Vec<&str> = table.lines().collect();
    for column in ["name", "compared", "published", "ours", "worst", "allowed"] {
        assert!(lines[0].contains(column), "{}", lines[0]);
    }
    let row = lines.iter().find(|line| line.starts_with("one_chunk ") && line.contains("19 token ids")).unwrap();
    assert!(row.ends_with("ok"), "{row}");
    let last = lines[lines.len() - 1];
    assert!(last.contains(&format!("{0} of {0} hold: {CONTEXT}, weights f32, on", lines.len() - 2)), "{last}");
    // The values are of another commit: that is said, and no more.
    assert!(String::from_utf8_lossy(&output.stderr).contains("revision 0123, this is"));

    // Stored as float16, checked as float32 unless something else is asked for.
    for (more, weights) in [(&[][..], "f32"), (&["--weights", "auto"][..], "f16")] {
        let output = run(HALVES, &[&["--json"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let summary: Value =
            serde_json::from_slice(output.stdout.split(|&b| b == b'\n').rev().nth(1).unwrap()).unwrap();
        assert_eq!((&summary["weights"], summary["checks"].as_u64()), (&json!(weights), Some(26)));
    }
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

#[test]
fn a_model_of_which_nothing_is_published_is_told_of_which_something_is() {
    let known = ["perplexity-ai/pplx-embed-v1-0.6b", "v1-4b", "context-v1-0.6b", "v1-late-0.6b", "--as"];
    let folder = "tests/fixtures/checkpoints/f32-odd";
    refused(&verify(&["--model", folder]), 2, &[&["--model", folder], &known[..]].concat());
    refused(&verify(&["--model", folder, "--as", "v1"]), 2, &[&["--as", "\"v1\""], &known[..]].concat());
    // A model of another kind than its values are of.
    let late = verify(&["--model", folder, "--as", "perplexity-ai/pplx-embed-v1-late-0.6b"]);
    refused(&late, 1, &["late interaction"]);
}

#[test]
fn a_file_of_values_that_is_wrong_is_refused_before_the_model_is_loaded() {
    let refuses = |place: &str, wrong: Value, words: &[&str]| {
        let mut goldens = goldens();
        *goldens.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = wrong;
        let file = File::holding(goldens.to_string());
        let output = verify(&["--model", "no/such/model", "--as", EMBED, "--goldens", file.0.to_str().unwrap()]);
        refused(&output, 1, words);
    };
    let models = |rest: &str| format!("/models/stand-in~1{rest}");
    refuses("/schema", json!(2), &["schema is 2", "allowed is 1"]);
    refuses("/tokens/0", json!({"source": "st", "model": [EMBED], "texts": []}), &["unknown field", "model"]);
    refuses("/tokens/0/source", json!("nobody"), &["tokens", "nobody"]);
    refuses("/tokens/0/texts/0/1", json!([-1]), &["-1"]);
    refuses(&models("f32-gqa2/vectors/0/int8/0"), json!(128), &["128"]);
    refuses(&models("f32-gqa2/batches/0/rows/1"), json!("nothing"), &["rows", "batch"]);
    refuses(&models("f32-gqa2/similarities/0/cosines"), json!([0.5]), &["cosine a document", "planets"]);
    refuses(&models("context/documents/4/spans"), json!([[0, 15]]), &["span a chunk", "two_chunks"]);
    refuses(&models("context/pooled/0/chunk"), json!(1), &["no such chunk", "one_empty_chunk[0]"]);
    refuses(&models("context/pooled/0/binary"), json!([1]), &["several lengths"]);
    refuses(&models("context"), json!({}), &["nothing to check"]);
    refuses(&models("late-st/sequences/0/role"), json!("passage"), &["passage"]);
    refuses(&models("late-st/first_vectors/0/sequence"), json!("nothing"), &["first_vectors", "nothing"]);
    refuses(&models("late-st/first_vectors/0/float32"), json!([]), &["first_vectors"]);
    refuses(&models("late-st/scores/0/query"), json!("empty document"), &["no such query", "empty document"]);
    let endless = json!({"name": "a", "source": "st", "role": "query", "text": "ab", "times": u64::MAX, "ids": []});
    refuses(&models("late-st/sequences/0"), endless, &["longer than a MiB"]);
    refused(&verify(&["--model", "m", "--goldens", "no/such.json"]), 1, &["no/such.json"]);
    let cut = File::holding(&goldens().to_string()[..900]);
    refused(&verify(&["--model", "m", "--goldens", cut.0.to_str().unwrap()]), 1, &["EOF"]);
}
