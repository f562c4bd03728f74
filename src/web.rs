//! What JavaScript calls: with `web/` all that exports through wasm_bindgen. It converts and decides nothing; the API
//! that users see is the TypeScript in `js/`.
#![expect(unreachable_pub, reason = "wasm_bindgen exports what is pub, wherever it is")]

mod context;
mod index;
mod late;
mod maxsim;

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Float32Array, Function, Int8Array, JsString, Object, Promise, Reflect, Uint8Array, Uint32Array};
use serde::Serialize;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::future_to_promise;
use web_sys::AbortSignal;

use crate::error::{Error, Result};
use crate::hub::cache::{Browser, Cached};
use crate::hub::{Repository, Retry, Web};
use crate::model::{Data, EmbedOptions, Embeddings, LoadOptions, Model};
use crate::watch::{Progress, Watch};

thread_local! {
    static ON_PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// To be called once, before anything else. A panic ends the module in the middle of whatever it was doing, and its
/// promises would never settle: `on_panic` hears the message first.
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

/// Bytes of the module's memory, which never shrinks.
#[wasm_bindgen(js_name = memoryBytes)]
pub fn memory_bytes() -> f64 {
    let memory: Option<js_sys::WebAssembly::Memory> = wasm_bindgen::memory().dyn_into().ok();
    let buffer: Option<js_sys::ArrayBuffer> = memory.and_then(|memory| memory.buffer().dyn_into().ok());
    buffer.map_or(0.0, |buffer| f64::from(buffer.byte_length()))
}

/// Loads a model. Options: `id`, and optionally `endpoint`, `revision`, `token`, `weights`, `fetch`, `store` (a `CacheStore` of
/// `js/storage/store.ts`), `signal`, `onProgress`.
#[wasm_bindgen]
pub async fn load(options: JsValue) -> Result<WebModel, JsValue> {
    load_model(&options).await.map(|model| WebModel(Rc::new(model))).map_err(thrown)
}

async fn load_model(options: &JsValue) -> Result<Model> {
    let page = Page::of(options)?;
    let id = string(options, "id")?.ok_or_else(|| Error::argument("id", "is missing"))?;
    let revision = string(options, "revision")?;
    let weights = string(options, "weights")?.map(|name| name.parse()).transpose()?.unwrap_or_default();
    let repository = Repository {
        endpoint: string(options, "endpoint")?,
        id: id.clone(),
        revision: revision.clone(),
        token: string(options, "token")?,
    };
    let fetch = object(options, "fetch", "a function")?;
    let transport = Web::new(fetch, page.signal.clone());
    let store = option(options, "store")?.map(|host| Browser::new(host.unchecked_into()));
    let source = Cached::open(&repository, transport, Retry::default(), store, &page).await?;
    let revision = source.commit().or(revision);
    let options = LoadOptions { id, revision, weights, memory: None };
    let model = Model::load(&source, options, &page).await?;
    source.loaded().await;
    if page.cancelled() { Err(Error::Aborted) } else { Ok(model) }
}

/// A model in this thread. Freeing it while `embed` runs takes effect when that ends.
#[wasm_bindgen]
pub struct WebModel(Rc<Model>);

#[wasm_bindgen]
impl WebModel {
    /// `ModelInfo` as a plain object.
    pub fn info(&self) -> Result<JsValue, JsValue> {
        plain(&self.0.info())
    }

    /// Embeds an array of strings. Options: `dtype`, `dimensions`, `normalize`, `signal`, `onProgress`. Gives one
    /// typed array with what is needed to read it.
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
    })
}

/// The strings of an array; errors call it `name`.
fn strings(name: &str, texts: &Array) -> Result<Vec<String>> {
    texts.iter().enumerate().map(|(i, value)| text(|| format!("{name}[{i}]"), value)).collect()
}

/// A string. JavaScript strings may hold half a surrogate pair, which no Unicode text can: it would silently become
/// another character.
fn text(argument: impl Fn() -> String, value: JsValue) -> Result<String> {
    let value: JsString =
        value.dyn_into().map_err(|v| Error::argument(argument(), format!("{}, allowed is a string", came(&v))))?;
    let text = String::from(&value);
    if text.contains(char::REPLACEMENT_CHARACTER) && !value.is_valid_utf16() {
        let whole = char::decode_utf16(value.iter()).take_while(std::result::Result::is_ok).flatten();
        let at: usize = whole.map(char::len_utf16).sum();
        return Err(Error::argument(
            argument(),
            format!("has a lone surrogate at index {at}, allowed is Unicode text"),
        ));
    }
    Ok(text)
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

fn object_of(fields: &[(&str, JsValue)]) -> Result<JsValue, JsValue> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &(*name).into(), value)?;
    }
    Ok(object.into())
}

