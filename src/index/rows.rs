//! Rows as they are kept: what vectors of any format are turned into.

use std::ops::Range;

use super::{IndexKind, IndexOptions};
use crate::error::{Error, Result};
use crate::maxsim::TokenVectors;
use crate::numbers::{RowBuf, RowData, RowFormat};

/// Largest number of a late row or query: products of such numbers, and sums of them, stay far within float32.
pub(super) const MAX_NUMBER: f32 = 1e12;

/// What is kept of each vector.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexLayout {
    /// Rows are compared by cosine. Those of floats are of unit length, or zero.
    pub(super) dense: bool,
    pub(super) rows: RowLayout,
    /// A bit a dimension beside the numbers.
    pub(super) signs: Option<RowLayout>,
}

/// How the rows of one of the two lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowLayout {
    pub(super) format: RowFormat,
    pub(super) dim: usize,
    /// Rows have a scale each.
    pub(super) scaled: bool,
}

impl IndexLayout {
    pub(super) fn new(options: &IndexOptions) -> Self {
        let (dense, dim) = (options.kind == IndexKind::Dense, options.dim);
        let format = match options.rows {
            // The codes score what the signs, beside them, leave over.
            RowFormat::Binary if dense => RowFormat::Int8,
            RowFormat::Float32 | RowFormat::Float16 | RowFormat::Int8 | RowFormat::Binary => options.rows,
        };
        let rows = RowLayout { format, dim, scaled: format == RowFormat::Int8 && !dense };
        let signs = options.first_pass || dense && options.rows == RowFormat::Binary;
        let signs = signs.then_some(RowLayout { format: RowFormat::Binary, dim, scaled: false });
        Self { dense, rows, signs }
    }
}

impl RowLayout {
    /// Bytes of a row in host memory and in a file, without its scale.
    pub(super) fn row_bytes(&self) -> usize {
        self.format.row_bytes(self.dim as u32) as usize
    }

    /// Bytes of a row on a device.
    pub(super) fn padded_bytes(&self) -> usize {
        self.format.padded_bytes(self.dim as u32) as usize
    }

    /// No rows of this kind, in host memory.
    pub(super) fn empty(&self) -> HostRows {
        HostRows { rows: RowBuf::new(self.format, self.scaled), dim: self.dim }
    }
}

/// Rows in host memory.
#[derive(Clone, Debug)]
pub(super) struct HostRows {
    pub(super) rows: RowBuf,
    dim: usize,
}

impl HostRows {
    pub(super) fn len(&self) -> usize {
        let data = self.rows.as_data();
        data.len() / data.format().row_len(self.dim)
    }

    /// Bytes that are taken, or reserved for more.
    pub(super) fn memory(&self) -> u64 {
        self.rows.capacity_bytes() as u64
    }

    /// Makes room for `rows` more.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn reserve(&mut self, rows: usize) -> Result<()> {
        self.rows.try_reserve(rows, self.dim).map_err(|e| no_room(rows, &e))
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows, self.dim);
    }

    /// Appends the rows `range` of `from`, which has the same layout.
    pub(super) fn append(&mut self, from: &Self, range: Range<usize>) {
        self.rows.extend(from.rows.as_data(), range, self.dim);
    }

    /// Rows as they are stored.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.rows.as_data().rows(range, self.dim).bytes()
    }

    /// Scales of the rows; empty where rows have none.
    pub(super) fn scales(&self) -> &[f32] {
        self.rows.as_data().scales().unwrap_or_default()
    }

    /// The rows `range`, as items that end at `offsets`.
    pub(super) fn tokens<'a>(&'a self, range: Range<usize>, offsets: &'a [u64]) -> TokenVectors<'a> {
        TokenVectors { data: self.rows.as_data().rows(range, self.dim), offsets, dim: self.dim }
    }

    /// The codes of rows that are such; none of others.
    pub(super) fn codes(&self, range: Range<usize>) -> &[i8] {
        match self.rows.as_data().rows(range, self.dim) {
            RowData::Int8 { codes, .. } => codes,
            RowData::Float32(_) | RowData::Float16(_) | RowData::Binary(_) => &[],
        }
    }

    /// Appends row `t` of `tokens`, rounded to the format of these rows. Rows of a dense index lose their scale, which a
    /// cosine does not depend on, and floats are brought to unit length; `vector` is for use in between.
    fn push(&mut self, layout: &IndexLayout, tokens: &TokenVectors<'_>, t: usize, vector: &mut Vec<f32>) {
        let floats = matches!(self.rows, RowBuf::Float32(_));
        if layout.dense && floats {
            vector.clear();
            tokens.data.widen_row(t, self.dim, vector);
            self.rows.push(&unit(vector));
        } else {
            self.rows.extend(tokens.data, t..t + 1, self.dim);
        }
    }

    /// The first row with a number that is not finite, or is larger than [`MAX_NUMBER`].
    fn first_too_large(&self) -> Option<usize> {
        let too_large = |v: f32| !v.is_finite() || v.abs() > MAX_NUMBER;
        match self.rows.as_data() {
            RowData::Float32(n) => n.iter().position(|&v| too_large(v)).map(|at| at / self.dim),
            RowData::Float16(n) => n.iter().position(|v| !v.is_finite()).map(|at| at / self.dim),
            RowData::Int8 { scales, .. } => scales.and_then(|s| s.iter().position(|&s| too_large(s * 128.0))),
            RowData::Binary(_) => None,
        }
    }
}

