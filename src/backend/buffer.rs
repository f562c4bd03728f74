//! Memory of a backend.

use super::Precision;
use super::cpu::{CpuBuffer, CpuWeight};
use super::gpu::{GpuBuffer, GpuWeight};
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// Memory of one device, which is given back when this is dropped.
pub enum Buffer {
    /// On a GPU.
    Gpu(GpuBuffer),
    /// In host memory.
    Cpu(CpuBuffer),
}

/// A buffer, weight or kernel met the other engine.
pub(super) fn other_engine(what: &str) -> Error {
    Error::Gpu { message: format!("a {what} of one engine was given to the other") }
}

impl Buffer {
    /// Bytes there is room for.
    pub fn size(&self) -> u64 {
        match self {
            Self::Gpu(buffer) => buffer.size(),
            Self::Cpu(buffer) => buffer.size(),
        }
    }

    /// Writes `data` at byte `at`; that and the size of `data` are multiples of four. Work recorded later reads it.
    pub fn write<T: bytemuck::NoUninit>(&self, at: u64, data: &[T]) {
        let bytes = bytemuck::cast_slice(data);
        match self {
            Self::Gpu(buffer) => buffer.write(at, bytes),
            Self::Cpu(buffer) => buffer.write(at, bytes),
        }
    }

    /// `bytes` bytes from byte `at` on, a multiple of four, once all work handed to the device so far is done.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn read(&self, at: u64, bytes: u64) -> Result<Vec<u8>> {
        match self {
            Self::Gpu(buffer) => buffer.read(at, bytes).await,
            Self::Cpu(buffer) => Ok(buffer.read(at, bytes)),
        }
    }

    /// Copies each `(from, to, bytes)` from `source`: byte offsets and sizes, multiples of four.
    ///
    /// # Errors
    /// [`Error::Gpu`] for a buffer of the other engine.
    pub fn copy_from(&self, source: &Self, runs: impl Iterator<Item = (u64, u64, u64)>) -> Result<()> {
        match self {
            Self::Gpu(buffer) => buffer.copy_from(source.gpu()?, runs),
            Self::Cpu(buffer) => buffer.copy_from(source.cpu()?, runs),
        }
        Ok(())
    }

    pub(super) fn gpu(&self) -> Result<&GpuBuffer> {
        match self {
            Self::Gpu(buffer) => Ok(buffer),
            Self::Cpu(_) => Err(other_engine("buffer")),
        }
    }

    pub(super) fn cpu(&self) -> Result<&CpuBuffer> {
        match self {
            Self::Cpu(buffer) => Ok(buffer),
            Self::Gpu(_) => Err(other_engine("buffer")),
        }
    }
}

/// A weight matrix `[N, K]`, or a pair of them, as the kernels of a backend read it.
pub enum Weight {
    /// On a GPU.
    Gpu(GpuWeight),
    /// In host memory.
    Cpu(CpuWeight),
}

impl Weight {
    /// How the weights are held.
    pub fn format(&self) -> MatrixFormat {
        match self {
            Self::Gpu(weight) => weight.format(),
            Self::Cpu(weight) => weight.format(),
        }
    }

    /// How exactly linear layers take their activations with it.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Gpu(weight) => weight.precision(),
            Self::Cpu(weight) => weight.precision(),
        }
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Gpu(weight) => weight.bytes(),
            Self::Cpu(weight) => weight.bytes(),
        }
    }

    /// Writes rows of `matrix` (0, or 1 of a pair) from `row` on: [`MatrixFormat::value_bytes`] each of little-endian
    /// numbers or packed codes. Rows beyond N are ignored.
    pub fn write(&self, matrix: usize, row: u32, values: &[u8]) {
        match self {
            Self::Gpu(weight) => weight.write(matrix, row, values),
            Self::Cpu(weight) => weight.write(matrix, row, values),
        }
    }

    /// Writes scale and bias of each group of rows of `matrix` from `row` on, [`MatrixFormat::row_groups`] a row. Plain
    /// formats have none. Rows beyond N are ignored.
    pub fn write_groups(&self, matrix: usize, row: u32, groups: &[[f32; 2]]) {
        match self {
            Self::Gpu(weight) => weight.write_groups(matrix, row, groups),
            Self::Cpu(weight) => weight.write_groups(matrix, row, groups),
        }
    }

    /// Gives `take` the shape (matrices, N and K), and the bytes of the values and groups as the processor holds them.
    ///
    /// # Errors
    /// [`Error::Gpu`] on the other engine.
    pub(crate) fn with_held<T>(&self, take: impl FnOnce([usize; 3], &[u8], &[u8]) -> T) -> Result<T> {
        Ok(self.cpu()?.with_held(take))
    }

    /// Takes bytes that [`Weight::with_held`] gave of a weight of the same shape and format.
    ///
    /// # Errors
    /// [`Error::Gpu`] for other sizes, and on the other engine.
    pub(crate) fn hold(&self, values: &[u8], groups: &[u8]) -> Result<()> {
        self.cpu()?.hold(values, groups)
    }

    pub(super) fn gpu(&self) -> Result<&GpuWeight> {
        match self {
            Self::Gpu(weight) => Ok(weight),
            Self::Cpu(_) => Err(other_engine("weight")),
        }
    }

    pub(super) fn cpu(&self) -> Result<&CpuWeight> {
        match self {
            Self::Cpu(weight) => Ok(weight),
            Self::Gpu(_) => Err(other_engine("weight")),
        }
    }
}
