//! Documents of chunks, and splitting texts into chunks.

use std::rc::Rc;

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::future_to_promise;

use super::convert::{came, object_of, string, thrown, whole, whole_numbers};
use super::page::Page;
use super::text::{Utf16, strings, text};
use super::{WebModel, embed_options, give};
use crate::error::{Error, Result};
use crate::model::{ContextOptions, Embeddings, LongDocuments, Model, SplitOptions};

#[wasm_bindgen]
impl WebModel {
    /// Embeds an array of arrays of strings. Options: those of `embed`, and `longDocuments`. Returns an array of
    /// what `embed` returns.
    #[wasm_bindgen(js_name = embedContext)]
    pub fn embed_context(&self, documents: Array, options: JsValue) -> Promise {
        let model = Rc::clone(&self.0);
        future_to_promise(async move {
            let embeddings = embed(&model, &documents, &options).await.map_err(thrown)?;
            let given: Result<Vec<JsValue>, JsValue> = embeddings.iter().map(give).collect();
            Ok(given?.into_iter().collect::<Array>().into())
        })
    }

    /// Splits a string. Options: `maxTokens`, `overlap`. Returns `starts` and `ends` in UTF-16 code units, and `tokens`.
    #[wasm_bindgen(js_name = splitText)]
    pub fn split_text(&self, value: JsValue, options: JsValue) -> Result<JsValue, JsValue> {
        let whole_text = text(|| "text".into(), value).map_err(thrown)?;
        let chunks = split_options(&options).and_then(|o| self.0.tokenizer().split(&whole_text, o)).map_err(thrown)?;
        let places = Utf16::of(&whole_text);
        let starts: Vec<usize> = chunks.iter().map(|c| places.at(c.range.start)).collect();
        let ends: Vec<usize> = chunks.iter().map(|c| places.at(c.range.end)).collect();
        let tokens: Vec<usize> = chunks.iter().map(|c| c.tokens).collect();
        object_of(&[
            ("starts", whole_numbers(&starts)),
            ("ends", whole_numbers(&ends)),
            ("tokens", whole_numbers(&tokens)),
        ])
    }
}

async fn embed(model: &Model, documents: &Array, options: &JsValue) -> Result<Vec<Embeddings>> {
    let page = Page::of(options)?;
    let long_documents = match string(options, "longDocuments")?.as_deref() {
        None | Some("error") => LongDocuments::Error,
        Some("window") => LongDocuments::Window,
        Some(other) => {
            return Err(Error::argument("longDocuments", format!("{other:?}, allowed are error, window")));
        }
    };
    let context_options = ContextOptions { embed: embed_options(options)?, long_documents };
    let documents = documents.iter().enumerate().map(|(i, value)| {
        let name = format!("documents[{i}]");
        let chunks: Array = value
            .dyn_into()
            .map_err(|v| Error::argument(&name, format!("{}, allowed is an array of strings", came(&v))))?;
        strings(&name, &chunks)
    });
    model.embed_context(&documents.collect::<Result<Vec<_>>>()?, context_options, &page).await
}

fn split_options(options: &JsValue) -> Result<SplitOptions> {
    let default = SplitOptions::default();
    Ok(SplitOptions {
        max_tokens: whole(options, "maxTokens")?.map_or(default.max_tokens, |n| n as usize),
        overlap: whole(options, "overlap")?.map_or(default.overlap, |n| n as usize),
    })
}
