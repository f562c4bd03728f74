//! Files and locks that JavaScript holds (`js/hosts/files.ts`).

use js_sys::{Function, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::error::{Error, Result};

#[wasm_bindgen]
extern "C" {
    /// `Reading` of `js/hosts/files.ts`.
    type Reading;
    #[wasm_bindgen(method, getter)]
    fn size(this: &Reading) -> f64;
    #[wasm_bindgen(method, catch, js_name = readInto)]
    fn read_into(this: &Reading, at: f64, into: &mut [u8]) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn read(this: &Reading, at: f64, length: f64) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &Reading);
}

/// A file open for reading. Closed when dropped.
pub(super) struct BrowserFile(Reading);

impl Drop for BrowserFile {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl BrowserFile {
    /// `reading` is a `Reading` of `js/hosts/files.ts`.
    pub(super) fn new(reading: JsValue) -> Self {
        Self(reading.unchecked_into())
    }

    pub(super) fn size(&self) -> u64 {
        self.0.size() as u64
    }

    /// Fills `into` with the bytes from byte `at` on; false if the file ends before. Errors call the file `name`.
    pub(super) async fn fill(&self, name: &str, at: u64, into: &mut [u8]) -> Result<bool> {
        // Where the browser can, it reads straight into this module's memory: several times as fast as through an array.
        let read = self.0.read_into(at as f64, into).map_err(|e| failed(name, &e))?;
        if let Some(count) = read.as_f64() {
            return Ok(count == into.len() as f64);
        }
        let bytes = settled(name, self.0.read(at as f64, into.len() as f64)).await?;
        let bytes = bytes.dyn_into::<Uint8Array>().ok().filter(|bytes| bytes.length() as usize == into.len());
        Ok(bytes.map(|bytes| bytes.copy_to(into)).is_some())
    }
}

/// A lock of the browser. Released when dropped.
pub(super) struct BrowserLock(pub(super) Function);

impl Drop for BrowserLock {
    fn drop(&mut self) {
        drop(self.0.call0(&JsValue::UNDEFINED));
    }
}

/// The result of a call that returns a value or a promise of one.
pub(crate) async fn settled(name: &str, given: Result<JsValue, JsValue>) -> Result<JsValue> {
    let value = match given {
        Ok(value) => match value.dyn_into::<Promise>() {
            Ok(promise) => JsFuture::from(promise).await,
            Err(value) => Ok(value),
        },
        thrown => thrown,
    };
    value.map_err(|thrown| failed(name, &thrown))
}

/// The error for what JavaScript threw while it worked on `name`.
pub(super) fn failed(name: &str, thrown: &JsValue) -> Error {
    let error = thrown.dyn_ref::<js_sys::Error>();
    let message =
        error.map_or_else(|| "JavaScript threw a value that is not an Error".into(), |e| String::from(e.message()));
    match error.map(|e| String::from(e.name())).as_deref() {
        Some("QuotaExceededError") => Error::StorageFull { message: format!("{name}: {message}") },
        Some("AbortError") => Error::Aborted,
        _ => Error::io(name, message),
    }
}
