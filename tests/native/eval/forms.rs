//! Every form and size against a plain loop over what `embed`, `embedContext` and `encode` give.

use pollster::block_on;
use pplx_embed::backend::Backend;
use pplx_embed::evaluation::order;
use pplx_embed::hub::Folder as Source;
use pplx_embed::index::{AddMode, Index, IndexKind, IndexOptions, Item, ItemText, SearchOptions};
use pplx_embed::maxsim::{Options, Scorer, TokenVectors};
use pplx_embed::model::late::{EncodeOptions, Role, TokenEmbeddings};
use pplx_embed::model::{ContextOptions, Data, EmbedOptions, Embeddings, LoadOptions, Model};
use pplx_embed::numbers::{Dtype, RowFormat};
use serde_json::{Value, json};

use super::runs::{Folder, refused};

fn load(folder: &str) -> Model {
    block_on(Model::load(&Source::new(folder), LoadOptions::default(), &())).unwrap()
}

fn checkpoint(name: &str) -> String {
    format!("tests/fixtures/checkpoints/{name}")
}

/// Texts that are alike, two that are the same, one that is empty.
const TEXTS: [&str; 14] = [
    "a red bicycle",
    "a red bicycle, and another one",
    "the history of the wheel",
    "",
    "Émile Zola, 1897.",
    "東京タワー",
    "the history of the wheel",
    "how to mend a puncture in the rain",
    "bread and butter",
    "x",
    "the wheel of a bicycle",
    "rain in the afternoon, and wind from the north",
    "butter on bread, and rain on the roof",
    "who mends bicycles in Tōkyō",
];
const QUERIES: [(&str, &str); 4] =
    [("q1", "a bicycle"), ("q2", "the history of the wheel"), ("q3", "bread"), ("d9", "x, rain")];
const QRELS: [(&str, &str, i64); 6] =
    [("q1", "d0", 2), ("q1", "d1", 1), ("q2", "d6", 1), ("q3", "d8", 1), ("d9", "d11", 1), ("d9", "d9", 1)];

fn plain(folder: &Folder) {
    let line = |(i, text): (usize, &&str)| json!({ "_id": format!("d{i}"), "title": "", "text": text });
    let corpus: Vec<Value> = TEXTS.iter().enumerate().map(line).collect();
    folder.set(&corpus, &QUERIES, &QRELS);
}

/// What stands in the report of query `query`, in this form and size.
fn hits(report: &Value, form: &str, dimensions: usize, query: usize) -> Vec<(String, f32)> {
    let results = report["results"].as_array().unwrap();
    let own = results.iter().find(|r| r["form"] == form && r["dimensions"] == dimensions).unwrap();
    serde_json::from_value(own["queries"][query]["hits"].clone()).unwrap()
}

fn best(mut scores: Vec<(String, f32)>) -> Vec<(String, f32)> {
    scores.sort_by(|a, b| order((a.1, &a.0), (b.1, &b.0)));
    scores.truncate(10);
    scores
}

fn cosine(a: &[f64], b: &[f64]) -> f32 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let squares = dot(a, a) * dot(b, b);
    if squares > 0.0 { (dot(a, b) / squares.sqrt()) as f32 } else { 0.0 }
}

/// The similarity of two vectors of a form.
fn similarity(a: &Embeddings, i: usize, b: &Embeddings, j: usize) -> f32 {
    let (width, at) = (a.row_len(), |row: usize| row * a.row_len()..(row + 1) * a.row_len());
    assert_eq!(width, b.row_len());
    let wide = |codes: &[i8]| codes.iter().map(|&c| f64::from(c)).collect::<Vec<_>>();
    let widened = |numbers: &[f32]| numbers.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    match (&a.data, &b.data) {
        (Data::Float32(a), Data::Float32(b)) => cosine(&widened(&a[at(i)]), &widened(&b[at(j)])),
        (Data::Int8(a), Data::Int8(b)) => cosine(&wide(&a[at(i)]), &wide(&b[at(j)])),
        (Data::Binary(a), Data::Binary(b)) => -(a[at(i)].iter().zip(&b[at(j)]).filter(|(a, b)| a != b).count() as f32),
        _ => panic!("two forms"),
    }
}

