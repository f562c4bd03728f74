//! Weight matrices on the device.

use std::sync::Arc;

use super::kernel::Packing;
use super::{Gpu, GpuBuffer};
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// Bytes of a group's scale and bias.
const GROUP_BYTES: u64 = 8;
/// Most iterations of a loop on any adapter: llvmpipe ends loops silently after 65,535 of them.
const MAX_ITERATIONS: u64 = 65_535;

/// One weight matrix `[N, K]`, row-major, or two alike, split at row boundaries where one binding cannot hold them.
pub struct GpuWeight {
    pub(super) parts: Vec<WeightPart>,
    /// N, outputs of each matrix.
    pub(super) n: u32,
    /// K, inputs; a multiple of four.
    pub(super) k: u32,
    /// 1, or 2 for a pair.
    pub(super) matrices: u32,
    /// How the parts lie; the kernel that reads them has to expect it.
    pub(super) packing: Packing,
    format: MatrixFormat,
}

/// Rows `first..first + rows` of each matrix: those of the first matrix, then those of the second.
pub(super) struct WeightPart {
    values: GpuBuffer,
    /// `[matrices * rows, G]` of scale and bias, where the format has groups.
    groups: Option<GpuBuffer>,
    pub(super) first: u32,
    pub(super) rows: u32,
}

impl WeightPart {
    /// The buffers, in the order in which the shaders bind them.
    pub(super) fn buffers(&self) -> impl Iterator<Item = &GpuBuffer> {
        std::iter::once(&self.values).chain(&self.groups)
    }
}

impl GpuWeight {
    /// See [`crate::backend::Backend::weight`]. No buffer of a part has more than `max_bytes`.
    ///
    /// # Errors
    /// As there.
    pub fn zeros(
        gpu: &Arc<Gpu>,
        label: &str,
        [matrices, n, k]: [u32; 3],
        format: MatrixFormat,
        max_bytes: u64,
    ) -> Result<Self> {
        check(label, format, k)?;
        let row = format.value_bytes(k.into()) * u64::from(matrices);
        let row_groups = format.row_groups(k.into()) * GROUP_BYTES * u64::from(matrices);
        let rows_each = (max_bytes / row.max(row_groups).max(1)).clamp(1, u64::from(n.max(1))) as u32;
        let parts = (0..n)
            .step_by(rows_each as usize)
            .map(|first| {
                let rows = rows_each.min(n - first);
                let room = |bytes: u64| GpuBuffer::zeros(gpu, label, u64::from(rows) * bytes);
                let groups = (row_groups > 0).then(|| room(row_groups)).transpose()?;
                Ok(WeightPart { values: room(row)?, groups, first, rows })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parts, n, k, matrices, packing: Packing::RowMajor, format })
    }

    /// How the weights are held.
    pub fn format(&self) -> MatrixFormat {
        self.format
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        u64::from(self.matrices) * u64::from(self.n) * self.format.row_bytes(self.k.into())
    }

    /// Writes rows of numbers or codes; see [`crate::backend::Weight::write`].
    pub fn write(&self, matrix: usize, row: u32, values: &[u8]) {
        let row_bytes = self.format.value_bytes(self.k.into());
        self.spread(matrix, row, row_bytes, values, |part, at, bytes| part.values.write(at, bytes));
    }

    /// Writes scales and biases; see [`crate::backend::Weight::write_groups`].
    pub fn write_groups(&self, matrix: usize, row: u32, groups: &[[f32; 2]]) {
        let row_bytes = self.format.row_groups(self.k.into()) * GROUP_BYTES;
        self.spread(matrix, row, row_bytes, bytemuck::cast_slice(groups), |part, at, bytes| {
            part.groups.iter().for_each(|buffer| buffer.write(at, bytes));
        });
    }

    /// Gives each part its share of `bytes`, which are rows of `row_bytes` from `row` on, and where it begins.
    fn spread(&self, matrix: usize, row: u32, row_bytes: u64, bytes: &[u8], write: impl Fn(&WeightPart, u64, &[u8])) {
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

    /// As the shaders count: groups of a row, and vec4s of K in a group. A plain row is one group.
    pub(super) fn shader_groups(&self) -> [u32; 2] {
        shader_groups(self.format, self.k)
    }
}

fn shader_groups(format: MatrixFormat, k: u32) -> [u32; 2] {
    format.group().map_or([1, k / 4], |group| [k.div_ceil(group), group.min(k) / 4])
}

/// Whether the kernels can read rows of `k` in this format.
///
/// # Errors
/// [`Error::Unsupported`], naming `label`.
fn check(label: &str, format: MatrixFormat, k: u32) -> Result<()> {
    let refused = |message: String| {
        let groups = format.group().map_or(String::new(), |group| format!(" in groups of {group}"));
        Err(Error::unsupported(format!("{label} with K = {k} as {}{groups}", format.name()), message))
    };
    if format.group().is_some_and(|group| group == 0 || group % 4 != 0 && group < k) {
        return refused("groups are a multiple of 4, or as long as a row".into());
    }
    // A row starts with a 32-bit word, and a shader reads four numbers at a time.
    let multiple = (32 / format.bits()).max(4);
    if !k.is_multiple_of(multiple) {
        return refused(format!("K is a multiple of {multiple}"));
    }
    let [groups, _] = shader_groups(format, k);
    if u64::from(k / 4) + u64::from(groups) > MAX_ITERATIONS {
        return refused(format!("a quarter of K and the groups of a row are at most {MAX_ITERATIONS} together"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{MatrixFormat, check, shader_groups};

    fn accepted(format: MatrixFormat, k: u32) -> bool {
        let result = check("w", format, k);
        assert!(result.as_ref().err().is_none_or(|e| e.code() == "unsupported" && e.to_string().contains("K = ")));
        result.is_ok()
    }

    #[test]
    fn rows_start_with_a_word() {
        let q = [MatrixFormat::Q8 { group: 32 }, MatrixFormat::Q4 { group: 32 }];
        for (format, multiple) in [(MatrixFormat::F32, 4), (MatrixFormat::F16, 4), (q[0], 4), (q[1], 8)] {
            assert!(accepted(format, multiple * 9));
            assert!(!accepted(format, multiple * 9 + multiple / 2));
        }
    }

    #[test]
    fn groups_are_whole_vec4s_or_a_row() {
        for (group, fits) in [(0, false), (4, true), (6, false), (62, false), (64, true), (65, true), (u32::MAX, true)]
        {
            assert_eq!(accepted(MatrixFormat::Q4 { group }, 64), fits, "{group}");
        }
    }

    #[test]
    fn loops_stay_below_what_llvmpipe_runs() {
        assert!(accepted(MatrixFormat::F32, 4 * 65_534));
        assert!(!accepted(MatrixFormat::F32, 4 * 65_535));
        assert!(!accepted(MatrixFormat::Q8 { group: 4 }, 4 * 40_000));
        assert!(accepted(MatrixFormat::Q8 { group: u32::MAX }, 4 * 40_000));
    }

    #[test]
    fn groups_as_shaders_count_them() {
        assert_eq!(shader_groups(MatrixFormat::Q4 { group: 64 }, 200), [4, 16]);
        assert_eq!(shader_groups(MatrixFormat::Q8 { group: u32::MAX }, 200), [1, 50]);
        assert_eq!(shader_groups(MatrixFormat::F16, 200), [1, 50]);
    }
}
