//! One host function a kernel: it names the shader's bindings in order, and says their shapes.
//!
//! Every `Params` here has the fields of the `Params` of the shader of the same name, in the same order; `build.rs` reads
//! their size from the shader and the recorder compares. Sizes of tiles come from the shader's constants.

mod attention;
mod bias;
mod dense;
mod dense_bounds;
mod head_norm_rope;
mod linear;
mod maxsim;
mod pack_rows;
mod pool;
mod quantize;
mod rms_norm;
mod round_rows;

/// Most workgroups of a dispatch that a host function asks for in one direction: a power of two below 65,535, which is
/// what WebGPU allows.
const MAX_GROUPS: u32 = 32_768;