/// Ids are the same and so are scores: but for those of floats, whose sums are made in another order.
#[track_caller]
fn same(got: &[(String, f32)], expected: &[(String, f32)], exact: bool, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert_eq!(got.0, expected.0, "{what}: {got:?} {expected:?}");
        let allowed = if exact { 0.0 } else { 1e-6 };
        assert!((got.1 - expected.1).abs() <= allowed, "{what}: {got:?} {expected:?}");
    }
}

const DTYPES: [(&str, Dtype); 3] = [("float", Dtype::Float32), ("int8", Dtype::Int8), ("binary", Dtype::Binary)];

fn options(dtype: Dtype, dimensions: usize) -> EmbedOptions {
    EmbedOptions {
        dtype: Some(dtype),
        dimensions: Some(dimensions as u32),
        normalize: Some(false),
        ..EmbedOptions::default()
    }
}

#[test]
fn dense_hits_are_those_of_a_plain_loop_over_embed_in_every_form_and_size() {
    let folder = Folder::new("dense");
    plain(&folder);
    // 128 dimensions with the usual sizes, and 52 with some that fill no word, in blocks that end in the middle.
    for (model, sizes) in [("models/demo".into(), vec![64, 128]), (checkpoint("f32-odd"), vec![7, 33, 52])] {
        let (set, asked) = (folder.path("set"), sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(","));
        let mut arguments = vec!["--model", &model, "--dataset", &set, "--block", "5"];
        if sizes[0] == 7 {
            arguments.extend(["--dimensions", &asked]);
        }
        let report = folder.report(&arguments);
        assert_eq!(report["results"].as_array().unwrap().len(), 3 * sizes.len());
        let model = load(&model);
        for (form, dtype) in DTYPES {
            for &size in &sizes {
                let embed = |texts: &[&str]| block_on(model.embed(texts, options(dtype, size), &())).unwrap();
                let (documents, queries) = (embed(&TEXTS), embed(&QUERIES.map(|q| q.1)));
                for query in 0..QUERIES.len() {
                    let score = |d: usize| (format!("d{d}"), similarity(&queries, query, &documents, d));
                    let expected = best((0..TEXTS.len()).map(score).collect());
                    same(
                        &hits(&report, form, size, query),
                        &expected,
                        form != "float",
                        &format!("{form} {size} {query}"),
                    );
                }
            }
        }
    }
}

#[test]
fn int8_scores_have_the_bits_of_a_search_in_an_index() {
    let folder = Folder::new("index");
    plain(&folder);
    let report = folder.report(&["--model", "models/demo", "--dataset", &folder.path("set"), "--forms", "int8"]);
    let model = load("models/demo");
    for size in [64, 128] {
        let mut index = Index::new(model.backend().clone(), IndexOptions::new(IndexKind::Dense, size)).unwrap();
        let ids: Vec<String> = (0..TEXTS.len()).map(|i| format!("d{i}")).collect();
        let items: Vec<Item<'_>> = ids.iter().map(|id| Item { id, data: None }).collect();
        let texts = TEXTS.map(ItemText::One);
        block_on(index.add_texts(&model, &items, &texts, AddMode::Add, &())).unwrap();
        let queries = QUERIES.map(|q| q.1);
        let found = block_on(index.search_texts(&model, &queries, SearchOptions::default(), &())).unwrap();
        for (query, found) in found.iter().enumerate() {
            let scores: Vec<u32> = found.iter().map(|hit| hit.score.to_bits()).collect();
            let got: Vec<u32> = hits(&report, "int8", size, query).iter().map(|hit| hit.1.to_bits()).collect();
            assert_eq!(got, scores, "{size} {query}");
        }
    }
}

