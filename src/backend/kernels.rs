//! The kernels that were chosen.

use super::buffer::other_engine;
use super::gpu::GpuKernels;
use super::ops::{Heads, Operation, Tile};
use super::precision::Precision;
use crate::error::Result;
use crate::numbers::MatrixFormat;

/// The kernels that a model, an index or a scorer uses: on a GPU, for each operation one that was compared with the
/// reference on this device; the processor's loops are the same everywhere, and compared in tests. Clones share them.
#[derive(Clone, Debug)]
pub enum Kernels {
    /// Compiled for a GPU.
    Gpu(GpuKernels),
    /// The processor's.
    Cpu {
        /// Their names.
        names: Vec<String>,
        /// How exactly they multiply.
        precision: Precision,
    },
}

impl Kernels {
    /// The name of each kernel, `<operation>.<family>.<format>`, and why it was chosen; sorted by name.
    pub fn choices(&self) -> Vec<(String, String)> {
        match self {
            Self::Gpu(kernels) => kernels.choices(),
            Self::Cpu { names, .. } => names.iter().map(|name| (name.clone(), "the only family".into())).collect(),
        }
    }

    /// How exactly linear layers take their activations. [`Precision::Fast`] if any of them rounds to 8 bits or to halves.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Gpu(kernels) => kernels.precision(),
            Self::Cpu { precision, .. } => *precision,
        }
    }

    /// Most tokens in a [`Tile`] of these kernels' attention.
    pub fn tile_rows(&self, heads: Heads) -> u32 {
        match self {
            Self::Gpu(kernels) => kernels.tile_rows(heads),
            Self::Cpu { .. } => Tile::ROWS,
        }
    }

    /// Whether the kernel of [`Run::swiglu`] normalizes rows itself.
    pub fn normalizes(&self, format: MatrixFormat) -> bool {
        match self {
            Self::Gpu(kernels) => kernels.find(Operation::Swiglu(format)).is_some_and(|kernel| kernel.normalizes()),
            Self::Cpu { .. } => false,
        }
    }

    /// Whether there is a kernel for an operation that an engine need not have.
    pub fn have(&self, operation: Operation) -> bool {
        match self {
            Self::Gpu(kernels) => kernels.find(operation).is_some(),
            Self::Cpu { .. } => !operation.is_optional(),
        }
    }

    pub(super) fn gpu(&self) -> Result<&GpuKernels> {
        match self {
            Self::Gpu(kernels) => Ok(kernels),
            Self::Cpu { .. } => Err(other_engine("kernel")),
        }
    }
}
