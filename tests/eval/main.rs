//! Measuring a model on retrieval sets: the measures against pytrec_eval, every form against a plain loop over what
//! `embed` gives, what is kept and what is refused.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod data;
mod files;
mod forms;
mod measures;
mod mini;
mod resume;
mod runs;
mod sets;