#[test]
fn a_document_with_the_query_s_id_is_left_out_on_request_and_can_still_not_be_found() {
    let folder = Folder::new("same-id");
    plain(&folder);
    let set = folder.path("set");
    let arguments = ["--model", "models/demo", "--dataset", &set, "--forms", "float", "--dimensions", "128", "--bm25"];
    let ids = |report: &Value, form: &str| -> Vec<Value> {
        let results = report["results"].as_array().unwrap();
        let own = results.iter().find(|r| r["form"] == form).unwrap();
        own["queries"][3]["hits"].as_array().unwrap().iter().map(|hit| hit[0].clone()).collect()
    };
    let all = folder.report(&arguments);
    let without = folder.report(&[&arguments[..], &["--skip-same-id"]].concat());
    let expected: Vec<Value> = ids(&all, "float").into_iter().filter(|id| id != "d9").collect();
    assert_eq!(ids(&all, "float").len(), 10);
    assert_eq!(ids(&without, "float")[..expected.len()], expected);
    assert!(!ids(&without, "float").contains(&json!("d9")));
    // Of two relevant documents one is left to be found.
    assert_eq!(without["results"][0]["queries"][3]["recall@100"], 0.5);
    let expected: Vec<Value> = ids(&all, "bm25").into_iter().filter(|id| id != "d9").collect();
    assert!(ids(&all, "bm25").contains(&json!("d9")));
    assert_eq!(ids(&without, "bm25"), expected);
}

/// Documents with chunks, one without, and one without any text.
fn chunked() -> Vec<Value> {
    vec![
        json!({ "_id": "a", "title": "Wheels", "chunks": ["the history of the wheel", "", "a red bicycle"] }),
        json!({ "_id": "b", "text": "the history of bread", "title": null }),
        json!({ "_id": "c", "chunks": ["bread and butter", "rain"] }),
        json!({ "_id": "none", "chunks": [] }),
    ]
}

/// The chunks of these documents, as they are read.
const CHUNKS: [&[&str]; 3] = [
    &["Wheels the history of the wheel", "", "a red bicycle"],
    &["the history of bread"],
    &["bread and butter", "rain"],
];

#[test]
fn a_context_model_sees_the_whole_document_and_the_best_chunk_counts() {
    let folder = Folder::new("context");
    let model = checkpoint("context");
    let set = folder.path("set");
    let context = load(&model);
    let by_document = [("q1", "a", 1), ("q3", "c", 1)];
    let by_chunk = [("q1", "a#2", 1), ("q3", "c#0", 2), ("q3", "b", 1)];
    for (qrels, ranked) in [(&by_document[..], "documents"), (&by_chunk[..], "chunks")] {
        folder.set(&chunked(), &QUERIES, qrels);
        let report = folder.report(&["--model", &model, "--dataset", &set, "--dimensions", "32,16", "--block", "2"]);
        assert_eq!(report["ranked"], ranked);
        for (form, dtype) in DTYPES {
            for size in [16, 32] {
                let embed = options(dtype, size);
                let options = ContextOptions { embed: embed.clone(), ..Default::default() };
                let documents = block_on(context.embed_context(&CHUNKS, options, &())).unwrap();
                let asked = [QUERIES[0].1, QUERIES[2].1];
                let queries = block_on(context.embed(&asked, embed, &())).unwrap();
                for query in 0..2 {
                    let of = |d: usize| -> Vec<f32> {
                        (0..documents[d].rows).map(|row| similarity(&queries, query, &documents[d], row)).collect()
                    };
                    let expected: Vec<(String, f32)> = match ranked {
                        "documents" => ["a", "b", "c"]
                            .iter()
                            .enumerate()
                            .map(|(d, id)| ((*id).to_owned(), of(d).into_iter().fold(f32::NEG_INFINITY, f32::max)))
                            .collect(),
                        _ => {
                            let ids = [vec!["a#0", "a#1", "a#2"], vec!["b"], vec!["c#0", "c#1"]];
                            ids.iter()
                                .enumerate()
                                .flat_map(|(d, ids)| {
                                    ids.iter().map(|id| (*id).to_owned()).zip(of(d)).collect::<Vec<_>>()
                                })
                                .collect()
                        }
                    };
                    let what = format!("{ranked} {form} {size} {query}");
                    same(&hits(&report, form, size, query), &best(expected), form != "float", &what);
                }
            }
        }
    }
}

