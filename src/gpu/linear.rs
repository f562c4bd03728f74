//! Weight matrices on the device.

use super::{Gpu, Storage};
use crate::error::Result;

/// Bytes of a group's scale and bias.
const GROUP_BYTES: u64 = 8;

/// One weight matrix `[N, K]`, row-major, or two alike, cut on row boundaries where one binding cannot hold them.
pub struct Linear {
    pub(super) parts: Vec<Part>,
    /// N, outputs of each matrix.
    pub n: u32,
    /// K, inputs; a multiple of four.
    pub k: u32,
    /// 1, or 2 for a pair.
    pub(super) matrices: u32,
    storage: Storage,
}

/// Rows `first..first + rows` of each matrix: those of the first matrix, then those of the second.
pub(super) struct Part {
    values: wgpu::Buffer,
    /// `[matrices * rows, G]` of scale and bias, where the type is affine.
    groups: Option<wgpu::Buffer>,
    pub(super) first: u32,
    pub(super) rows: u32,
}

impl Part {
    /// The buffers, in the order in which the shaders bind them.
    pub(super) fn buffers(&self) -> impl Iterator<Item = &wgpu::Buffer> {
        std::iter::once(&self.values).chain(&self.groups)
    }
}

impl Linear {
    /// A matrix `[n, k]` of zeros, to be filled by [`Linear::write`] and [`Linear::write_groups`].
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] if rows of `k` cannot be held like this, [`crate::Error::OutOfMemory`] if there
    /// is no room, [`crate::Error::AdapterTooSmall`] if not even one row fits a binding.
    pub fn zeros(gpu: &Gpu, label: &str, n: u32, k: u32, storage: Storage) -> Result<Self> {
        Self::with_max_binding(gpu, label, [1, n, k], storage, gpu.max_binding())
    }

    /// Two matrices `[n, k]` of zeros that are read together: gate and up of an MLP. They are cut alike, and a part
    /// holds its rows of both.
    ///
    /// # Errors
    /// As [`Linear::zeros`].
    pub fn pair(gpu: &Gpu, label: &str, n: u32, k: u32, storage: Storage) -> Result<Self> {
        Self::with_max_binding(gpu, label, [2, n, k], storage, gpu.max_binding())
    }

    /// One or two matrices, with a smaller bound on a part's buffers, for tests of the split.
    ///
    /// # Errors
    /// As [`Linear::zeros`].
    pub fn with_max_binding(
        gpu: &Gpu,
        label: &str,
        [matrices, n, k]: [u32; 3],
        storage: Storage,
        max_binding: u64,
    ) -> Result<Self> {
        storage.check(label, k)?;
        let row = storage.row_bytes(k) * u64::from(matrices);
        let row_groups = u64::from(storage.row_groups(k)) * GROUP_BYTES * u64::from(matrices);
        let rows_each = (max_binding / row.max(row_groups).max(1)).clamp(1, u64::from(n.max(1))) as u32;
        let parts = (0..n)
            .step_by(rows_each as usize)
            .map(|first| {
                let rows = rows_each.min(n - first);
                let values = gpu.storage(label, u64::from(rows) * row)?;
                let groups =
                    if row_groups > 0 { Some(gpu.storage(label, u64::from(rows) * row_groups)?) } else { None };
                Ok(Part { values, groups, first, rows })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parts, n, k, matrices, storage })
    }

    /// How the weights are held.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let row = self.storage.row_bytes(self.k) + u64::from(self.storage.row_groups(self.k)) * GROUP_BYTES;
        u64::from(self.matrices) * u64::from(self.n) * row
    }

    /// Writes rows of `matrix` (0, or 1 of a pair) from `row` on: [`Storage::row_bytes`] each of little-endian numbers
    /// or packed codes. What lies beyond the matrix is not written.
    pub fn write(&self, gpu: &Gpu, matrix: usize, row: u32, values: &[u8]) {
        self.spread(matrix, row, self.storage.row_bytes(self.k), values, |part, at, bytes| {
            gpu.queue.write_buffer(&part.values, at, bytes);
        });
    }

    /// Writes scale and bias of each group of rows of `matrix` from `row` on, [`Storage::row_groups`] a row. Dense
    /// types have none. What lies beyond the matrix is not written.
    pub fn write_groups(&self, gpu: &Gpu, matrix: usize, row: u32, groups: &[[f32; 2]]) {
        let row_bytes = u64::from(self.storage.row_groups(self.k)) * GROUP_BYTES;
        self.spread(matrix, row, row_bytes, bytemuck::cast_slice(groups), |part, at, bytes| {
            if let Some(buffer) = &part.groups {
                gpu.queue.write_buffer(buffer, at, bytes);
            }
        });
    }

    /// Hands each part its share of `bytes`, which are rows of `row_bytes` from `row` on, and where it begins.
    fn spread(&self, matrix: usize, row: u32, row_bytes: u64, bytes: &[u8], write: impl Fn(&Part, u64, &[u8])) {
        let at = u64::from(row) * row_bytes;
        for part in &self.parts {
            let (start, end) = (u64::from(part.first) * row_bytes, u64::from(part.first + part.rows) * row_bytes);
            let (from, to) = (at.max(start), (at + bytes.len() as u64).min(end));
            if from < to {
                let before = matrix as u64 * (end - start);
                write(part, before + from - start, &bytes[(from - at) as usize..(to - at) as usize]);
            }
        }
    }

    /// Gives the memory back now: a browser would wait for its garbage collector, which does not know how large it is.
    pub fn destroy(self) {
        self.parts.iter().flat_map(Part::buffers).for_each(wgpu::Buffer::destroy);
    }
}
