//! HTTP requests in a browser, with `fetch`.

use std::time::Duration;

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortController, AbortSignal, ReadableStreamDefaultReader, RequestInit, Response};

use super::browser_timeout::Timeout;
use super::headers::number;
use super::{ByteStream, HttpResponse, Transport};
use crate::error::{Error, Result};

/// Most bytes handed on at a time; a custom `fetch` may give a whole body as one chunk.
const CHUNK: u32 = 4 << 20;
/// Longest that an answer, or the next piece of a body, is waited for.
const STALL: Duration = Duration::from_secs(30);
/// The headers that this crate reads. A page sees them of another origin only if that allows it.
const HEADERS: [&str; 12] = [
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "link",
    "ratelimit",
    "retry-after",
    "x-error-code",
    "x-error-message",
    "x-repo-commit",
];

/// HTTP in a page or a worker.
pub struct Web {
    fetch: Option<Function>,
    signal: Option<AbortSignal>,
}

impl Web {
    /// Requests go through `fetch` (the global one, if `None`), which is called with an address and a `RequestInit`.
    /// Once `signal` is aborted everything ends with [`Error::Aborted`].
    pub fn new(fetch: Option<Function>, signal: Option<AbortSignal>) -> Self {
        Self { fetch, signal }
    }

    async fn fetch(&self, url: &str, headers: &[(&str, &str)], control: &AbortController) -> Result<Response, JsValue> {
        let init = RequestInit::new();
        init.set_signal(Some(&control.signal()));
        // What is fetched is no business of cookies, and the page none of the server's.
        let named = Object::new();
        for (name, value) in headers {
            // A browser would first ask another origin whether it may send this one; files are compared by their tags.
            if !name.eq_ignore_ascii_case("if-range") {
                Reflect::set(&named, &(*name).into(), &(*value).into())?;
            }
        }
        for (name, value) in
            [("headers", named.as_ref()), ("credentials", &"omit".into()), ("referrerPolicy", &"no-referrer".into())]
        {
            Reflect::set(&init, &name.into(), value)?;
        }
        let fetch = match &self.fetch {
            Some(fetch) => fetch.clone(),
            None => Reflect::get(&js_sys::global(), &"fetch".into())?.dyn_into()?,
        };
        let answer = Promise::resolve(&fetch.call2(&JsValue::UNDEFINED, &url.into(), &init)?);
        let answer = Timeout::set(STALL, self.signal.as_ref())?.race(&answer).await.inspect_err(|_| control.abort())?;
        answer.dyn_into().map_err(|_| js_sys::TypeError::new("fetch did not give a Response").into())
    }
}

impl Transport for Web {
    type Body = WebBody;

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<HttpResponse<WebBody>> {
        let control = AbortController::new().map_err(|e| network(url, words(&e)))?;
        let response = self.fetch(url, headers, &control).await.map_err(|thrown| {
            let message = format!("{}; the server was not reached, or does not allow this page (CORS)", words(&thrown));
            aborted(self.signal.as_ref(), &thrown).unwrap_or_else(|| network(url, message))
        })?;
        let header = |name: &str| Some((name.to_owned(), response.headers().get(name).ok()??));
        let mut headers: Vec<_> = HEADERS.iter().filter_map(|name| header(name)).collect();
        // HTTP/2 has no words for a status, and none to say instead of the server's own.
        if !headers.iter().any(|(name, _)| name == "x-error-message") {
            headers.push(("x-error-message".into(), response.status_text()));
        }
        let body = response.body().map(|body| ReadableStreamDefaultReader::new(&body)).transpose();
        let reader = body.map_err(|e| Error::io(url, words(&e)))?;
        let signal = self.signal.clone();
        let body = WebBody { url: url.into(), reader, signal, chunk: None, size: None };
        let mut answer = HttpResponse { status: response.status(), headers, body };
        let encoded = answer.header("content-encoding").is_some_and(|e| !e.eq_ignore_ascii_case("identity"));
        answer.body.size = if encoded { None } else { answer.header("content-length").and_then(number) };
        Ok(answer)
    }

    async fn wait(&self, time: Duration) -> Result<()> {
        let never = Promise::new(&mut |_, _| {});
        let timeout = Timeout::set(time, self.signal.as_ref()).map_err(|e| Error::io("a timer", words(&e)))?;
        drop(timeout.race(&never).await);
        if self.signal.as_ref().is_some_and(AbortSignal::aborted) { Err(Error::Aborted) } else { Ok(()) }
    }
}

/// The body of an answer.
pub struct WebBody {
    url: String,
    /// `None` for an answer without a body.
    reader: Option<ReadableStreamDefaultReader>,
    signal: Option<AbortSignal>,
    /// What arrived and was not yet handed on.
    chunk: Option<Uint8Array>,
    size: Option<u64>,
}

impl ByteStream for WebBody {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.chunk.is_none() {
            self.chunk = self.receive().await?;
        }
        let Some(chunk) = self.chunk.take() else { return Ok(None) };
        let step = chunk.length().min(CHUNK);
        if step < chunk.length() {
            self.chunk = Some(chunk.subarray(step, chunk.length()));
        }
        Ok(Some(chunk.subarray(0, step).to_vec()))
    }
}

impl WebBody {
    async fn receive(&self) -> Result<Option<Uint8Array>> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let signal = self.signal.as_ref();
        let broken = |thrown: JsValue| aborted(signal, &thrown).unwrap_or_else(|| network(&self.url, words(&thrown)));
        let timeout = Timeout::set(STALL, signal).map_err(broken)?;
        let result = timeout.race(&reader.read()).await.map_err(broken)?;
        let get = |name: &str| Reflect::get(&result, &name.into()).map_err(broken);
        if get("done")?.is_truthy() {
            return Ok(None);
        }
        get("value")?.dyn_into().map(Some).map_err(|_| Error::io(&self.url, "its body does not consist of bytes"))
    }
}

impl Drop for WebBody {
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

fn network(url: &str, message: String) -> Error {
    Error::Network { url: url.into(), status: None, message }
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