#[test]
fn a_chunk_beyond_a_context_model_s_limit_is_told_with_its_document_s_id() {
    let folder = Folder::new("long");
    let mut corpus = chunked();
    corpus.push(json!({ "_id": "long one", "chunks": ["short", "bread ".repeat(1100)] }));
    folder.set(&corpus, &QUERIES, &[("q1", "a", 1)]);
    let arguments = ["--model", &checkpoint("context"), "--dataset", &folder.path("set"), "--block", "3"];
    refused(&folder.run(&arguments), 1, &["corpus.jsonl", "\"long one\"", "a chunk, [1]", "limit is 1024"]);
    // A text alone is cut, as by `embed`.
    corpus[4] = json!({ "_id": "long one", "text": "bread ".repeat(1100) });
    folder.set(&corpus, &QUERIES, &[("q1", "a", 1)]);
    assert_eq!(folder.report(&arguments)["texts"]["cut"], 1);
}

#[test]
fn a_late_model_s_hits_are_those_of_maxsim_over_what_encode_gives() {
    let folder = Folder::new("late");
    plain(&folder);
    let name = checkpoint("late-st");
    let report = folder.report(&["--model", &name, "--dataset", &folder.path("set"), "--block", "5"]);
    let model = load(&name);
    let encode = |role, texts: &[&str], dtype| {
        let options = EncodeOptions { dtype, ..Default::default() };
        block_on(model.encode(role, texts, options, &())).unwrap()
    };
    let ends = |e: &TokenEmbeddings| e.tokens.offsets.iter().map(|&end| end as u64).collect::<Vec<_>>();
    let queries = encode(Role::Query, &QUERIES.map(|q| q.1), RowFormat::Float32);
    let dtypes = [("float", RowFormat::Float32), ("int8", RowFormat::Int8), ("binary", RowFormat::Binary)];
    for (form, dtype) in dtypes {
        let documents = encode(Role::Document, &TEXTS, dtype);
        let (of_queries, of_documents) = (ends(&queries), ends(&documents));
        let tokens = TokenVectors { data: queries.data.as_data(), offsets: &of_queries, dim: queries.tokens.dim };
        let corpus = TokenVectors { data: documents.data.as_data(), offsets: &of_documents, dim: documents.tokens.dim };
        let scored = Scorer::new();
        let scores = block_on(scored.score(&Backend::cpu(), tokens, corpus, Options::default(), &())).unwrap();
        for (query, scores) in scores.chunks(TEXTS.len()).enumerate() {
            let expected = best((0..).map(|i| format!("d{i}")).zip(scores.iter().copied()).collect());
            let got = hits(&report, form, 24, query);
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got.1 - expected.1).abs() < 1e-4, "{form} {query}: {got:?} {expected:?}");
            }
            assert_eq!(got.len(), 10);
            assert_eq!(got[0].0, expected[0].0, "{form} {query}");
        }
    }
}

#[test]
fn forms_and_sizes_that_a_model_does_not_have_are_refused() {
    let folder = Folder::new("refused");
    plain(&folder);
    let set = folder.path("set");
    let (causal, late) = (checkpoint("causal-last-f32"), checkpoint("late-st"));
    for (model, option, value, words) in [
        (causal.as_str(), "--forms", "int8", ["--forms", "float, binary"]),
        (late.as_str(), "--dimensions", "12", ["--dimensions", "allowed is 24"]),
        ("models/demo", "--dimensions", "64,129", ["--dimensions: 129", "1 to 128"]),
        ("models/demo", "--dimensions", "0", ["--dimensions: 0", "1 to 128"]),
        ("models/demo", "--output", "report.txt", ["--output", ".json"]),
        ("models/demo", "--split", "train", ["--split", "\"train\""]),
        ("models/demo", "--block", "0", ["--block", "1..=65536"]),
    ] {
        refused(&folder.run(&["--model", model, "--dataset", &set, option, value]), 2, &words);
    }
    // Without being asked for, int8 is left out.
    let report = folder.report(&["--model", &causal, "--dataset", &set]);
    let forms: Vec<&Value> = report["results"].as_array().unwrap().iter().map(|r| &r["form"]).collect();
    assert_eq!(forms, ["float", "binary"]);
}
