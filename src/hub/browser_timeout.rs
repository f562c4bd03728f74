//! An end to waiting in a browser: after a time, or when the caller cancels.

use std::time::Duration;

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;

/// Goes off after a time or when a signal is aborted. Dropping it leaves nothing behind.
pub(super) struct Timeout {
    promise: Promise,
    timer: JsValue,
    signal: Option<AbortSignal>,
    ring: Function,
}

impl Timeout {
    /// # Errors
    /// What the browser threw.
    pub(super) fn set(time: Duration, signal: Option<&AbortSignal>) -> Result<Self, JsValue> {
        let mut ring = None;
        let promise = Promise::new(&mut |_, reject| ring = Some(reject));
        let ring = ring.ok_or(JsValue::UNDEFINED)?;
        let late = js_sys::Error::new(&format!("nothing came for {} seconds", time.as_secs()));
        let millis = JsValue::from(time.as_secs_f64() * 1000.0);
        let timer = global("setTimeout")?.call3(&JsValue::UNDEFINED, &ring, &millis, &late)?;
        let timeout = Self { promise, timer, signal: signal.cloned(), ring };
        if let Some(signal) = signal {
            if signal.aborted() {
                timeout.ring.call0(&JsValue::UNDEFINED)?;
            }
            signal.add_event_listener_with_callback("abort", &timeout.ring)?;
        }
        Ok(timeout)
    }

    /// What `promise` gives, if it does before the timeout goes off.
    ///
    /// # Errors
    /// What it is rejected with, or the timeout's own.
    pub(super) async fn race(&self, promise: &Promise) -> Result<JsValue, JsValue> {
        JsFuture::from(Promise::race(&Array::of2(promise, &self.promise))).await
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        if let Ok(clear) = global("clearTimeout") {
            drop(clear.call1(&JsValue::UNDEFINED, &self.timer));
        }
        if let Some(signal) = &self.signal {
            drop(signal.remove_event_listener_with_callback("abort", &self.ring));
        }
    }
}

fn global(name: &str) -> Result<Function, JsValue> {
    Reflect::get(&js_sys::global(), &name.into())?.dyn_into()
}
