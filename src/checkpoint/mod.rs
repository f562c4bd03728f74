//! Safetensors files: what tensors they hold, and their bytes in order. Knows tensors, not models.

#[cfg(not(target_arch = "wasm32"))]
mod apart;
pub mod formats;
mod header;
mod pass;
mod quantize;
mod recode;
mod rewrite;
mod shards;
mod writer;

#[cfg(not(target_arch = "wasm32"))]
pub use apart::ApartMatrix;
pub use formats::{MatrixRows, Scheme, StoredMatrix};
pub use header::{Header, Tensor};
pub use pass::{WantedMatrix, WeightPass, WeightSink, plain_name};
pub use quantize::{Loss, Quantizer, mlx_rule};
pub use recode::Recode;
pub use rewrite::{Rewrite, rewritten};
pub use shards::{Files, ShardIndex};
pub use writer::ShardWriter;
