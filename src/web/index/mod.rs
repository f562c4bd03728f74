//! Search indexes.

mod items;
mod make;
mod search;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_lock::Mutex;
use js_sys::{Array, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::future_to_promise;

use super::WebModel;
use super::convert::{object, object_of, plain, thrown, whole_numbers};
use super::page::Page;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::hub::settled;
use crate::index::{Index, IndexOptions, IndexSink};
use crate::model::Model;

#[wasm_bindgen]
extern "C" {
    /// A `Writing` of `js/hosts/files.ts`, or anything with its `append`.
    type Appending;
    #[wasm_bindgen(method, catch)]
    fn append(this: &Appending, bytes: &[u8]) -> Result<JsValue, JsValue>;
}

impl IndexSink for Appending {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        settled("index", self.append(bytes)).await.map(drop)
    }
}

/// A search index in this thread. If it is freed while a call runs, that takes effect when the call ends.
#[wasm_bindgen]
pub struct WebIndex(Rc<LiveIndex>);

struct LiveIndex {
    /// The model that makes the vectors of texts.
    model: RefCell<Option<Rc<Model>>>,
    device: Cell<&'static str>,
    index: Mutex<Index>,
}

impl WebIndex {
    fn of(model: Option<Rc<Model>>, backend: &Backend, index: Index) -> Self {
        let (model, device) = (RefCell::new(model), Cell::new(device_of(backend)));
        Self(Rc::new(LiveIndex { model, device, index: Mutex::new(index) }))
    }
}

fn device_of(backend: &Backend) -> &'static str {
    match backend {
        Backend::Gpu(_) => "webgpu",
        Backend::Cpu(_) => "cpu",
    }
}

async fn move_to(live: &LiveIndex, model: Option<Rc<Model>>, backend: Backend) -> Result<()> {
    let mut index = live.index.lock().await;
    index.move_to(backend.clone()).await?;
    live.device.set(device_of(&backend));
    live.model.replace(model);
    Ok(())
}

#[wasm_bindgen]
impl WebModel {
    /// Takes an index of a model that was lost with its device to this one's device.
    #[wasm_bindgen(js_name = moveIndex)]
    pub fn move_index(&self, index: &WebIndex) -> Promise {
        let (live, model) = (Rc::clone(&index.0), Rc::clone(&self.0));
        future_to_promise(async move {
            let backend = model.backend().clone();
            move_to(&live, Some(model), backend).await.map_err(thrown)?;
            Ok(JsValue::UNDEFINED)
        })
    }
}

#[wasm_bindgen]
impl WebIndex {
    /// `IndexInfo` of `js/types.ts`: `kind`, `dtype`, `dimensions`, `model`, `firstPass`, `device`, `bytes`.
    pub fn info(&self) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move { info(&live, &*live.index.lock().await) })
    }

    /// The `ids` of the items, and their `data` as JSON, in the order of the index.
    pub fn entries(&self) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move { entries(&*live.index.lock().await) })
    }

    /// Adds items. `request` has `ids`, `data` (JSON or undefined for each), either `texts` (strings or arrays of strings)
    /// or `vectors` (as for `WebScorer`, one item for each), `upsert`, `signal`, `onProgress`. Returns `tokens`,
    /// `truncated`, `bytes`.
    pub fn add(&self, request: JsValue) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move {
            let (usage, bytes) = items::add(&live, &request).await.map_err(thrown)?;
            let tokens = (usage.tokens as f64).into();
            object_of(&[("tokens", tokens), ("truncated", whole_numbers(&usage.truncated)), ("bytes", plain(&bytes)?)])
        })
    }

    /// Removes the items with these ids. Returns `bytes`.
    pub fn remove(&self, ids: Array) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move {
            let bytes = items::remove(&live, &ids).await.map_err(thrown)?;
            object_of(&[("bytes", plain(&bytes)?)])
        })
    }

    /// Searches. `request` has either `texts` or `vectors`, and optionally `k`, `rescore`, `candidates`, `mask` (one bit
    /// for each position, lowest bit first), `signal`, `onProgress`. Returns the `offsets` of each query's hits, and their
    /// `positions`, `scores` and `chunks`.
    pub fn search(&self, request: JsValue) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move { search::give_hits(&search::search(&live, &request).await.map_err(thrown)?) })
    }

    /// Explains the score of an item. `request` has `id`, either `texts` or `vectors` of one query, and optionally the
    /// item's `text`, `signal`, `onProgress`. Returns `tokens` and `similarities`; if there is a text, the `ranges` of
    /// those tokens in it; and if the query is a text, its `queryIds` and `queryRanges`.
    pub fn explain(&self, request: JsValue) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move { search::give_matches(search::explain(&live, &request).await.map_err(thrown)?) })
    }

    /// Takes an index without a model to another device, after its own was lost. Options: `device`, `onProgress`.
    #[wasm_bindgen(js_name = moveToDevice)]
    pub fn move_to_device(&self, options: JsValue) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move {
            let page = Page::of(&options).map_err(thrown)?;
            let backend = make::backend(None, &options, &page).await.map_err(thrown)?;
            move_to(&live, None, backend).await.map_err(thrown)?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Writes the index to `file`, a `Writing` of `js/hosts/files.ts`, which stays open. Options: `signal`, `onProgress`.
    pub fn save(&self, file: JsValue, options: JsValue) -> Promise {
        let live = Rc::clone(&self.0);
        future_to_promise(async move {
            save(&live, file.unchecked_into(), &options).await.map_err(thrown)?;
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn info(live: &LiveIndex, index: &Index) -> Result<JsValue, JsValue> {
    let IndexOptions { kind, rows, dim, model, first_pass, .. } = index.options();
    object_of(&[
        ("kind", plain(kind)?),
        ("dtype", plain(rows)?),
        ("dimensions", (*dim as f64).into()),
        ("model", model.as_deref().map_or(JsValue::UNDEFINED, JsValue::from)),
        ("firstPass", (*first_pass).into()),
        ("device", live.device.get().into()),
        ("bytes", plain(&index.bytes())?),
    ])
}

fn entries(index: &Index) -> Result<JsValue, JsValue> {
    let (ids, data) = (Array::new(), Array::new());
    for position in 0..index.len() {
        ids.push(&index.id(position).map_or(JsValue::UNDEFINED, JsValue::from));
        data.push(&index.data(position).map_or(JsValue::UNDEFINED, JsValue::from));
    }
    object_of(&[("ids", ids.into()), ("data", data.into())])
}

async fn save(live: &LiveIndex, mut file: Appending, options: &JsValue) -> Result<()> {
    let page = Page::of(options)?;
    live.index.lock().await.save(&mut file, &page).await
}

impl LiveIndex {
    fn model(&self) -> Result<Rc<Model>> {
        let missing = || Error::argument("texts", "are given, and the index has no model; allowed are vectors");
        self.model.borrow().clone().ok_or_else(missing)
    }
}

fn array(request: &JsValue, name: &str) -> Result<Array> {
    object(request, name, "an array")?.ok_or_else(|| Error::argument(name, "is missing"))
}
