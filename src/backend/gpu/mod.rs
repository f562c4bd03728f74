//! The GPU engine, on wgpu: a device, its kernels, and a recorder that runs them in order. Nothing above
//! `src/backend` names wgpu.

mod bindings;
mod buffer;
mod byte_strips;
mod device;
mod families;
mod kernel;
mod kernels;
mod matrices;
mod recorder;
pub mod shaders;
mod strips;
mod weight;

pub(super) use buffer::GpuBuffer;
pub use device::Gpu;
pub(super) use device::Submitted;
pub(super) use families::candidates;
pub(super) use kernel::{GpuKernel, GpuKernels, KnownKernel};
pub(super) use recorder::Recorder;
pub(super) use weight::GpuWeight;
