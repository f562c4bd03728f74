//! The plain twin of every kernel: same name, same arguments, f64 accumulation, no tricks.
//!
//! The twins are the kernels' specification and their oracle: the tests compare each shader with
//! its twin over the edges of its tile, and loading a model does so with a small known answer on
//! the adapter at hand. They are not meant to be fast.

mod attention;
mod dense;
mod dequantise;
mod head_norm_rope;
mod keep;
mod matmul;
mod maxsim;
mod pool;
mod quantise;
mod rms_norm;
mod swiglu;

pub use attention::attention;
pub use dense::{dense, dot, dot_codes, hamming};
pub use dequantise::dequantise;
pub use head_norm_rope::{head_norm_rope, rope_table};
pub use keep::{float16, scaled_int8};
pub use matmul::matmul;
pub use maxsim::maxsim;
pub use pool::mean;
pub use quantise::{binary, int8, normalise, pack_bits};
pub use rms_norm::rms_norm;
pub use swiglu::swiglu;
