//! The GPU engine, on wgpu: a device, its kernels, and a recorder that runs them in order. Nothing above
//! `src/backend` names wgpu.

mod buffer;
mod device;
mod families;
mod kernel;
mod kernels;
mod recorder;
pub mod shaders;
mod weight;

pub use buffer::GpuBuffer;
pub use device::Gpu;
pub use families::candidates;
pub use kernel::{GpuKernel, GpuKernels, KnownKernel, Packing};
pub(super) use kernels::widen_queries;
pub use recorder::Recorder;
pub use weight::GpuWeight;
