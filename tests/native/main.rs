//! The tests of the native library and of the command line, in one program: each program would compile the engine again.
//! `cargo test --test native kernels::` runs one file of them.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod apart;
mod cache;
mod cli;
mod codes;
mod config;
mod context;
mod documents;
mod encode_into;
mod eval;
mod faults;
mod formats;
mod forms;
mod fuzz;
mod fuzz_formats;
mod fuzz_index;
mod helpers;
mod helpers_texts;
mod hub;
mod hub_environment;
mod hub_faults;
mod index;
mod kernels;
mod large;
mod late;
mod lost;
mod maxsim;
mod not_finite;
mod oracle;
mod precision;
mod quantize;
mod quantize_command;
mod repositories;
mod resident;
mod rows;
mod search_command;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod tokenizer;
mod verify;
