//! Helpers in workers: the way to them, and what runs in one.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Float32Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::convert::thrown;
use super::page::Page;
use crate::backend::{Answer, Backend, Device, Helper, Link, refused};
use crate::error::{Error, Result};
use crate::model::{Model, ModelSize, TextHelper};

#[wasm_bindgen]
extern "C" {
    /// `HelperLink` of `js/engine/helpers.ts`.
    pub(super) type JsLink;
    /// Memory for a message of so many bytes, which is to be sent next. `asks` for one that wants an answer.
    #[wasm_bindgen(method)]
    fn room(this: &JsLink, bytes: u32, asks: bool) -> Uint8Array;
    /// Sends what was written there.
    #[wasm_bindgen(method)]
    fn send(this: &JsLink, message: &Uint8Array);
    /// Resolves when its worker has started.
    #[wasm_bindgen(method, catch)]
    async fn ready(this: &JsLink) -> std::result::Result<JsValue, JsValue>;
    /// The next answer: bytes, or a promise of them.
    #[wasm_bindgen(method, catch)]
    fn receive(this: &JsLink) -> std::result::Result<JsValue, JsValue>;
}

struct WorkerLink(JsLink);

impl WorkerLink {
    fn boxed(link: JsLink) -> Box<dyn Link> {
        Box::new(Self(link))
    }

    fn write(&self, header: &[u8], data: &[u8], asks: bool) {
        let (start, end) = (header.len() as u32, (header.len() + data.len()) as u32);
        let message = self.0.room(end, asks);
        message.subarray(0, start).copy_from(header);
        message.subarray(start, end).copy_from(data);
        self.0.send(&message);
    }
}

impl Link for WorkerLink {
    fn send(&self, header: &[u8], data: &[u8]) {
        self.write(header, data, false);
    }

    fn ask(&self, header: &[u8], data: &[u8]) {
        self.write(header, data, true);
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

#[wasm_bindgen]
extern "C" {
    /// `StartedHelpers` of `js/engine/helpers.ts`.
    type JsStarted;
    /// Whether they embed texts, each with a copy of the weights, rather than have a share of every weight.
    #[wasm_bindgen(method, getter)]
    fn texts(this: &JsStarted) -> bool;
    #[wasm_bindgen(method, getter)]
    fn links(this: &JsStarted) -> Vec<JsLink>;
}

/// A backend, and what embeds texts beside it.
pub(super) struct Opened {
    pub(super) backend: Backend,
    pub(super) why: String,
    pub(super) texts: Vec<JsLink>,
}

/// H from which on a layer is worth sharing: a single text is quicker then, too. With 256, sending activations cost more than
/// it saved. A guess between that and the 1,024 of the smallest published model.
const HIDDEN_WORTH_SHARING: u32 = 512;

/// As [`Backend::open`]; the processor has the helpers that `start` starts, which is given `threads`, the compiled module, and
/// the bytes of a copy of the weights as float32: infinity for a model that is not to be copied.
///
/// # Errors
/// As [`Backend::open`], and what `start` throws.
pub(super) async fn open(
    device: Device,
    threads: Option<u32>,
    start: Option<Function>,
    size: ModelSize,
    page: &Page,
) -> Result<Opened> {
    let (backend, why) = Backend::open(device, threads, page).await?;
    let mut opened = Opened { backend, why, texts: Vec::new() };
    let (Backend::Cpu(_), Some(start)) = (&opened.backend, start) else { return Ok(opened) };
    let threads = threads.map_or(JsValue::UNDEFINED, JsValue::from);
    let copied = size.hidden < HIDDEN_WORTH_SHARING;
    let bytes = JsValue::from(if copied { size.weights as f64 * 4.0 } else { f64::INFINITY });
    let started = start.call3(&JsValue::UNDEFINED, &threads, &wasm_bindgen::module(), &bytes).map_err(gone)?;
    let started: JsStarted = JsFuture::from(Promise::resolve(&started)).await.map_err(gone)?.unchecked_into();
    let links = started.links();
    if started.texts() {
        opened.texts = links;
    } else if !links.is_empty() {
        let links = links.into_iter().map(WorkerLink::boxed);
        opened.backend = Backend::cpu_with_helpers(links.collect());
    }
    Ok(opened)
}

/// Lets helpers take part in the calls of a model as soon as they have started. Nobody waits for them.
pub(super) fn join(model: &Rc<Model>, links: Vec<JsLink>) {
    for link in links {
        model.expects_helper();
        let model = Rc::downgrade(model);
        spawn_local(async move {
            let started = link.ready().await;
            let Some(model) = model.upgrade() else { return };
            match started {
                // What goes wrong is said by the count of threads.
                Ok(_) => drop(model.join(WorkerLink::boxed(link)).await),
                Err(_) => model.lacks_helper(),
            }
        });
    }
}

/// What a helper's worker runs.
#[wasm_bindgen]
pub struct WebHelper {
    helper: Either,
    /// The last message: memory that the next one uses again. Words, so that floats in it lie where floats may.
    message: Vec<u32>,
}

enum Either {
    Rows(Helper),
    Texts(Box<TextHelper>),
}

#[wasm_bindgen]
impl WebHelper {
    /// A helper without weights, for texts or for rows of weights.
    ///
    /// # Errors
    /// If there is no memory.
    #[wasm_bindgen(constructor)]
    pub fn new(texts: bool) -> Result<Self, JsValue> {
        let helper = if texts { Either::Texts(Box::default()) } else { Either::Rows(Helper::new().map_err(thrown)?) };
        Ok(Self { helper, message: Vec::new() })
    }

    /// Does what a message says. The answer, if it wants one: a Float32Array of outputs, or a Uint8Array of why there are none.
    pub fn receive(&mut self, message: &Uint8Array) -> JsValue {
        let length = message.length() as usize;
        self.message.resize(length.div_ceil(4), 0);
        let bytes = &mut bytemuck::cast_slice_mut(&mut self.message)[..length];
        message.copy_to(bytes);
        let mut answer = JsValue::UNDEFINED;
        let take = |said: Result<&[u8], &str>| {
            answer = match said {
                Ok(outputs) => {
                    // In the message's memory, if they fit: fresh memory costs more than copying into it.
                    let (memory, length) = (message.buffer(), outputs.len() as u32);
                    let memory = if memory.byte_length() >= length { memory } else { ArrayBuffer::new(length) };
                    Uint8Array::new_with_byte_offset_and_length(&memory, 0, length).copy_from(outputs);
                    Float32Array::new_with_byte_offset_and_length(&memory, 0, length / 4).into()
                }
                Err(why) => Uint8Array::from(why.as_bytes()).into(),
            };
        };
        match &mut self.helper {
            Either::Rows(helper) => helper.receive(bytes, take),
            Either::Texts(helper) => helper.receive(bytes, take),
        }
        answer
    }
}
