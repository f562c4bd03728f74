//! Safetensors files: what tensors they hold, and their bytes in order. Knows tensors, not models.

pub mod formats;
mod header;
mod number;
mod quantise;
mod recast;
mod shards;
mod writer;

pub use header::{Header, Tensor};
pub use number::Number;
pub use quantise::{Loss, Quantiser, Rows, mlx_rule};
pub use recast::{Recipe, module, recast, rewrite};
pub use shards::{Files, Index};
pub use writer::ShardWriter;
