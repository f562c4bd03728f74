//! Safetensors files: what tensors they hold, and their bytes in order. Knows tensors, not models.

mod header;
mod number;
mod quantise;
mod shards;

pub use header::{Header, Tensor};
pub use number::Number;
pub use quantise::{Quantiser, Rows, mlx_rule};
pub use shards::{Files, Index};
