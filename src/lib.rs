//! Perplexity's pplx-embed models on the user's own GPU or processor.
//!
//! The encoder (Qwen3 made bidirectional) runs in WGSL through wgpu: natively on Vulkan, Metal or DX12, and in a
//! browser on WebGPU, from safetensors as they are published. [`model::Model`] is the way in.
//!
//! ```no_run
//! use pplx_embed::hub::Folder;
//! use pplx_embed::model::{EmbedOptions, LoadOptions, Model};
//!
//! # fn main() -> pplx_embed::Result<()> {
//! # pollster::block_on(async {
//! let model = Model::load(&Folder::new("models/demo"), LoadOptions::default(), &()).await?;
//! let embeddings = model.embed(&["a red bicycle", ""], EmbedOptions::default(), &()).await?;
//! assert_eq!((embeddings.rows, embeddings.dimensions), (2, model.info().dimensions as usize));
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! `ARCHITECTURE.md` says how the modules hang together, and explains the symbols. In short: [`model`], [`index`] and
//! [`maxsim`] run on a [`backend`], which is a GPU or the processor; [`hub`] and [`checkpoint`] bring them weights;
//! `evaluation` (native only) measures how good a ranking is.

pub mod backend;
pub mod checkpoint;
mod collect;
mod download_rate;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod evaluation;
pub mod hub;
pub mod index;
pub mod json;
pub mod maxsim;
pub mod model;
pub mod numbers;
mod progress;
pub mod reference;
pub mod top_k;
#[cfg(target_arch = "wasm32")]
mod web;

pub use download_rate::Meter;
pub use error::{Error, Result};
pub use progress::{Progress, Watch};