/// Rows of some items, ready to be kept.
#[derive(Debug)]
pub(super) struct RowBatch {
    pub(super) rows: HostRows,
    /// Where the layout has them.
    pub(super) signs: Option<HostRows>,
    /// `[rows]`, the sum of the squares of a row's codes, where cosines are made from codes; else none.
    pub(super) squares: Vec<u32>,
}

impl RowBatch {
    /// Rows that are in their format already, with late rows' signs where the layout has them. Fails with the row that has
    /// a number which is not allowed.
    pub(super) fn new(layout: &IndexLayout, rows: HostRows, signs: Option<HostRows>) -> Result<Self, usize> {
        if let Some(row) = rows.first_too_large() {
            return Err(row);
        }
        let codes = || rows.codes(0..rows.len()).chunks_exact(layout.rows.dim);
        let of_codes = |layout: &RowLayout| {
            let mut signs = layout.empty();
            codes().for_each(|row| signs.rows.extend_bytes(&signs_of(row)));
            signs
        };
        let signs = if layout.dense { layout.signs.as_ref().map(of_codes) } else { signs };
        let squares = if layout.dense { codes().map(squares_of).collect() } else { Vec::new() };
        Ok(Self { rows, signs, squares })
    }

    /// The rows `range` of `tokens`, which have been checked. `refuse` is told the row, counted from the range's first,
    /// that has a number which is not allowed, and says what to call it.
    ///
    /// # Errors
    /// What `refuse` says; [`Error::OutOfMemory`].
    pub(super) fn of(
        layout: &IndexLayout,
        tokens: &TokenVectors<'_>,
        range: Range<usize>,
        refuse: impl FnOnce(usize) -> Error,
    ) -> Result<Self> {
        let mut rows = layout.rows.empty();
        rows.reserve(range.len())?;
        let mut signs = layout.signs.as_ref().filter(|_| !layout.dense).map(RowLayout::empty);
        let mut vector = Vec::new();
        for t in range {
            rows.push(layout, tokens, t, &mut vector);
            if let Some(signs) = &mut signs {
                signs.push(layout, tokens, t, &mut vector);
            }
        }
        Self::new(layout, rows, signs).map_err(refuse)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// At unit length, or zeros.
fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(|&v| if length > 0.0 { (f64::from(v) / length) as f32 } else { 0.0 }).collect()
}

/// The bits `code >= 0`, the first in the highest bit.
fn signs_of(codes: &[i8]) -> Vec<u8> {
    let byte = |eight: &[i8]| eight.iter().zip(0..).map(|(&c, i)| u8::from(c >= 0) << (7 - i)).sum();
    codes.chunks(8).map(byte).collect()
}

fn squares_of(codes: &[i8]) -> u32 {
    codes.iter().map(|&c| u32::from(c.unsigned_abs()).pow(2)).sum()
}

pub(super) fn no_room(rows: usize, reason: &dyn std::fmt::Display) -> Error {
    Error::OutOfMemory { message: format!("{rows} rows in host memory: {reason}") }
}
