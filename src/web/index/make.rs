//! Creating and opening indexes.

use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;

use super::WebIndex;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::hub::LocalFile;
use crate::index::{Index, IndexKind, IndexOptions, OpenOptions};
use crate::model::Model;
use crate::web::WebModel;
use crate::web::convert::{boolean, device, string, thrown, typed, whole};
use crate::web::page::Page;

/// Makes an index of vectors. Options: `dimensions`, and optionally `device`, `kind`, `dtype`, `memory` and `firstPass`.
#[wasm_bindgen(js_name = createIndex)]
pub async fn create_index(options: JsValue) -> Result<WebIndex, JsValue> {
    create(None, &options).await.map_err(thrown)
}

/// Opens a saved index of vectors. `file` is a `Reading` of `js/hosts/files.ts`. Options: `device`, `memory`, `recover`, `signal`, `onProgress`.
#[wasm_bindgen(js_name = openIndex)]
pub async fn open_index(file: JsValue, options: JsValue) -> Result<WebIndex, JsValue> {
    open(None, file, &options).await.map_err(thrown)
}

#[wasm_bindgen]
impl WebModel {
    /// [`create_index`], on the model's device and for its texts.
    #[wasm_bindgen(js_name = createIndex)]
    pub fn create_index(&self, options: JsValue) -> Promise {
        let model = Rc::clone(&self.0);
        future_to_promise(async move { create(Some(model), &options).await.map(JsValue::from).map_err(thrown) })
    }

    /// [`open_index`], on the model's device and for its texts.
    #[wasm_bindgen(js_name = openIndex)]
    pub fn open_index(&self, file: JsValue, options: JsValue) -> Promise {
        let model = Rc::clone(&self.0);
        future_to_promise(async move { open(Some(model), file, &options).await.map(JsValue::from).map_err(thrown) })
    }
}

async fn create(model: Option<Rc<Model>>, options: &JsValue) -> Result<WebIndex> {
    let kind = string(options, "kind")?.map(|name| name.parse()).transpose()?;
    let dtype = string(options, "dtype")?.map(|name| name.parse()).transpose()?;
    let dim = whole(options, "dimensions")?.map(|dim| dim as usize);
    let info = model.as_ref().map(|model| model.info());
    let default = match (&info, dim) {
        (Some(info), _) => IndexOptions::of_model(info, kind, dim),
        (None, Some(dim)) => IndexOptions::new(kind.unwrap_or(IndexKind::Dense), dim),
        (None, None) => {
            return Err(Error::argument("dimensions", "undefined, allowed without a model is the size of a vector"));
        }
    };
    let index = IndexOptions {
        rows: dtype.unwrap_or(default.rows),
        memory: memory(options)?,
        model: info.map(|info| info.id),
        first_pass: boolean(options, "firstPass")?.unwrap_or(default.first_pass),
        ..default
    };
    let backend = backend(model.as_deref(), options, &Page::of(options)?).await?;
    Ok(WebIndex::of(model, &backend, Index::new(backend.clone(), index)?))
}

async fn open(model: Option<Rc<Model>>, file: JsValue, options: &JsValue) -> Result<WebIndex> {
    let file = LocalFile::new("index", file);
    let page = Page::of(options)?;
    let default = OpenOptions::default();
    let recover = boolean(options, "recover")?.unwrap_or(default.recover);
    let open = OpenOptions { memory: memory(options)?, recover, ..default };
    let backend = backend(model.as_deref(), options, &page).await?;
    Ok(WebIndex::of(model, &backend, Index::open(backend.clone(), &file, open, &page).await?))
}

pub(super) async fn backend(model: Option<&Model>, options: &JsValue, page: &Page) -> Result<Backend> {
    match model {
        Some(model) => Ok(model.backend().clone()),
        None => Backend::open(device(options)?, None, page).await.map(|(backend, _)| backend),
    }
}

fn memory(options: &JsValue) -> Result<Option<u64>> {
    let fits = |n: &f64| n.fract() == 0.0 && (0.0..=9e15).contains(n);
    typed(options, "memory", "a whole number of bytes", |v| v.as_f64().filter(fits).map(|n| n as u64))
}
