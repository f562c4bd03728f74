//! The search index: against brute force in f64, sentence-transformers' fixtures, and itself in other circumstances.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod changes;
mod corpus;
mod dense;
mod files;
mod late;
#[path = "../support/mod.rs"]
mod support;
mod texts;
