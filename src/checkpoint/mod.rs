//! Safetensors files: what tensors they hold, and their bytes in order. Knows tensors, not models.

pub mod formats;
mod header;
mod number;
mod shards;

pub use header::{Header, Tensor};
pub use number::Number;
pub use shards::{Files, Index};
