//! What JavaScript calls: everything that is exported through wasm_bindgen. It converts values and decides nothing but
//! what an option that was left out means. The API for users is the TypeScript in `js/`.
#![expect(unreachable_pub, reason = "wasm_bindgen exports what is pub, wherever it is")]

mod context;
mod convert;
mod helpers;
mod index;
mod late;
mod maxsim;
mod page;
mod text;
mod vectors;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Float32Array, Function, Int8Array, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::future_to_promise;

use self::convert::{boolean, device, object, object_of, option, plain, string, thrown, whole, whole_numbers};
use self::page::Page;
use self::text::strings;
use crate::error::{Error, Result};
use crate::hub::cache::{Browser, Cached};
use crate::hub::{Repository, Retry, Web};
use crate::model::{Data, EmbedOptions, Embeddings, LoadOptions, Model, Prompt};
use crate::progress::Watch;

thread_local! {
    static ON_PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Has to be called once, before anything else. After a panic the promises of the module never settle, so `on_panic` gets
/// its message first.
#[wasm_bindgen]
pub fn start(on_panic: Function) {
    ON_PANIC.set(Some(on_panic));
    std::panic::set_hook(Box::new(|panic| {
        let handler = ON_PANIC.with(|slot| slot.try_borrow().ok().and_then(|f| f.clone()));
        if let Some(handler) = handler {
            let _ = handler.call1(&JsValue::UNDEFINED, &panic.to_string().into());
        }
    }));
}

/// The size of the module's memory in bytes. It never shrinks.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    let memory: Option<js_sys::WebAssembly::Memory> = wasm_bindgen::memory().dyn_into().ok();
    let buffer: Option<js_sys::ArrayBuffer> = memory.and_then(|memory| memory.buffer().dyn_into().ok());
    buffer.map_or(0.0, |buffer| f64::from(buffer.byte_length()))
}

/// Loads a model. Options: `id`, and optionally `name` (what the model is called, if that is not its id), `endpoint`,
/// `revision`, `token`, `weights`, `precision`, `fetch`, `store` (a `CacheStore` of `js/storage/store.ts`), `device`, `threads`,
/// `startHelpers` (a function that is given `threads`, the compiled module and the bytes of the weights, and gives
/// `StartedHelpers` of `js/engine/helpers.ts`), `signal`, `onProgress`.
#[wasm_bindgen]
pub async fn load(options: JsValue) -> Result<WebModel, JsValue> {
    load_model(&options).await.map(WebModel).map_err(thrown)
}

async fn load_model(options: &JsValue) -> Result<Rc<Model>> {
    let page = Page::of(options)?;
    let id = string(options, "id")?.ok_or_else(|| Error::argument("id", "is missing"))?;
    let device = device(options)?;
    let threads = whole(options, "threads")?;
    let start = object(options, "startHelpers", "a function")?;
    let weights = string(options, "weights")?.map(|name| name.parse()).transpose()?.unwrap_or_default();
    let precision = string(options, "precision")?.map(|name| name.parse()).transpose()?.unwrap_or_default();
    let repository = Repository {
        endpoint: string(options, "endpoint")?,
        id: id.clone(),
        revision: string(options, "revision")?,
        token: string(options, "token")?,
    };
    let fetch = object(options, "fetch", "a function")?;
    let transport = Web::new(fetch, page.signal.clone());
    let store = option(options, "store")?.map(|host| Browser::new(host.unchecked_into()));
    let source = Cached::open(&repository, transport, Retry::default(), store, &page).await?;
    let id = string(options, "name")?.unwrap_or(id);
    let options = LoadOptions { id, revision: source.revision(), device, threads, weights, precision, memory: None };
    let texts = Cell::new(Vec::new());
    let open = async |size, device| {
        let opened = helpers::open(device, threads, start.clone(), size, &page).await?;
        texts.set(opened.texts);
        Ok((opened.backend, opened.why))
    };
    let model = Rc::new(Model::load_on(&source, open, options, &page).await?);
    source.loaded().await;
    if page.cancelled() {
        return Err(Error::Aborted);
    }
    helpers::join(&model, texts.take());
    Ok(model)
}

/// A model in this thread. If it is freed while a call runs, that takes effect when the call ends.
#[wasm_bindgen]
pub struct WebModel(Rc<Model>);

#[wasm_bindgen]
impl WebModel {
    /// `ModelInfo` as a plain object.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        plain(&self.0.info())
    }

    /// Embeds an array of strings. Options: `dtype`, `dimensions`, `normalize`, `prompt`, `promptName`, `role`
    /// (`query` or `document`), `signal`, `onProgress`. Returns `RawEmbeddings` of `js/engine/calls.ts`.
    pub fn embed(&self, texts: Array, options: JsValue) -> Promise {
        let model = Rc::clone(&self.0);
        future_to_promise(async move {
            match embed(&model, &texts, &options).await {
                Ok(embeddings) => give(&embeddings),
                Err(error) => Err(thrown(error)),
            }
        })
    }
}

async fn embed(model: &Model, texts: &Array, options: &JsValue) -> Result<Embeddings> {
    let page = Page::of(options)?;
    let texts = strings("texts", texts)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    model.embed(&texts, embed_options(options)?, &page).await
}

fn embed_options(options: &JsValue) -> Result<EmbedOptions> {
    Ok(EmbedOptions {
        dtype: string(options, "dtype")?.map(|name| name.parse()).transpose()?,
        dimensions: whole(options, "dimensions")?,
        normalize: boolean(options, "normalize")?,
        prompt: Prompt::choose(
            string(options, "prompt")?,
            string(options, "promptName")?,
            string(options, "role")?.map(|name| name.parse()).transpose()?,
        )?,
    })
}

fn give(embeddings: &Embeddings) -> Result<JsValue, JsValue> {
    let data: JsValue = match &embeddings.data {
        Data::Int8(v) | Data::Binary(v) => Int8Array::from(v.as_slice()).into(),
        Data::Float32(v) => Float32Array::from(v.as_slice()).into(),
        Data::Ubinary(v) => Uint8Array::from(v.as_slice()).into(),
    };
    object_of(&[
        ("data", data),
        ("dtype", plain(&embeddings.dtype())?),
        ("rows", (embeddings.rows as f64).into()),
        ("columns", (embeddings.row_len() as f64).into()),
        ("dimensions", (embeddings.dimensions as f64).into()),
        ("tokens", (embeddings.usage.tokens as f64).into()),
        ("truncated", whole_numbers(&embeddings.usage.truncated)),
    ])
}
