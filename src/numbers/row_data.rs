//! Rows of vectors in host memory, in any [`RowFormat`].

use std::collections::TryReserveError;
use std::ops::Range;

use half::f16;

use super::{RowFormat, float16, scaled_int8, sign_bits};

/// Rows of vectors, borrowed. `[T, D]` unless said otherwise; D is not known here.
#[derive(Clone, Copy, Debug)]
pub enum RowData<'a> {
    /// `[T, D]`
    Float32(&'a [f32]),
    /// `[T, D]`
    Float16(&'a [f16]),
    /// Vector `t` is `scales[t] * codes[t]`; without scales every factor is 1.
    Int8 {
        /// `[T, D]`
        codes: &'a [i8],
        /// `[T]`
        scales: Option<&'a [f32]>,
    },
    /// `[T, ceil(D / 8)]`, a bit a dimension, the first in the highest bit: 1 stands for +1, 0 for -1. Bits beyond D
    /// are not read.
    Binary(&'a [u8]),
}

impl<'a> RowData<'a> {
    /// What the rows are made of.
    pub fn format(&self) -> RowFormat {
        match self {
            Self::Float32(_) => RowFormat::Float32,
            Self::Float16(_) => RowFormat::Float16,
            Self::Int8 { .. } => RowFormat::Int8,
            Self::Binary(_) => RowFormat::Binary,
        }
    }

    /// Elements of all rows: numbers, codes, or bytes of bits.
    pub fn len(&self) -> usize {
        match self {
            Self::Float32(data) => data.len(),
            Self::Float16(data) => data.len(),
            Self::Int8 { codes, .. } => codes.len(),
            Self::Binary(data) => data.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The scale of each row, where rows have scales.
    pub fn scales(&self) -> Option<&'a [f32]> {
        match *self {
            Self::Int8 { scales, .. } => scales,
            Self::Float32(_) | Self::Float16(_) | Self::Binary(_) => None,
        }
    }

    /// The data without scales, rows of [`RowFormat::row_bytes`].
    pub fn bytes(&self) -> &'a [u8] {
        match *self {
            Self::Float32(data) => bytemuck::cast_slice(data),
            Self::Float16(data) => bytemuck::cast_slice(data),
            Self::Int8 { codes, .. } => bytemuck::cast_slice(codes),
            Self::Binary(data) => data,
        }
    }

    /// The rows `range`, of `dim` dimensions.
    pub fn rows(&self, range: Range<usize>, dim: usize) -> Self {
        let width = self.format().row_len(dim);
        let elements = range.start * width..range.end * width;
        match *self {
            Self::Float32(data) => Self::Float32(&data[elements]),
            Self::Float16(data) => Self::Float16(&data[elements]),
            Self::Int8 { codes, scales } => Self::Int8 { codes: &codes[elements], scales: scales.map(|s| &s[range]) },
            Self::Binary(data) => Self::Binary(&data[elements]),
        }
    }

    /// Appends row `t` of `dim` dimensions as f32, without its scale. Exact.
    pub fn widen_row(&self, t: usize, dim: usize, into: &mut Vec<f32>) {
        match self.rows(t..t + 1, dim) {
            Self::Float32(row) => into.extend_from_slice(row),
            Self::Float16(row) => into.extend(row.iter().map(|v| v.to_f32())),
            Self::Int8 { codes, .. } => into.extend(codes.iter().map(|&v| f32::from(v))),
            Self::Binary(row) => {
                into.extend((0..dim).map(|d| if row[d / 8] >> (7 - d % 8) & 1 == 1 { 1.0 } else { -1.0 }));
            }
        }
    }
}

/// Rows of vectors, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum RowBuf {
    /// `[T, D]`
    Float32(Vec<f32>),
    /// `[T, D]`
    Float16(Vec<f16>),
    /// Vector `t` is `scales[t] * codes[t]`; where there are no scales, every factor is 1.
    Int8 {
        /// `[T, D]`
        codes: Vec<i8>,
        /// `[T]`
        scales: Option<Vec<f32>>,
    },
    /// `[T, ceil(D / 8)]`, a bit a dimension, the first in the highest bit. Unused bits of a row's last byte are 0.
    Binary(Vec<u8>),
}

impl RowBuf {
    /// No rows. `scaled` gives int8 rows a scale each.
    pub fn new(format: RowFormat, scaled: bool) -> Self {
        match format {
            RowFormat::Float32 => Self::Float32(Vec::new()),
            RowFormat::Float16 => Self::Float16(Vec::new()),
            RowFormat::Int8 => Self::Int8 { codes: Vec::new(), scales: scaled.then(Vec::new) },
            RowFormat::Binary => Self::Binary(Vec::new()),
        }
    }

    /// Vectors `[T, dim]` of float32 in `format`, int8 ones with scales.
    pub fn from_floats(vectors: Vec<f32>, dim: usize, format: RowFormat) -> Self {
        if format == RowFormat::Float32 {
            return Self::Float32(vectors);
        }
        let mut rows = Self::new(format, true);
        vectors.chunks_exact(dim).for_each(|row| rows.push(row));
        rows
    }

    /// The same rows, borrowed.
    pub fn as_data(&self) -> RowData<'_> {
        match self {
            Self::Float32(data) => RowData::Float32(data),
            Self::Float16(data) => RowData::Float16(data),
            Self::Int8 { codes, scales } => RowData::Int8 { codes, scales: scales.as_deref() },
            Self::Binary(data) => RowData::Binary(data),
        }
    }

    /// What the rows are made of.
    pub fn format(&self) -> RowFormat {
        self.as_data().format()
    }

    /// Bytes that are in use or reserved.
    pub fn capacity_bytes(&self) -> usize {
        match self {
            Self::Float32(data) => data.capacity() * 4,
            Self::Float16(data) => data.capacity() * 2,
            Self::Int8 { codes, scales } => codes.capacity() + scales.as_ref().map_or(0, |s| s.capacity() * 4),
            Self::Binary(data) => data.capacity(),
        }
    }

    /// Reserves room for `rows` more rows of `dim` dimensions.
    ///
    /// # Errors
    /// [`TryReserveError`] if there is no memory for them.
    pub fn try_reserve(&mut self, rows: usize, dim: usize) -> Result<(), TryReserveError> {
        let count = rows.saturating_mul(self.format().row_len(dim));
        match self {
            Self::Float32(data) => data.try_reserve(count),
            Self::Float16(data) => data.try_reserve(count),
            Self::Int8 { codes, scales } => {
                codes.try_reserve(count)?;
                scales.as_mut().map_or(Ok(()), |s| s.try_reserve(rows))
            }
            Self::Binary(data) => data.try_reserve(count),
        }
    }

    /// Keeps the first `rows` rows of `dim` dimensions.
    pub fn truncate(&mut self, rows: usize, dim: usize) {
        let count = rows * self.format().row_len(dim);
        match self {
            Self::Float32(data) => data.truncate(count),
            Self::Float16(data) => data.truncate(count),
            Self::Int8 { codes, scales } => {
                codes.truncate(count);
                scales.iter_mut().for_each(|s| s.truncate(rows));
            }
            Self::Binary(data) => data.truncate(count),
        }
    }

    /// Appends a vector of float32, rounded to this format.
    pub fn push(&mut self, vector: &[f32]) {
        match self {
            Self::Float32(data) => data.extend_from_slice(vector),
            Self::Float16(data) => data.extend(float16(vector)),
            Self::Int8 { codes, scales } => {
                let (row, scale) = scaled_int8(vector);
                codes.extend(row);
                scales.iter_mut().for_each(|s| s.push(scale));
            }
            Self::Binary(data) => data.extend(sign_bits(vector)),
        }
    }

    /// Appends the rows `range` of `from`, which have `dim` dimensions. Rows of another format go through float32,
    /// without their scales. Where int8 rows have scales here and not there, the scale is 1.
    pub fn extend(&mut self, from: RowData<'_>, range: Range<usize>, dim: usize) {
        let rows = from.rows(range.clone(), dim);
        match (&mut *self, rows) {
            (Self::Float32(to), RowData::Float32(from)) => to.extend_from_slice(from),
            (Self::Float16(to), RowData::Float16(from)) => to.extend_from_slice(from),
            (Self::Int8 { codes, scales }, RowData::Int8 { codes: from, scales: factors }) => {
                codes.extend_from_slice(from);
                if let Some(scales) = scales {
                    match factors {
                        Some(factors) => scales.extend_from_slice(factors),
                        None => scales.resize(scales.len() + range.len(), 1.0),
                    }
                }
            }
            (Self::Binary(to), RowData::Binary(from)) => {
                let (width, unused) = (RowFormat::Binary.row_len(dim), (8 - dim % 8) % 8);
                for row in from.chunks_exact(width) {
                    to.extend_from_slice(row);
                    to.iter_mut().next_back().into_iter().for_each(|last| *last &= 0xff << unused);
                }
            }
            (Self::Float32(_) | Self::Float16(_) | Self::Int8 { .. } | Self::Binary(_), _) => {
                let mut vector = Vec::with_capacity(dim);
                for t in range {
                    vector.clear();
                    from.widen_row(t, dim, &mut vector);
                    from.scales().map(|s| s[t]).into_iter().for_each(|s| vector.iter_mut().for_each(|v| *v *= s));
                    self.push(&vector);
                }
            }
        }
    }

    /// Appends whole rows as they are stored, without scales.
    pub fn extend_bytes(&mut self, bytes: &[u8]) {
        match self {
            Self::Float32(to) => to.extend(bytemuck::pod_collect_to_vec::<u8, f32>(bytes)),
            Self::Float16(to) => to.extend(bytemuck::pod_collect_to_vec::<u8, f16>(bytes)),
            Self::Int8 { codes, .. } => codes.extend_from_slice(bytemuck::cast_slice(bytes)),
            Self::Binary(to) => to.extend_from_slice(bytes),
        }
    }

    /// Appends the scales of rows whose codes [`RowBuf::extend_bytes`] appended. Formats without scales ignore them.
    pub fn extend_scales(&mut self, scales: impl IntoIterator<Item = f32>) {
        if let Self::Int8 { scales: Some(own), .. } = self {
            own.extend(scales);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RowBuf, RowFormat};

    #[test]
    fn int8_has_a_scale_a_row_and_is_within_half_of_it() {
        let vectors = vec![0.5, -1.0, 0.25, 0.0, 0.0, 0.0, 1e-30, -3e-30, 2e-30];
        let RowBuf::Int8 { codes, scales: Some(scales) } = RowBuf::from_floats(vectors.clone(), 3, RowFormat::Int8)
        else {
            panic!("not int8 with scales")
        };
        assert_eq!(scales.len(), 3);
        assert_eq!(codes[..6], [64, -127, 32, 0, 0, 0]); // 63.5 and 31.75
        assert_eq!(codes[6..], [42, -127, 85]);
        for (i, v) in vectors.iter().enumerate() {
            let scale = scales[i / 3];
            assert!((f32::from(codes[i]) * scale - v).abs() <= scale * 0.5001, "{i}");
        }
    }
}
