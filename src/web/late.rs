//! Token vectors of late interaction models.

use std::rc::Rc;

use half::f16;
use js_sys::{Array, Float32Array, Int8Array, Promise, Uint8Array, Uint16Array, Uint32Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use super::WebModel;
use super::convert::{object_of, plain, string, thrown, whole, whole_numbers};
use super::page::Page;
use super::text::{Utf16, strings};
use crate::error::Result;
use crate::model::Model;
use crate::model::late::{EncodeOptions, MarkerPosition, Role, TokenEmbeddings};
use crate::numbers::RowBuf;

#[wasm_bindgen]
impl WebModel {
    /// Encodes an array of strings as the role `query` or `document`. Options: `dtype`, `markerPosition`, `poolFactor`,
    /// `signal`, `onProgress`. Returns `RawTokenEmbeddings` of `js/engine/calls.ts`.
    pub fn encode(&self, role: String, texts: Array, options: JsValue) -> Promise {
        let model = Rc::clone(&self.0);
        future_to_promise(async move {
            let texts = strings("texts", &texts).map_err(thrown)?;
            let embeddings = encode(&model, &role, &texts, &options).await.map_err(thrown)?;
            give_tokens(&embeddings, &texts)
        })
    }
}

async fn encode(model: &Model, role: &str, texts: &[String], options: &JsValue) -> Result<TokenEmbeddings> {
    let page = Page::of(options)?;
    let role: Role = role.parse()?;
    let place = whole(options, "markerPosition")?;
    let encode_options = EncodeOptions {
        dtype: string(options, "dtype")?.map(|name| name.parse()).transpose()?.unwrap_or_default(),
        marker_position: place.map(MarkerPosition::try_from).transpose()?.unwrap_or_default(),
        pool_factor: whole(options, "poolFactor")?,
    };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    model.encode(role, &texts, encode_options, &page).await
}

fn give_tokens(embeddings: &TokenEmbeddings, texts: &[String]) -> Result<JsValue, JsValue> {
    let mut scales = JsValue::UNDEFINED;
    let data: JsValue = match &embeddings.data {
        RowBuf::Float32(v) => Float32Array::from(v.as_slice()).into(),
        RowBuf::Float16(v) => {
            let bits: Vec<u16> = v.iter().copied().map(f16::to_bits).collect();
            Uint16Array::from(bits.as_slice()).into()
        }
        RowBuf::Int8 { codes, scales: factors } => {
            scales = factors.as_deref().map_or(JsValue::UNDEFINED, |factors| Float32Array::from(factors).into());
            Int8Array::from(codes.as_slice()).into()
        }
        RowBuf::Binary(v) => Uint8Array::from(v.as_slice()).into(),
    };
    // A start and an end for each vector; both 0 for a token that is not in the text.
    let mut ranges = Vec::with_capacity(embeddings.tokens.ranges.len() * 2);
    for (i, text) in texts.iter().enumerate() {
        let places = Utf16::of(text);
        for range in &embeddings.tokens.ranges[embeddings.tokens.rows(i)] {
            let (start, end) = range.map_or((0, 0), |(start, end)| (places.at(start), places.at(end)));
            ranges.extend([start, end]);
        }
    }
    object_of(&[
        ("data", data),
        ("dtype", plain(&embeddings.data.format())?),
        ("dim", (embeddings.tokens.dim as f64).into()),
        ("offsets", whole_numbers(&embeddings.tokens.offsets)),
        ("scales", scales),
        ("ids", Uint32Array::from(embeddings.tokens.ids.as_slice()).into()),
        ("ranges", whole_numbers(&ranges)),
        ("tokens", (embeddings.tokens.usage.tokens as f64).into()),
        ("truncated", whole_numbers(&embeddings.tokens.usage.truncated)),
    ])
}
