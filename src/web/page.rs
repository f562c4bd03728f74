//! What a long call reports to the page.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::JsValue;
use web_sys::AbortSignal;

use super::convert::{object, plain};
use crate::error::Result;
use crate::progress::{Progress, Watch};

/// The `signal` and `onProgress` of a long call.
pub(super) struct Page {
    pub(super) signal: Option<AbortSignal>,
    on_progress: Option<Function>,
    /// The file that is being downloaded, and how many of its bytes were reported.
    heard: RefCell<(String, u64)>,
}

impl Page {
    pub(super) fn of(options: &JsValue) -> Result<Self> {
        let signal = object(options, "signal", "an AbortSignal")?;
        Ok(Self { signal, on_progress: object(options, "onProgress", "a function")?, heard: RefCell::default() })
    }
}

impl Watch for Page {
    fn cancelled(&self) -> bool {
        self.signal.as_ref().is_some_and(AbortSignal::aborted)
    }

    fn progress(&self, progress: Progress) {
        // A file that was downloaded is then read from the start, which need not be reported again.
        if let Progress::Download { file, loaded, .. } = &progress {
            let heard = self.heard.replace((file.clone(), *loaded));
            if heard.0 == *file && heard.1 > *loaded {
                self.heard.replace(heard);
                return;
            }
        }
        if let (Some(listener), Ok(progress)) = (&self.on_progress, plain(&progress)) {
            // The TypeScript side reports what a listener throws; it does not stop the call.
            let _ = listener.call1(&JsValue::UNDEFINED, &progress);
        }
    }
}
