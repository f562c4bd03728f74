//! A model's files on a server laid out like the Hugging Face Hub, read with `fetch`.

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortSignal, ReadableStreamDefaultReader, RequestInit, Response};

use super::repository::{Repository, address, refused};
use super::{Source, Stream};
use crate::error::{Error, Result};

/// Most bytes handed on at a time; a custom `fetch` may give a whole body as one chunk.
const CHUNK: u32 = 4 << 20;

/// A model's files on a server.
pub struct Web {
    /// `{endpoint}/{id}/resolve/{revision}`
    base: String,
    token: Option<String>,
    fetch: Option<Function>,
    signal: Option<AbortSignal>,
}

impl Web {
    /// The files of `repository`, got with `fetch` (the global one, if `None`), which is called with an address and a
    /// `RequestInit`. Once `signal` is aborted every read ends with [`Error::Aborted`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field that cannot be part of an address.
    pub fn new(repository: &Repository, fetch: Option<Function>, signal: Option<AbortSignal>) -> Result<Self> {
        Ok(Self { base: repository.base()?, token: repository.token.clone(), fetch, signal })
    }

    async fn get(&self, url: &str) -> Result<Response, JsValue> {
        let init = RequestInit::new();
        init.set_signal(self.signal.as_ref());
        if let Some(token) = &self.token {
            let headers = Object::new();
            Reflect::set(&headers, &"Authorization".into(), &format!("Bearer {token}").into())?;
            init.set_headers(&headers);
        }
        let fetch = match &self.fetch {
            Some(fetch) => fetch.clone(),
            None => Reflect::get(&js_sys::global(), &"fetch".into())?.dyn_into()?,
        };
        let answer = fetch.call2(&JsValue::UNDEFINED, &url.into(), &init)?;
        let answer = JsFuture::from(Promise::resolve(&answer)).await?;
        answer.dyn_into().map_err(|_| js_sys::TypeError::new("fetch did not give a Response").into())
    }
}

impl Source for Web {
    type Stream = WebStream;

    async fn open(&self, file: &str) -> Result<WebStream> {
        let url = address(&self.base, file)?;
        let response = self.get(&url).await.map_err(|thrown| {
            let message = format!("{}; the server was not reached, or does not allow this page (CORS)", words(&thrown));
            aborted(self.signal.as_ref(), &thrown).unwrap_or_else(|| Error::Network {
                url: url.clone(),
                status: None,
                message,
            })
        })?;
        let header = |name: &str| response.headers().get(name).ok().flatten();
        // Development servers answer with their start page where there is no file. No file of a model is HTML.
        let html = header("content-type").is_some_and(|t| t.trim_start().starts_with("text/html"));
        let status = response.status();
        if status != 200 || html {
            let server = header("x-error-message").unwrap_or_else(|| response.status_text());
            if let Some(body) = response.body() {
                ignore(body.cancel());
            }
            return Err(refused(file, url, status, &server));
        }
        let encoded = header("content-encoding").is_some_and(|e| !e.trim().eq_ignore_ascii_case("identity"));
        let size = if encoded { None } else { header("content-length").and_then(|n| n.trim().parse().ok()) };
        let reader = match response.body() {
            None => None,
            Some(body) => Some(ReadableStreamDefaultReader::new(&body).map_err(|e| Error::io(file, words(&e)))?),
        };
        Ok(WebStream { file: file.into(), reader, signal: self.signal.clone(), chunk: None, read: 0, size })
    }
}

/// A file on its way. Dropping it ends the transfer.
pub struct WebStream {
    file: String,
    /// `None` for an answer without a body.
    reader: Option<ReadableStreamDefaultReader>,
    signal: Option<AbortSignal>,
    /// What arrived and was not yet handed on.
    chunk: Option<Uint8Array>,
    read: u64,
    size: Option<u64>,
}

impl Stream for WebStream {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.chunk.is_none() {
            self.chunk = self.receive().await?;
        }
        let Some(chunk) = self.chunk.take() else { return self.end() };
        let step = chunk.length().min(CHUNK);
        if step < chunk.length() {
            self.chunk = Some(chunk.subarray(step, chunk.length()));
        }
        self.read += u64::from(step);
        Ok(Some(chunk.subarray(0, step).to_vec()))
    }
}

impl WebStream {
    async fn receive(&self) -> Result<Option<Uint8Array>> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let broken = |thrown: JsValue| {
            let (at, of) = (self.read, self.size.map_or(String::new(), |size| format!(" of {size}")));
            let message = format!("broke off after {at}{of} bytes: {}", words(&thrown));
            aborted(self.signal.as_ref(), &thrown).unwrap_or_else(|| Error::io(&self.file, message))
        };
        let result = JsFuture::from(reader.read()).await.map_err(broken)?;
        let get = |name: &str| Reflect::get(&result, &name.into()).map_err(broken);
        if get("done")?.is_truthy() {
            return Ok(None);
        }
        get("value")?.dyn_into().map(Some).map_err(|_| Error::io(&self.file, "its body does not consist of bytes"))
    }

    fn end(&self) -> Result<Option<Vec<u8>>> {
        match self.size {
            Some(size) if self.read < size => {
                Err(Error::io(&self.file, format!("ends after {} bytes, the server announced {size}", self.read)))
            }
            _ => Ok(None),
        }
    }
}

impl Drop for WebStream {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            ignore(reader.cancel());
        }
    }
}

/// Waits for a promise whose outcome does not matter, so that its failure is not an unhandled rejection.
fn ignore(promise: Promise) {
    spawn_local(async move { drop(JsFuture::from(promise).await) });
}

/// [`Error::Aborted`] if that is why `thrown` was thrown; an aborted signal may give any value as its reason.
fn aborted(signal: Option<&AbortSignal>, thrown: &JsValue) -> Option<Error> {
    let by_name = thrown.dyn_ref::<js_sys::Error>().is_some_and(|e| e.name() == "AbortError");
    (by_name || signal.is_some_and(AbortSignal::aborted)).then_some(Error::Aborted)
}

fn words(thrown: &JsValue) -> String {
    let message = thrown.dyn_ref::<js_sys::Error>().map(|e| e.message().into());
    message.or_else(|| thrown.as_string()).unwrap_or_else(|| "a value that is no Error was thrown".into())
}
