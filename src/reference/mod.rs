//! The plain twin of every kernel: same name, same arguments, f64 accumulation, no tricks.
//!
//! The twins are the kernels' specification and their oracle. [`crate::backend::probe`] compares each operation of a
//! backend with its twin, on small known answers when a model is loaded and over the edges of each tile in the tests.
//! Nothing else calls them, and they are not meant to be fast.

mod attention;
mod dense;
mod dequantize;
mod head_norm_rope;
mod matmul;
mod maxsim;
mod pool;
mod quantize;
mod rms_norm;
mod round_activations;
mod swiglu;

pub use attention::attention;
pub use dense::{dense, dot, dot_codes, hamming};
pub use dequantize::dequantize;
pub use head_norm_rope::head_norm_rope;
pub use matmul::matmul;
pub use maxsim::maxsim;
pub use pool::mean;
pub use quantize::{binary, int8, normalize};
pub use rms_norm::rms_norm;
pub use round_activations::round_activations;
pub use swiglu::swiglu;
