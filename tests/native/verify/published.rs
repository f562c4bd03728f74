//! The values that come with the command, as far as they can be checked without the weights: ids by the real vocabulary,
//! and that what is derived fits what it is derived from.

use pplx_embed::model::Tokenizer;
use pplx_embed::model::late::{Expansion, LateConfig, MarkerPosition, Marking};
use serde_json::{Value, json};

use crate::support::{cosine, real_tokenizer, real_tokenizer_json};

const FILE: &str = include_str!("../../../src/bin/pplx-embed/cli/verify/goldens.json");
const EMBED: &str = "perplexity-ai/pplx-embed-v1-0.6b";
const CONTEXT: &str = "perplexity-ai/pplx-embed-context-v1-0.6b";
const LATE: &str = "perplexity-ai/pplx-embed-v1-late-0.6b";

fn of(id: &str, list: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(FILE).unwrap();
    file["models"][id][list].as_array().unwrap().clone()
}

fn numbers<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The context model's tokenizer: the common one, to which the separator is text.
fn separated() -> Tokenizer {
    let mut tokenizer = real_tokenizer();
    tokenizer.separate_by("<|endoftext|>").unwrap();
    tokenizer
}

/// The late model's: the common one, and two markers.
fn marked() -> Tokenizer {
    let mut json: Value = serde_json::from_slice(&real_tokenizer_json()).unwrap();
    for (id, marker) in [(151_669, "[Q] "), (151_670, "[D] ")] {
        json["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": id, "content": marker, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    }
    Tokenizer::parse(&serde_json::to_vec(&json).unwrap(), 151_671, 32_768).unwrap()
}

#[test]
fn the_real_vocabulary_gives_the_published_ids() {
    let file: Value = serde_json::from_str(FILE).unwrap();
    let tokenizers = [("v1-0.6b", real_tokenizer()), ("context", separated()), ("late", marked())];
    let mut checked = [0; 3];
    for group in file["tokens"].as_array().unwrap() {
        let models = group["models"].to_string();
        for (i, (_, tokenizer)) in tokenizers.iter().enumerate().filter(|(_, (name, _))| models.contains(name)) {
            for text in group["texts"].as_array().unwrap() {
                let ids = tokenizer.encode(text[0].as_str().unwrap()).unwrap().ids;
                assert_eq!(ids, numbers::<u32>(&text[1]), "{text}");
                checked[i] += 1;
            }
        }
    }
    assert_eq!(checked, [60, 52, 53]);
}

#[test]
fn the_real_vocabulary_gives_the_published_documents() {
    let tokenizer = separated();
    let documents = of(CONTEXT, "documents");
    assert_eq!(documents.len(), 6);
    for document in documents {
        let (ids, spans) = tokenizer.join(&numbers::<String>(&document["chunks"])).unwrap();
        let spans: Vec<[u32; 2]> = spans.iter().map(|span| [span.start, span.end]).collect();
        let expected = (numbers(&document["ids"]), numbers(&document["spans"]));
        assert_eq!((ids, spans), expected, "{}", document["name"]);
    }
}

#[test]
fn the_real_vocabulary_gives_the_published_sequences_and_scored_tokens() {
    let tokenizer = marked();
    let file: Value = serde_json::from_str(FILE).unwrap();
    let settings = &file["models"][LATE]["settings"];
    let length = |name: &str| u32::try_from(settings[name].as_u64().unwrap()).unwrap();
    let config = LateConfig {
        dense: None,
        query_prompt: "[Q] ".into(),
        document_prompt: "[D] ".into(),
        query_length: None,
        document_length: Some(length("document_length")),
        expansion: Some(Expansion { length: length("query_length"), fixed: true, attend: true, token: None }),
        skiplist: (' '..='~').filter(char::is_ascii_punctuation).map(String::from).collect(),
        skip_in_queries: false,
        skip_in_documents: true,
        normalize: true,
    };
    let marking = Marking::new(&config, &tokenizer, Some(length("expansion_token"))).unwrap();
    assert_eq!(marking.info().document_skiplist, numbers::<u32>(&settings["document_skiplist"]));
    let sequences = of(LATE, "sequences");
    assert_eq!((sequences.len(), sequences.iter().filter(|s| s["scored"].is_array()).count()), (16, 11));
    for sequence in sequences {
        let text = sequence["text"].as_str().unwrap().repeat(sequence["times"].as_u64().unwrap_or(1) as usize);
        let role = sequence["role"].as_str().unwrap().parse().unwrap();
        let ours = marking.mark(&tokenizer, role, &text, MarkerPosition::First).unwrap();
        assert_eq!(ours.ids, numbers::<u32>(&sequence["ids"]), "{}", sequence["name"]);
        if sequence["scored"].is_array() {
            assert_eq!(ours.scored, numbers::<u32>(&sequence["scored"]), "{}", sequence["name"]);
        }
    }
}

#[test]
fn numbers_survived_being_copied() {
    // What is carried in every binary.
    assert!(FILE.len() < 100_000, "{}", FILE.len());
    // The cosine of the two vectors was computed where they were published.
    let vectors = of(EMBED, "vectors");
    let codes = [0, 1].map(|i| numbers::<f32>(&vectors[i]["int8"]));
    assert_eq!((codes[0].len(), codes[1].len()), (1024, 1024));
    let found = cosine(&codes[0], &codes[1]);
    assert!((found - 0.775_323).abs() < 1e-6, "{found}");
    // int8 = round(127 tanh x), half to even, and the sign, of the float32 numbers beside them.
    let pooled = of(CONTEXT, "pooled");
    assert_eq!(pooled.len(), 3);
    for chunk in pooled {
        let float32: Vec<f64> = numbers(&chunk["float32"]);
        let codes: Vec<f64> = float32.iter().map(|x| (127.0 * x.tanh()).round_ties_even()).collect();
        let signs: Vec<i8> = float32.iter().map(|&x| if x >= 0.0 { 1 } else { -1 }).collect();
        assert_eq!((codes, signs), (numbers(&chunk["int8"]), numbers(&chunk["binary"])), "{}", chunk["name"]);
    }
    // A cosine is at most 1, and so is the score of each of a query's 32 tokens.
    let scores = of(LATE, "scores");
    assert_eq!(scores.len(), 15);
    assert!(scores.iter().all(|s| (30.0..32.0).contains(&s["score"].as_f64().unwrap())));
}
