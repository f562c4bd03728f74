//! Weight matrices on the device.

use super::Gpu;
use crate::error::Result;

/// How a weight is held on the device. Each is widened to f32 exactly as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// float32
    F32,
    /// float16
    F16,
    /// bfloat16
    Bf16,
}

impl WeightType {
    /// Bytes of one weight.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Its name, which is also the suffix of the shader modules that read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// A weight matrix `[N, K]`, row-major, cut on row boundaries where one binding cannot hold it.
pub struct Linear {
    pub(super) parts: Vec<Part>,
    /// N, outputs.
    pub n: u32,
    /// K, inputs; a multiple of four.
    pub k: u32,
    weight_type: WeightType,
}

/// Rows `first..first + rows` of a weight.
pub(super) struct Part {
    pub(super) buffer: wgpu::Buffer,
    pub(super) first: u32,
    pub(super) rows: u32,
}

impl Linear {
    /// A matrix of zeros, to be filled by [`Linear::write`].
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] if there is no room, [`crate::Error::AdapterTooSmall`] if not even one row fits.
    pub fn zeros(gpu: &Gpu, label: &str, n: u32, k: u32, weight_type: WeightType) -> Result<Self> {
        Self::with_max_binding(gpu, label, n, k, weight_type, gpu.max_binding())
    }

    /// [`Linear::zeros`] with a smaller bound on a part, for tests of the split.
    ///
    /// # Errors
    /// As [`Linear::zeros`].
    pub fn with_max_binding(
        gpu: &Gpu,
        label: &str,
        n: u32,
        k: u32,
        weight_type: WeightType,
        max_binding: u64,
    ) -> Result<Self> {
        let row = u64::from(k) * weight_type.bytes();
        let rows_each = (max_binding / row.max(1)).clamp(1, u64::from(n.max(1))) as u32;
        let parts = (0..n)
            .step_by(rows_each as usize)
            .map(|first| {
                let rows = rows_each.min(n - first);
                Ok(Part { buffer: gpu.storage(label, u64::from(rows) * row)?, first, rows })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parts, n, k, weight_type })
    }

    /// How the weights are held.
    pub fn weight_type(&self) -> WeightType {
        self.weight_type
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        u64::from(self.n) * u64::from(self.k) * self.weight_type.bytes()
    }

    /// Writes `bytes` of the row-major matrix from byte `at` on; both are multiples of four. What lies beyond the
    /// matrix is not written.
    pub fn write(&self, gpu: &Gpu, at: u64, bytes: &[u8]) {
        let row = u64::from(self.k) * self.weight_type.bytes();
        for part in &self.parts {
            let (start, end) = (u64::from(part.first) * row, u64::from(part.first + part.rows) * row);
            let (from, to) = (at.max(start), (at + bytes.len() as u64).min(end));
            if from < to {
                let slice = &bytes[(from - at) as usize..(to - at) as usize];
                gpu.queue.write_buffer(&part.buffer, from - start, slice);
            }
        }
    }
}
