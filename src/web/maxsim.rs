//! Scoring token vectors, which needs no model.

use std::rc::Rc;

use js_sys::{Float32Array, Promise, Uint32Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use super::convert::{boolean, device, object, object_of, thrown};
use super::page::Page;
use super::vectors::WebVectors;
use crate::backend::Backend;
use crate::error::Result;
use crate::maxsim::{Match, Options, Scorer};

/// Scores token vectors, without a model.
#[wasm_bindgen]
pub struct WebScorer(Rc<ScoringDevice>);

/// Where scores are computed.
struct ScoringDevice {
    backend: Backend,
    scorer: Scorer,
}

/// Opens `options.device`, by default the GPU, or the processor if there is none, which `options.onProgress` is told.
#[wasm_bindgen]
pub async fn scorer(options: JsValue) -> Result<WebScorer, JsValue> {
    let page = Page::of(&options).map_err(thrown)?;
    let (backend, _) = Backend::open(device(&options).map_err(thrown)?, None, &page).await.map_err(thrown)?;
    Ok(WebScorer(Rc::new(ScoringDevice { backend, scorer: Scorer::new() })))
}

#[wasm_bindgen]
impl WebScorer {
    /// Scores. `request` has `queries` and `documents`, which are [`WebVectors`], and optionally `pairs` (Uint32Array, two
    /// numbers a pair), `normalize`, `signal`, `onProgress`. Returns a Float32Array.
    pub fn score(&self, request: JsValue) -> Promise {
        let on = Rc::clone(&self.0);
        future_to_promise(async move {
            let scores = score(&on, &request).await.map_err(thrown)?;
            Ok(Float32Array::from(scores.as_slice()).into())
        })
    }

    /// Explains the score of one pair, by default the first query and document. `request` is as for `score`. Returns
    /// `tokens` (Uint32Array) and `similarities` (Float32Array).
    pub fn explain(&self, request: JsValue) -> Promise {
        let on = Rc::clone(&self.0);
        future_to_promise(async move {
            let matches = explain(&on, &request).await.map_err(thrown)?;
            let tokens: Vec<u32> = matches.iter().map(|m| m.token).collect();
            let similarities: Vec<f32> = matches.iter().map(|m| m.similarity).collect();
            object_of(&[
                ("tokens", Uint32Array::from(tokens.as_slice()).into()),
                ("similarities", Float32Array::from(similarities.as_slice()).into()),
            ])
        })
    }
}

async fn score(device: &ScoringDevice, request: &JsValue) -> Result<Vec<f32>> {
    let page = Page::of(request)?;
    let [queries, documents] = [WebVectors::of(request, "queries")?, WebVectors::of(request, "documents")?];
    let pairs = pairs(request)?;
    let options = Options { pairs: pairs.as_deref(), normalize: boolean(request, "normalize")?.unwrap_or(false) };
    let (queries, documents) = (queries.tokens(), documents.tokens());
    device.scorer.score(&device.backend, queries, documents, options, &page).await
}

async fn explain(device: &ScoringDevice, request: &JsValue) -> Result<Vec<Match>> {
    let page = Page::of(request)?;
    let [queries, documents] = [WebVectors::of(request, "queries")?, WebVectors::of(request, "documents")?];
    let pair = pairs(request)?.and_then(|pairs| pairs.first().copied()).unwrap_or((0, 0));
    let normalize = boolean(request, "normalize")?.unwrap_or(false);
    let both = [queries.tokens(), documents.tokens()];
    device.scorer.explain(&device.backend, both, pair, normalize, &page).await
}

fn pairs(request: &JsValue) -> Result<Option<Vec<(u32, u32)>>> {
    let flat: Option<Uint32Array> = object(request, "pairs", "a Uint32Array")?;
    Ok(flat.map(|flat| flat.to_vec().chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()))
}
