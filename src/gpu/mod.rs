//! The GPU, knowing nothing of models: a device, its kernels, and a recorder that runs them in order.

mod device;
mod kernels;
mod linear;
mod memory;
pub mod probe;
mod recorder;
pub mod shaders;
mod storage;

pub use device::{AdapterSummary, Gpu};
pub use kernels::{AttentionBuffers, Form, HeadRows, Heads, Kernels, Rope, Segment, Tile};
pub use kernels::{Dense, DenseBuffers, DenseForm, Keep, KeepBuffers};
pub use kernels::{Family, MaxSim, Output, ShardBuffers, Strip, TokenForm};
pub use linear::Linear;
pub use recorder::Recorder;
pub use storage::{Storage, WeightType};
