//! The full shapes of the real models with random weights, and a text of full length, against transformers. Heavy, so
//! behind `make test-full`, which makes the checkpoints (`fixtures/make_large.py`, `make_long.py`) under
//! `target/large`. Prints what it measured as JSON, which `bench/results` keeps.
#![allow(clippy::print_stdout, reason = "the measurement is what the test is run for")]

use std::time::Instant;

use pplx_embed::hub::Folder;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model};
use pplx_embed::numbers::Dtype;
use safetensors::SafeTensors;

use crate::support;

fn check(shape: &str) {
    let folder = format!("target/large/{shape}");
    let start = Instant::now();
    let model = pollster::block_on(Model::load(
        &Folder::new(&folder),
        LoadOptions { device: support::device(), ..LoadOptions::default() },
        &(),
    ))
    .unwrap();
    let load_seconds = start.elapsed().as_secs_f64();

    let json = std::fs::read(format!("{folder}/expected.json")).unwrap();
    let expected: support::Expected = serde_json::from_slice(&json).unwrap();
    let tensors = std::fs::read(format!("{folder}/expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let pooled = support::floats(&tensors, "pooled");
    let codes: &[i8] = bytemuck::cast_slice(tensors.tensor("int8").unwrap().data());
    let info = model.info();
    let hidden = info.dimensions as usize;

    let mut texts = Vec::new();
    for (i, text) in expected.texts.iter().enumerate() {
        let embed = |dtype| {
            let options = EmbedOptions { dtype: Some(dtype), ..Default::default() };
            pollster::block_on(model.embed(&[&text.text], options, &())).unwrap().data
        };
        let start = Instant::now();
        let Data::Float32(got) = embed(Dtype::Float32) else { panic!("not float32") };
        let seconds = start.elapsed().as_secs_f64();
        let Data::Int8(got_codes) = embed(Dtype::Int8) else { panic!("not int8") };
        let row = i * hidden..(i + 1) * hidden;
        let (want, want_codes) = (&pooled[row.clone()], &codes[row]);
        let cosine = support::cosine(&got, want);
        let worst = got_codes.iter().zip(want_codes).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        let equal = got_codes.iter().zip(want_codes).filter(|(a, b)| a == b).count();
        assert!(cosine >= 0.99999, "{}: cosine {cosine}", text.name);
        assert!(worst <= 1 && equal as f64 >= 0.995 * hidden as f64, "{}: {equal} codes equal", text.name);
        texts.push(serde_json::json!({
            "tokens": text.ids.len(),
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "one_minus_cosine": 1.0 - cosine,
            "codes_equal": equal as f64 / hidden as f64,
        }));
    }
    let result = serde_json::json!({
        "shape": shape,
        "adapter": info.adapter,
        "weights": info.weights,
        "bytes": info.bytes,
        "load_seconds": (load_seconds * 1000.0).round() / 1000.0,
        "texts": texts,
    });
    println!("RESULT {result}");
}

#[test]
#[ignore = "2.4 GB of weights: make test-full"]
fn the_full_06b_shape_equals_transformers() {
    check("0.6b");
}

#[test]
#[ignore = "8 GB of weights: make test-full"]
fn the_full_4b_shape_equals_transformers() {
    check("4b");
}

#[test]
#[ignore = "minutes of attention on a software adapter: make test-full"]
fn a_text_of_32768_tokens_equals_transformers() {
    check("long");
}
