//! The cache in a browser: what JavaScript does with files (`js/storage/`), as a [`Store`].

use std::sync::Arc;

use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::store::{Mode, Store, Writer, checked};
use crate::error::{Error, Result};

#[wasm_bindgen]
extern "C" {
    /// `CacheStore` of `js/storage/store.ts`: files, locks and what the browser knows of its storage.
    pub type Host;
    #[wasm_bindgen(method, catch)]
    async fn open(this: &Host, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn append(this: &Host, name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn write(this: &Host, name: &str, bytes: Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn rename(this: &Host, from: &str, to: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn remove(this: &Host, name: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn list(this: &Host) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn lock(this: &Host, name: &str, exclusive: bool, wait: bool) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    async fn room(this: &Host) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method)]
    fn persist(this: &Host);

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

    /// `Writing` of `js/hosts/files.ts`.
    type Writing;
    #[wasm_bindgen(method, getter)]
    fn size(this: &Writing) -> f64;
    #[wasm_bindgen(method, catch)]
    fn append(this: &Writing, bytes: &[u8]) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &Writing) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Writing) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn discard(this: &Writing) -> Result<JsValue, JsValue>;
}

/// What a call that gives a value or a promise of one gives in the end.
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

fn failed(name: &str, thrown: &JsValue) -> Error {
    let error = thrown.dyn_ref::<js_sys::Error>();
    let message = error.map_or_else(|| "a value that is no Error was thrown".into(), |e| String::from(e.message()));
    match error.map(|e| String::from(e.name())).as_deref() {
        Some("QuotaExceededError") => Error::StorageFull { message: format!("{name}: {message}") },
        Some("AbortError") => Error::Aborted,
        _ => Error::io(name, message),
    }
}

/// A file that can be read at any place.
pub struct LocalFile {
    name: String,
    reading: Reading,
    size: u64,
    /// Kept as long as the file is in use.
    _lock: Option<Arc<Lock>>,
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        self.reading.close();
    }
}

impl LocalFile {
    /// The file that `reading`, a `Reading` of `js/hosts/files.ts`, reads, and `name` in errors. It is closed in the end.
    pub(crate) fn new(name: &str, reading: JsValue) -> Self {
        let reading: Reading = reading.unchecked_into();
        let size = reading.size() as u64;
        Self { name: name.into(), reading, size, _lock: None }
    }

    /// The same file, holding `lock` and called `name` in errors.
    pub(super) fn held(mut self, name: &str, lock: Arc<Lock>) -> Self {
        self.name = name.into();
        self._lock = Some(lock);
        self
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The `length` bytes from byte `at` on.
    ///
    /// # Errors
    /// [`Error::Io`] if the file ends before, or cannot be read.
    pub async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        // Nothing is allocated for what is not there.
        if at.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(self.short(at, length));
        }
        let mut bytes = vec![0; length];
        self.read_into(at, &mut bytes).await?;
        Ok(bytes)
    }

    /// Fills `into` with the bytes from byte `at` on.
    ///
    /// # Errors
    /// As [`LocalFile::read_at`].
    pub async fn read_into(&self, at: u64, into: &mut [u8]) -> Result<()> {
        // Straight into this module's memory, where the browser can: several times as fast as by way of an array.
        let read = self.reading.read_into(at as f64, into).map_err(|e| failed(&self.name, &e))?;
        if let Some(count) = read.as_f64() {
            return if count == into.len() as f64 { Ok(()) } else { Err(self.short(at, into.len())) };
        }
        let bytes = settled(&self.name, self.reading.read(at as f64, into.len() as f64)).await?;
        let bytes = bytes.dyn_into::<Uint8Array>().ok().filter(|bytes| bytes.length() as usize == into.len());
        bytes.ok_or_else(|| self.short(at, into.len()))?.copy_to(into);
        Ok(())
    }

    fn short(&self, at: u64, length: usize) -> Error {
        Error::io(&self.name, format!("has {} bytes, {length} from byte {at} on were asked for", self.size))
    }
}

/// A lock, held while it lives.
pub struct Lock(Function);

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.call0(&JsValue::UNDEFINED));
    }
}

/// The files that a [`Host`] keeps.
pub struct Browser(Host);

impl Browser {
    /// The files of `host`.
    pub fn new(host: Host) -> Self {
        Self(host)
    }
}

impl Store for Browser {
    type Writer = BrowserWriter;

    async fn open(&self, name: &str) -> Result<Option<LocalFile>> {
        checked(name)?;
        let reading = self.0.open(name).await.map_err(|e| failed(name, &e))?;
        if reading.is_undefined() {
            return Ok(None);
        }
        Ok(Some(LocalFile::new(name, reading)))
    }

    async fn append(&self, name: &str) -> Result<BrowserWriter> {
        checked(name)?;
        let writing = self.0.append(name).await.map_err(|e| failed(name, &e))?;
        Ok(BrowserWriter { name: name.into(), writing: writing.unchecked_into(), open: true })
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        checked(name)?;
        self.0.write(name, Uint8Array::from(bytes)).await.map_err(|e| failed(name, &e))
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        checked(from).and_then(|_| checked(to))?;
        self.0.rename(from, to).await.map_err(|e| failed(from, &e))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        checked(name)?;
        self.0.remove(name).await.map_err(|e| failed(name, &e))
    }

    async fn list(&self) -> Result<Vec<(String, u64)>> {
        let listed = self.0.list().await.map_err(|e| failed("the cache", &e))?;
        let entry = |entry: JsValue| {
            let entry: Array = entry.dyn_into().ok()?;
            Some((entry.get(0).as_string()?, entry.get(1).as_f64()? as u64))
        };
        Ok(listed.unchecked_into::<Array>().iter().filter_map(entry).collect())
    }

    async fn lock(&self, name: &str, mode: Mode, wait: Option<&dyn Fn() -> bool>) -> Result<Option<Lock>> {
        // The host hears of the caller's cancelling by itself.
        let release = self.0.lock(name, mode == Mode::Exclusive, wait.is_some()).await.map_err(|e| failed(name, &e))?;
        Ok(release.dyn_into().ok().map(Lock))
    }

    async fn room(&self) -> Result<Option<u64>> {
        let room = self.0.room().await.map_err(|e| failed("the cache", &e))?;
        Ok(room.as_f64().map(|room| room as u64))
    }

    async fn persist(&self) {
        self.0.persist();
    }
}

/// A file that a [`Host`] writes.
pub struct BrowserWriter {
    name: String,
    writing: Writing,
    open: bool,
}

impl Writer for BrowserWriter {
    fn size(&self) -> u64 {
        self.writing.size() as u64
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        settled(&self.name, self.writing.append(bytes)).await.map(drop)
    }

    async fn flush(&mut self) -> Result<()> {
        settled(&self.name, self.writing.flush()).await.map(drop)
    }

    async fn close(mut self) -> Result<()> {
        self.open = false;
        settled(&self.name, self.writing.close()).await.map(drop)
    }

    fn discard(mut self) {
        self.open = false;
        ignore(self.writing.discard());
    }
}

/// What was written so far stays, for another try.
impl Drop for BrowserWriter {
    fn drop(&mut self) {
        if self.open {
            ignore(self.writing.close());
        }
    }
}

/// A promise whose outcome does not matter; that it fails is not an unhandled rejection.
fn ignore(given: Result<JsValue, JsValue>) {
    if let Some(promise) = given.ok().and_then(|value| value.dyn_into::<Promise>().ok()) {
        wasm_bindgen_futures::spawn_local(async move { drop(JsFuture::from(promise).await) });
    }
}
