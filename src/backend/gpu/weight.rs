//! Weight matrices on the device.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::kernel::{GpuKernels, Packing};
use super::strips::{self, Incoming, Place};
use super::{Gpu, GpuBuffer, byte_strips};
use crate::backend::Precision;
use crate::backend::ops::Operation;
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// Bytes of a group's scale and bias.
const GROUP_BYTES: u64 = 8;
/// Most iterations of a loop on any adapter: llvmpipe ends loops silently after 65,535 of them.
const MAX_ITERATIONS: u64 = 65_535;

/// One weight matrix `[N, K]`, or two alike, split at row boundaries where one binding cannot hold them.
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
    incoming: Mutex<Incoming>,
}

/// Rows `first..first + rows` of each matrix: those of the first matrix, then those of the second.
pub(super) struct WeightPart {
    values: GpuBuffer,
    /// Scales and biases, where the format has groups.
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
        kernels: &GpuKernels,
        label: &str,
        [matrices, n, k]: [u32; 3],
        format: MatrixFormat,
        max_bytes: u64,
    ) -> Result<Self> {
        check(label, format, k)?;
        let packing = kernels.packing(matrices, format);
        let Unit { rows: unit, values, groups } = Unit::new(packing, format, k);
        let [values, groups] = [values, groups].map(|bytes| bytes * u64::from(matrices));
        let rows_each = (max_bytes / values.max(groups).max(1)).clamp(1, n.div_ceil(unit).max(1).into()) as u32 * unit;
        let parts = (0..n)
            .step_by(rows_each as usize)
            .map(|first| {
                let rows = rows_each.min(n - first);
                let room = |bytes: u64| GpuBuffer::zeros(gpu, label, u64::from(rows.div_ceil(unit)) * bytes);
                let groups = (groups > 0).then(|| room(groups)).transpose()?;
                Ok(WeightPart { values: room(values)?, groups, first, rows })
            })
            .collect::<Result<_>>()?;
        Ok(Self { parts, n, k, matrices, packing, format, incoming: Mutex::default() })
    }

    /// Weights of one matrix each, `[n, k]` for each of `ns`, that a kernel of `heads` can read as one: strip after strip in
    /// one buffer. `None` where there is no such kernel, or a binding cannot hold all of them.
    ///
    /// # Errors
    /// As [`GpuWeight::zeros`].
    pub fn in_one(
        gpu: &Arc<Gpu>,
        kernels: &GpuKernels,
        label: &str,
        ns: &[u32],
        k: u32,
        format: MatrixFormat,
    ) -> Result<Option<Vec<Self>>> {
        check(label, format, k)?;
        let Some(kernel) = kernels.find(Operation::Heads(format)) else { return Ok(None) };
        let packing = kernel.family.packing;
        let Unit { rows: unit, values: strip, groups } = Unit::new(packing, format, k);
        let all: u64 = ns.iter().map(|&n| u64::from(n / unit)).sum();
        let whole = ns.iter().all(|n| n.is_multiple_of(unit));
        if !whole || all * strip.max(groups) > gpu.max_binding() {
            return Ok(None);
        }
        let sizes = |bytes: u64| ns.iter().map(|&n| u64::from(n / unit) * bytes).collect::<Vec<_>>();
        let values = GpuBuffer::in_one(gpu, label, &sizes(strip))?;
        let mut groups = match groups {
            0 => Vec::new(),
            bytes => GpuBuffer::in_one(gpu, label, &sizes(bytes))?,
        }
        .into_iter();
        let weight = |(values, &n): (GpuBuffer, &u32)| {
            let parts = vec![WeightPart { values, groups: groups.next(), first: 0, rows: n }];
            Self { parts, n, k, matrices: 1, packing, format, incoming: Mutex::default() }
        };
        Ok(Some(values.into_iter().zip(ns).map(weight).collect()))
    }

    /// The buffers of all matrices that were made with this one, the first of them, by [`GpuWeight::in_one`], if `others`
    /// are those.
    pub(super) fn all(&self, others: [&Self; 2]) -> Option<Vec<GpuBuffer>> {
        let [part] = &self.parts[..] else { return None };
        if part.values.place_of(&part.values) != Some(0) {
            return None;
        }
        let mut end = part.values.size();
        for other in others {
            let [next] = &other.parts[..] else { return None };
            if part.values.place_of(&next.values) != Some(end) || other.k != self.k {
                return None;
            }
            end += next.values.size();
        }
        Some(part.buffers().map(GpuBuffer::all).collect())
    }

    /// How the weights are held.
    pub fn format(&self) -> MatrixFormat {
        self.format
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        match self.packing {
            Packing::RowMajor => u64::from(self.matrices) * u64::from(self.n) * self.format.row_bytes(self.k.into()),
            Packing::Strips | Packing::ByteStrips => {
                self.parts.iter().flat_map(WeightPart::buffers).map(GpuBuffer::size).sum()
            }
        }
    }

    /// Writes rows of numbers or codes; see [`crate::backend::Weight::write`].
    pub fn write(&self, matrix: usize, row: u32, values: &[u8]) {
        let row_bytes = self.format.value_bytes(self.k.into()) as usize;
        match self.packing {
            Packing::RowMajor => self.spread(matrix, row, row_bytes, values, |part, at, bytes| {
                part.values.write(at, bytes);
            }),
            Packing::Strips | Packing::ByteStrips => {
                let pack = if self.packing == Packing::Strips { strips::pack_values } else { byte_strips::pack_values };
                self.spread_strips(false, matrix, row, row_bytes, values, |part, at, rows| {
                    let strip = pack(self.format, self.k, rows);
                    part.values.write(at * strip.len() as u64, &strip);
                });
            }
        }
    }

    /// Writes scales and biases; see [`crate::backend::Weight::write_groups`].
    pub fn write_groups(&self, matrix: usize, row: u32, groups: &[[f32; 2]]) {
        let row_groups = self.format.row_groups(self.k.into()) as usize;
        let (row_bytes, bytes) = (row_groups * GROUP_BYTES as usize, bytemuck::cast_slice(groups));
        match self.packing {
            Packing::RowMajor => self.spread(matrix, row, row_bytes, bytes, |part, at, bytes| {
                part.groups.iter().for_each(|buffer| buffer.write(at, bytes));
            }),
            Packing::Strips | Packing::ByteStrips => {
                self.spread_strips(true, matrix, row, row_bytes, bytes, |part, at, rows| {
                    let rows = bytemuck::pod_collect_to_vec::<u8, [f32; 2]>(rows);
                    let strip = match self.packing {
                        Packing::ByteStrips => byte_strips::pack_groups(self.format, self.k, &rows),
                        Packing::Strips | Packing::RowMajor => strips::pack_groups(row_groups, &rows),
                    };
                    let at = at * size_of_val(&strip[..]) as u64;
                    part.groups.iter().for_each(|buffer| buffer.write(at, bytemuck::cast_slice(&strip)));
                });
            }
        }
    }

    /// Gives each part its share of `bytes`, which are rows of `row_bytes` from `row` on, and where it begins.
    fn spread(&self, matrix: usize, row: u32, row_bytes: usize, bytes: &[u8], write: impl Fn(&WeightPart, u64, &[u8])) {
        self.shares(row, row_bytes, bytes, |part, rows, bytes| {
            let before = matrix as u64 * u64::from(part.rows) + u64::from(rows.start);
            write(part, before * row_bytes as u64, bytes);
        });
    }

    /// Gives each part the rows of each strip that is whole now, and the strip's place among its own.
    fn spread_strips(
        &self,
        groups: bool,
        matrix: usize,
        row: u32,
        row_bytes: usize,
        bytes: &[u8],
        write: impl Fn(&WeightPart, u64, &[u8]),
    ) {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        self.shares(row, row_bytes, bytes, |part, rows, bytes| {
            for strip in rows.start / strips::ROWS..rows.end.div_ceil(strips::ROWS) {
                let first = strip * strips::ROWS;
                let height = strips::ROWS.min(part.rows - first);
                let (from, to) = (rows.start.max(first), rows.end.min(first + height));
                let own = &bytes[(from - rows.start) as usize * row_bytes..(to - rows.start) as usize * row_bytes];
                let place = Place { groups, matrix, first: part.first + first };
                let at = u64::from(strip * self.matrices) + matrix as u64;
                incoming.take(place, height, from - first..to - first, own, |rows| write(part, at, rows));
            }
        });
    }

    /// Gives each part its rows of `bytes`, which are rows of `row_bytes` from `row` on; rows of a part count from its
    /// first.
    fn shares(&self, row: u32, row_bytes: usize, bytes: &[u8], mut share: impl FnMut(&WeightPart, Range<u32>, &[u8])) {
        let rows = bytes.len().checked_div(row_bytes).unwrap_or(0) as u32;
        for part in &self.parts {
            let (from, to) = (row.max(part.first), row.saturating_add(rows).min(part.first + part.rows));
            if from < to {
                let own = &bytes[(from - row) as usize * row_bytes..(to - row) as usize * row_bytes];
                share(part, from - part.first..to - part.first, own);
            }
        }
    }

    /// As the shaders count: groups of a row, and vec4s of K in a group, or, in strips of bytes, blocks, and words that each has
    /// room for. A plain row is one group.
    pub(super) fn shader_groups(&self) -> [u32; 2] {
        match self.packing {
            Packing::RowMajor | Packing::Strips => shader_groups(self.format, self.k),
            Packing::ByteStrips => {
                let shape = self.byte_shape();
                [shape.blocks, shape.span * 4]
            }
        }
    }

    /// The blocks that activations are rounded in.
    pub(super) fn byte_shape(&self) -> byte_strips::Shape {
        byte_strips::Shape::new(self.format, self.k)
    }

    /// How exactly kernels take activations with it.
    pub fn precision(&self) -> Precision {
        self.packing.precision()
    }
}

/// Rows that lie together in a packing, and their bytes.
struct Unit {
    rows: u32,
    values: u64,
    groups: u64,
}

impl Unit {
    fn new(packing: Packing, format: MatrixFormat, k: u32) -> Self {
        let groups = format.row_groups(k.into()) * GROUP_BYTES;
        match packing {
            Packing::RowMajor => Self { rows: 1, values: format.value_bytes(k.into()), groups },
            Packing::Strips => {
                let (rows, values) = (strips::ROWS, strips::value_bytes(format, k));
                Self { rows, values, groups: groups * u64::from(rows) }
            }
            Packing::ByteStrips => {
                let (values, groups) = (byte_strips::value_bytes(format, k), byte_strips::group_bytes(format, k));
                Self { rows: strips::ROWS, values, groups }
            }
        }
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
