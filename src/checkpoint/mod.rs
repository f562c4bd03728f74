//! Safetensors files: what tensors they hold, and their bytes in order. Knows tensors, not models.

pub mod formats;
mod header;
mod number;
mod pass;
mod quantise;
mod reform;
mod rewrite;
mod shards;
mod writer;

pub use formats::{Kept, Matrix, Rows, Scheme};
pub use header::{Header, Tensor};
pub use number::Number;
pub use pass::{Pass, Sink, Wanted, plain_name};
pub use quantise::{Loss, Quantiser, mlx_rule};
pub use reform::{Reform, widen_row};
pub use rewrite::{Rewrite, rewritten};
pub use shards::{Files, Index};
pub use writer::ShardWriter;
