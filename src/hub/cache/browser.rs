//! The cache in a browser: what JavaScript does with files (`js/storage/`), as a [`FileStore`].

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::store::{FileStore, FileWriter, LockMode, checked};
use crate::error::Result;
use crate::hub::browser_file::{BrowserLock, failed, settled};
use crate::hub::{LocalFile, StoreLock};

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

/// The files that a [`Host`] keeps.
pub struct Browser(Host);

impl Browser {
    /// The files of `host`.
    pub fn new(host: Host) -> Self {
        Self(host)
    }
}

impl FileStore for Browser {
    type FileWriter = BrowserWriter;

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

    async fn lock(&self, name: &str, mode: LockMode, wait: Option<&dyn Fn() -> bool>) -> Result<Option<StoreLock>> {
        // The host hears of the caller's cancelling by itself.
        let release =
            self.0.lock(name, mode == LockMode::Exclusive, wait.is_some()).await.map_err(|e| failed(name, &e))?;
        Ok(release.dyn_into().ok().map(|release| StoreLock::new(BrowserLock(release))))
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

impl FileWriter for BrowserWriter {
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
