//! Scoring of token vectors, which needs no model.

use std::rc::Rc;
use std::sync::Arc;

use js_sys::{Float32Array, Int8Array, Promise, Uint8Array, Uint16Array, Uint32Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use super::{Page, boolean, object, object_of, option, string, thrown, whole};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::maxsim::{Match, Options, Scorer, TokenData, Tokens, explain_on_cpu, score_on_cpu};

/// Scores token vectors, without a model.
#[wasm_bindgen]
pub struct WebScorer(Rc<Device>);

/// Where scores are made: without a GPU, on the CPU.
struct Device {
    gpu: Option<Arc<Gpu>>,
    scorer: Scorer,
}

/// Opens the adapter, if there is one.
#[wasm_bindgen]
pub async fn scorer() -> Result<WebScorer, JsValue> {
    let gpu = adapter().await.map_err(thrown)?;
    Ok(WebScorer(Rc::new(Device { gpu, scorer: Scorer::new() })))
}

/// The adapter, if there is one.
pub(super) async fn adapter() -> Result<Option<Arc<Gpu>>> {
    match Gpu::open_shared().await {
        Ok(gpu) => Ok(Some(gpu)),
        Err(Error::NoAdapter { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[wasm_bindgen]
impl WebScorer {
    /// Scores. Of `request`: `queries` and `documents`, each of `data`, `dtype`, `offsets` (Uint32Array), `dim` and
    /// for int8 optionally `scales`; optionally `pairs` (Uint32Array, two numbers a pair), `normalize`, `signal`,
    /// `onProgress`. Gives a Float32Array.
    pub fn score(&self, request: JsValue) -> Promise {
        let device = Rc::clone(&self.0);
        future_to_promise(async move {
            let scores = score(&device, &request).await.map_err(thrown)?;
            Ok(Float32Array::from(scores.as_slice()).into())
        })
    }

    /// Explains the score of the one pair of `request`, which is otherwise as for `score`. Gives `tokens`
    /// (Uint32Array) and `similarities` (Float32Array).
    pub fn explain(&self, request: JsValue) -> Promise {
        let device = Rc::clone(&self.0);
        future_to_promise(async move {
            let matches = explain(&device, &request).await.map_err(thrown)?;
            let tokens: Vec<u32> = matches.iter().map(|m| m.token).collect();
            let similarities: Vec<f32> = matches.iter().map(|m| m.similarity).collect();
            object_of(&[
                ("tokens", Uint32Array::from(tokens.as_slice()).into()),
                ("similarities", Float32Array::from(similarities.as_slice()).into()),
            ])
        })
    }
}

async fn score(device: &Device, request: &JsValue) -> Result<Vec<f32>> {
    let page = Page::of(request)?;
    let [queries, documents] = [Vectors::of(request, "queries")?, Vectors::of(request, "documents")?];
    let pairs = pairs(request)?;
    let options = Options { pairs: pairs.as_deref(), normalize: boolean(request, "normalize")?.unwrap_or(false) };
    let (queries, documents) = (queries.tokens(), documents.tokens());
    match &device.gpu {
        Some(gpu) => device.scorer.score(gpu, queries, documents, options, &page).await,
        None => score_on_cpu(queries, documents, options, &page),
    }
}

async fn explain(device: &Device, request: &JsValue) -> Result<Vec<Match>> {
    let page = Page::of(request)?;
    let [queries, documents] = [Vectors::of(request, "queries")?, Vectors::of(request, "documents")?];
    let pair = pairs(request)?.and_then(|pairs| pairs.first().copied());
    let pair = pair.ok_or_else(|| Error::argument("pair", "is missing"))?;
    let normalize = boolean(request, "normalize")?.unwrap_or(false);
    let both = [queries.tokens(), documents.tokens()];
    match &device.gpu {
        Some(gpu) => device.scorer.explain(gpu, both, pair, normalize, &page).await,
        None => explain_on_cpu(both, pair, normalize),
    }
}

fn pairs(request: &JsValue) -> Result<Option<Vec<(u32, u32)>>> {
    let flat: Option<Uint32Array> = object(request, "pairs", "a Uint32Array")?;
    Ok(flat.map(|flat| flat.to_vec().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()))
}

/// Token vectors, copied out of JavaScript's memory.
pub(super) struct Vectors {
    numbers: Numbers,
    offsets: Vec<u64>,
    dim: usize,
}

enum Numbers {
    Float32(Vec<f32>),
    Float16(Vec<u16>),
    Int8(Vec<i8>, Option<Vec<f32>>),
    Binary(Vec<u8>),
}

impl Vectors {
    /// The argument `name` of `request`.
    pub(super) fn of(request: &JsValue, name: &str) -> Result<Self> {
        let given = option(request, name)?.ok_or_else(|| Error::argument(name, "is missing"))?;
        let missing = |field: &str| Error::argument(format!("{name}.{field}"), "is missing");
        let dtype = string(&given, "dtype")?.ok_or_else(|| missing("dtype"))?;
        let data = || missing("data");
        let numbers = match dtype.as_str() {
            "float32" => Numbers::Float32(
                object(&given, "data", "a Float32Array")?.map(|a: Float32Array| a.to_vec()).ok_or_else(data)?,
            ),
            "float16" => Numbers::Float16(
                object(&given, "data", "a Uint16Array")?.map(|a: Uint16Array| a.to_vec()).ok_or_else(data)?,
            ),
            "int8" => Numbers::Int8(
                object(&given, "data", "an Int8Array")?.map(|a: Int8Array| a.to_vec()).ok_or_else(data)?,
                object(&given, "scales", "a Float32Array")?.map(|a: Float32Array| a.to_vec()),
            ),
            "binary" => Numbers::Binary(
                object(&given, "data", "a Uint8Array")?.map(|a: Uint8Array| a.to_vec()).ok_or_else(data)?,
            ),
            _ => {
                return Err(Error::argument(
                    format!("{name}.dtype"),
                    format!("{dtype:?}, allowed are float32, float16, int8, binary"),
                ));
            }
        };
        let offsets: Uint32Array = object(&given, "offsets", "a Uint32Array")?.ok_or_else(|| missing("offsets"))?;
        let dim = whole(&given, "dim")?.ok_or_else(|| missing("dim"))? as usize;
        Ok(Self { numbers, offsets: offsets.to_vec().into_iter().map(u64::from).collect(), dim })
    }

    pub(super) fn tokens(&self) -> Tokens<'_> {
        let data = match &self.numbers {
            Numbers::Float32(data) => TokenData::Float32(data),
            Numbers::Float16(data) => TokenData::Float16(bytemuck::cast_slice(data)),
            Numbers::Int8(codes, scales) => TokenData::Int8 { codes, scales: scales.as_deref() },
            Numbers::Binary(data) => TokenData::Binary(data),
        };
        Tokens { data, offsets: &self.offsets, dim: self.dim }
    }
}
