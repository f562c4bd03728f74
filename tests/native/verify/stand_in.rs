//! Published values of models that nobody published: what transformers and sentence-transformers made of the fixtures,
//! in the form of the command's own file.

use std::collections::BTreeMap;

use pplx_embed::numbers::RowFormat;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::floats;
use crate::support::maxsim::{Items, oracle};

pub(crate) const EMBED: &str = "stand-in/f32-gqa2";
pub(crate) const HALVES: &str = "stand-in/f16-mha";
pub(crate) const CONTEXT: &str = "stand-in/context";
pub(crate) const LATE: &str = "stand-in/late-st";

/// All of them.
pub(crate) fn goldens() -> Value {
    let texts = |name: &str| -> Vec<Value> {
        let texts = expected(name).0;
        texts.iter().map(|t| json!([t["text"], t["ids"]])).collect()
    };
    json!({
        "schema": 1,
        "about": "what transformers and sentence-transformers made of the fixtures",
        "sources": {"transformers": "transformers, on the fixture", "st": "sentence-transformers, on the fixture"},
        "tokens": [
            {"source": "transformers", "models": [EMBED], "texts": texts("f32-gqa2")},
            {"source": "transformers", "models": [HALVES], "texts": texts("f16-mha")},
        ],
        "models": {EMBED: embed(), CONTEXT: context(), LATE: late()},
    })
}

/// The texts of a fixture, and its tensors.
fn expected(name: &str) -> (Vec<Value>, Vec<u8>) {
    let json: Value =
        serde_json::from_slice(&std::fs::read(format!("tests/fixtures/expected/{name}.json")).unwrap()).unwrap();
    let tensors = std::fs::read(format!("tests/fixtures/expected/{name}.safetensors")).unwrap();
    (json["texts"].as_array().unwrap().clone(), tensors)
}

fn embed() -> Value {
    const DIM: usize = 128;
    let (texts, tensors) = expected("f32-gqa2");
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let codes: &[i8] = bytemuck::cast_slice(tensors.tensor("int8").unwrap().data());
    let place = |name: &str| texts.iter().position(|t| t["name"] == name).unwrap();
    let row = |name: &str| &codes[place(name) * DIM..(place(name) + 1) * DIM];
    let text = |name: &str| texts[place(name)]["text"].clone();
    let cosine = |a: &[i8], b: &[i8]| {
        let dot = |a: &[i8], b: &[i8]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let vector = |name: &str| {
        json!({
            "name": name, "source": "transformers", "text": text(name), "int8": row(name), "cosine_min": 0.99,
            "code_difference_max": 2,
        })
    };
    let documents = ["german", "code", "length_127"];
    json!({
        "vectors": (["english", "chinese", "length_0", "length_512", "german"].map(vector)),
        "batches": [{"name": "batch", "source": "transformers", "rows": ["english", "length_512", "english", "length_0"]}],
        "similarities": [{
            "name": "planets", "source": "transformers", "query": text("english"), "documents": (documents.map(text)),
            "cosines": (documents.map(|d| cosine(row("english"), row(d)))), "atol": 1e-3, "rtol": 0.01,
        }],
    })
}

fn context() -> Value {
    const DIM: usize = 32;
    let (texts, tensors) = expected("context");
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let pooled = floats(&tensors, "pooled");
    let bytes = |name: &str| -> Vec<i8> { bytemuck::cast_slice(tensors.tensor(name).unwrap().data()).to_vec() };
    let (codes, signs) = (bytes("int8"), bytes("binary"));
    let (mut documents, mut prefixes, mut row) = (Vec::new(), Vec::new(), 0);
    for document in &texts {
        let name = document["name"].as_str().unwrap();
        documents.push(json!({
            "name": name, "source": "transformers", "chunks": document["chunks"], "ids": document["ids"],
            "spans": document["spans"],
        }));
        for chunk in 0..document["chunks"].as_array().unwrap().len() {
            let own = row * DIM..row * DIM + 16;
            row += 1;
            if chunk < 3 {
                prefixes.push(json!({
                    "name": format!("{name}[{chunk}]"), "source": "transformers", "document": name, "chunk": chunk,
                    "float32": pooled[own.clone()], "int8": codes[own.clone()], "binary": signs[own],
                    "cosine_min": 0.99999, "code_difference_max": 2, "binary_zone": 1e-4,
                }));
            }
        }
    }
    json!({"revision": "0123", "documents": documents, "pooled": prefixes})
}

fn late() -> Value {
    const DIM: usize = 24;
    let (texts, tensors) = expected("late-st");
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let vectors = |name: &str, role: &str| floats(&tensors, &format!("{name}.{role}"));
    let name = |text: &Value| text["name"].as_str().unwrap().to_owned();
    let mut sequences = Vec::new();
    for (text, role) in texts.iter().flat_map(|t| [(t, "query"), (t, "document")]) {
        sequences.push(json!({
            "name": format!("{} {role}", name(text)), "source": "st", "role": role, "text": text["text"],
            "ids": text[role]["ids"], "scored": text[role]["scored"],
        }));
    }
    // The last token that counts: in documents with punctuation it does not stand at its own place.
    let first_vectors = texts.iter().flat_map(|t| [(t, "query"), (t, "document")]).map(|(text, role)| {
        let scored = text[role]["scored"].as_array().unwrap();
        let own = vectors(&name(text), role);
        json!({
            "source": "st", "sequence": format!("{} {role}", name(text)), "position": scored.last(),
            "float32": own[(scored.len() - 1) * DIM..][..8], "cosine_min": 0.99999,
        })
    });
    let pairs = texts.iter().zip(texts.iter().cycle().skip(3));
    let scores = pairs.map(|(q, d)| {
        let [query, document] = [(q, "query"), (d, "document")].map(|(text, role)| {
            let own = vectors(&name(text), role);
            Items::new(RowFormat::Float32, DIM, &[own.len() / DIM], own)
        });
        json!({
            "source": "st", "query": format!("{} query", name(q)), "document": format!("{} document", name(d)),
            "score": oracle(&query, &document, false)[0].0, "atol": 1e-3,
        })
    });
    let tokenizer = std::fs::read("tests/fixtures/checkpoints/late-st/tokenizer.json").unwrap();
    let tokenizer: Value = serde_json::from_slice(&tokenizer).unwrap();
    let vocabulary: BTreeMap<String, u32> = serde_json::from_value(tokenizer["model"]["vocab"].clone()).unwrap();
    let mut skiplist: Vec<u32> =
        (' '..='~').filter(char::is_ascii_punctuation).map(|c| vocabulary[&c.to_string()]).collect();
    skiplist.sort_unstable();
    json!({
        "settings": {
            "source": "st", "query_length": 32, "document_length": 48, "expansion_token": 994,
            "document_skiplist": skiplist,
        },
        "sequences": sequences,
        "first_vectors": first_vectors.collect::<Vec<Value>>(),
        "scores": scores.collect::<Vec<Value>>(),
    })
}