fn whole_numbers(numbers: &[usize]) -> JsValue {
    let numbers: Vec<u32> = numbers.iter().map(|&n| n as u32).collect();
    Uint32Array::from(numbers.as_slice()).into()
}

/// The page's side of a long call.
struct Page {
    signal: Option<AbortSignal>,
    on_progress: Option<Function>,
    /// The file that is being downloaded, and the bytes that the listener has heard of.
    heard: RefCell<(String, u64)>,
}

impl Page {
    fn of(options: &JsValue) -> Result<Self> {
        let signal = object(options, "signal", "an AbortSignal")?;
        Ok(Self { signal, on_progress: object(options, "onProgress", "a function")?, heard: RefCell::default() })
    }
}

impl Watch for Page {
    fn cancelled(&self) -> bool {
        self.signal.as_ref().is_some_and(AbortSignal::aborted)
    }

    fn progress(&self, progress: Progress) {
        // A download that was completed first is then read, from the start: the listener need not hear it twice.
        if let Progress::Download { file, loaded, .. } = &progress {
            let heard = self.heard.replace((file.clone(), *loaded));
            if heard.0 == *file && heard.1 > *loaded {
                self.heard.replace(heard);
                return;
            }
        }
        if let (Some(listener), Ok(progress)) = (&self.on_progress, plain(&progress)) {
            // What a listener throws is no reason to stop the call; the facade reports it.
            let _ = listener.call1(&JsValue::UNDEFINED, &progress);
        }
    }
}

/// A plain object; byte counts are numbers, not `BigInt`s.
fn plain(value: &impl Serialize) -> Result<JsValue, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_large_number_types_as_bigints(false);
    value.serialize(&serializer).map_err(JsValue::from)
}

/// An `Error` with a `code`.
fn thrown(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    let _ = Reflect::set(&thrown, &"code".into(), &error.code().into());
    thrown.into()
}

/// The option `name`; `None` where it is not there, undefined or null.
fn option(options: &JsValue, name: &str) -> Result<Option<JsValue>> {
    if options.is_undefined() {
        return Ok(None);
    }
    let value = Reflect::get(options, &name.into())
        .map_err(|_| Error::argument("options", format!("{}, allowed is an object", came(options))))?;
    Ok(Some(value).filter(|v| !v.is_undefined() && !v.is_null()))
}

/// The option `name` as `convert` sees it; `allowed` says what it may be.
fn typed<T>(
    options: &JsValue,
    name: &str,
    allowed: &str,
    convert: impl Fn(&JsValue) -> Option<T>,
) -> Result<Option<T>> {
    let Some(value) = option(options, name)? else { return Ok(None) };
    let wrong = || Error::argument(name, format!("{}, allowed is {allowed}", came(&value)));
    convert(&value).ok_or_else(wrong).map(Some)
}

fn string(options: &JsValue, name: &str) -> Result<Option<String>> {
    typed(options, name, "a string", JsValue::as_string)
}

fn boolean(options: &JsValue, name: &str) -> Result<Option<bool>> {
    typed(options, name, "true or false", JsValue::as_bool)
}

fn whole(options: &JsValue, name: &str) -> Result<Option<u32>> {
    let fits = |n: &f64| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n);
    typed(options, name, "a whole number", |v| v.as_f64().filter(fits).map(|n| n as u32))
}

fn object<T: JsCast>(options: &JsValue, name: &str, allowed: &str) -> Result<Option<T>> {
    typed(options, name, allowed, |v| v.clone().dyn_into().ok())
}

/// What came, for an error.
fn came(value: &JsValue) -> String {
    let number = || value.as_f64().map(|n| n.to_string());
    let simple = value.as_string().map(|s| format!("{s:?}")).or_else(number);
    simple.or_else(|| value.as_bool().map(|b| b.to_string())).unwrap_or_else(|| match value {
        v if v.is_null() => "null".into(),
        v if Array::is_array(v) => "an array".into(),
        v => format!("a value of type {}", String::from(JsString::from(v.js_typeof()))),
    })
}
