//! Helpers in workers: the way to them, and what runs in one.

use js_sys::{Float32Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::convert::thrown;
use super::page::Page;
use crate::backend::{Answer, Backend, Device, Helper, Link, refused};
use crate::error::{Error, Result};

#[wasm_bindgen]
extern "C" {
    /// `HelperLink` of `js/engine/helpers.ts`.
    type JsLink;
    /// Sends bytes, which it may keep.
    #[wasm_bindgen(method)]
    fn send(this: &JsLink, message: Uint8Array);
    /// The next answer: bytes, or a promise of them.
    #[wasm_bindgen(method, catch)]
    fn receive(this: &JsLink) -> std::result::Result<JsValue, JsValue>;
}

struct WorkerLink(JsLink);

impl Link for WorkerLink {
    fn send(&self, header: &[u8], data: &[u8]) {
        let message = Uint8Array::new_with_length((header.len() + data.len()) as u32);
        let (start, end) = (header.len() as u32, message.length());
        message.subarray(0, start).copy_from(header);
        message.subarray(start, end).copy_from(data);
        self.0.send(message);
    }

    fn receive(&self) -> Answer<'_> {
        Box::pin(async {
            let mut answer = self.0.receive().map_err(gone)?;
            if let Some(promise) = answer.dyn_ref::<Promise>() {
                answer = JsFuture::from(promise.clone()).await.map_err(gone)?;
            }
            // Outputs, or the bytes of why there are none.
            match answer.dyn_into::<Float32Array>() {
                Ok(outputs) => Ok(outputs.to_vec()),
                Err(other) => Err(refused(&other.dyn_into::<Uint8Array>().map_err(gone)?.to_vec())),
            }
        })
    }
}

fn gone(reason: JsValue) -> Error {
    let said = reason.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    Error::DeviceLost {
        message: said.or_else(|| reason.as_string()).unwrap_or_else(|| "a worker thread failed".into()),
    }
}

/// Dimensions of a layer from which on there are helpers by default: with 256, sending them activations cost more than it
/// saved. A guess between that and the 1,024 of the smallest published model.
const HIDDEN_WORTH_SHARING: u32 = 512;

/// As [`Backend::open`]; the processor has the helpers that `start` starts, by default for a model that is large enough.
///
/// # Errors
/// As [`Backend::open`], and what `start` throws.
pub(super) async fn open(
    device: Device,
    threads: Option<u32>,
    start: Option<Function>,
    hidden: u32,
    page: &Page,
) -> Result<(Backend, String)> {
    let (backend, why) = Backend::open(device, threads, page).await?;
    let (Backend::Cpu(_), Some(start)) = (&backend, start) else { return Ok((backend, why)) };
    if threads.is_none() && hidden < HIDDEN_WORTH_SHARING {
        return Ok((backend, why));
    }
    let threads = threads.map_or(JsValue::UNDEFINED, JsValue::from);
    let started = start.call2(&JsValue::UNDEFINED, &threads, &wasm_bindgen::module()).map_err(gone)?;
    let started: js_sys::Array = JsFuture::from(Promise::resolve(&started)).await.map_err(gone)?.unchecked_into();
    if started.length() == 0 {
        return Ok((backend, why));
    }
    let links = started.iter().map(|link| Box::new(WorkerLink(link.unchecked_into())) as Box<dyn Link>);
    Ok((Backend::cpu_with_helpers(links.collect()), why))
}

/// What a helper's worker runs.
#[wasm_bindgen]
pub struct WebHelper {
    helper: Helper,
    /// The last message: memory that the next one uses again. Words, so that floats in it lie where floats may.
    message: Vec<u32>,
}

#[wasm_bindgen]
impl WebHelper {
    /// A helper without weights.
    ///
    /// # Errors
    /// If there is no memory.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<Self, JsValue> {
        Ok(Self { helper: Helper::new().map_err(thrown)?, message: Vec::new() })
    }

    /// Does what a message says. The answer, if it wants one: a Float32Array of outputs, or a Uint8Array of why there are none.
    pub fn receive(&mut self, message: &Uint8Array) -> JsValue {
        let length = message.length() as usize;
        self.message.resize(length.div_ceil(4), 0);
        let bytes = &mut bytemuck::cast_slice_mut(&mut self.message)[..length];
        message.copy_to(bytes);
        let mut answer = JsValue::UNDEFINED;
        self.helper.receive(bytes, |said| {
            answer = match said {
                Ok(outputs) => Float32Array::from(bytemuck::cast_slice::<u8, f32>(outputs)).into(),
                Err(why) => Uint8Array::from(why.as_bytes()).into(),
            };
        });
        answer
    }
}
