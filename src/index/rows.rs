//! Rows as they are kept: what vectors of any form are turned into.

use std::ops::Range;

use half::f16;

use super::{IndexOptions, Kind, RowType};
use crate::cpu;
use crate::error::{Error, Result};
use crate::gpu::TokenForm;
use crate::maxsim::{TokenData, Tokens};

/// Largest number of a late row or query: products of such numbers, and sums of them, stay far within float32.
pub(super) const LARGEST: f32 = 1e12;

/// What is kept of each row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Rows are compared by cosine. Those of floats are of unit length, or zero.
    pub(super) dense: bool,
    pub(super) rows: Stream,
    /// A bit a dimension beside the numbers.
    pub(super) signs: Option<Stream>,
}

/// Rows of one form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) form: Form,
    pub(super) dim: usize,
    /// Rows have a scale each.
    pub(super) scaled: bool,
    dense: bool,
}

/// The numbers of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    F32,
    F16,
    I8,
    B1,
}

impl Layout {
    pub(super) fn new(options: &IndexOptions) -> Self {
        let dense = options.kind == Kind::Dense;
        let form = match options.rows {
            RowType::Float32 => Form::F32,
            RowType::Float16 => Form::F16,
            RowType::Int8 => Form::I8,
            RowType::Binary if dense => Form::I8,
            RowType::Binary => Form::B1,
        };
        let rows = Stream { form, dim: options.dim, scaled: form == Form::I8 && !dense, dense };
        let signs = options.first_pass || dense && options.rows == RowType::Binary;
        Self { dense, rows, signs: signs.then_some(Stream { form: Form::B1, scaled: false, ..rows }) }
    }
}

impl Stream {
    /// Bytes of a row in host memory and in a file, without its scale.
    pub(super) fn row_bytes(&self) -> usize {
        match self.form {
            Form::F32 => self.dim * 4,
            Form::F16 => self.dim * 2,
            Form::I8 => self.dim,
            Form::B1 => self.dim.div_ceil(8),
        }
    }

    /// Bytes of a row on the device: padded with zeros to what the kernels read at a time.
    pub(super) fn stride(&self) -> usize {
        if self.dense {
            return self.row_bytes().next_multiple_of(16);
        }
        self.token_form().row_bytes(self.dim as u32) as usize
    }

    /// What the kernels of MaxSim call it.
    pub(super) fn token_form(&self) -> TokenForm {
        match self.form {
            Form::F32 => TokenForm::F32,
            Form::F16 => TokenForm::F16,
            Form::I8 => TokenForm::I8,
            Form::B1 => TokenForm::B1,
        }
    }
}

/// Rows, in host memory.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    numbers: Numbers,
    /// `[rows]` where the layout has scales.
    pub(super) scales: Vec<f32>,
    dim: usize,
}

#[derive(Clone, Debug)]
enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
    I8(Vec<i8>),
    B1(Vec<u8>),
}

impl Rows {
    pub(super) fn new(stream: &Stream) -> Self {
        let numbers = match stream.form {
            Form::F32 => Numbers::F32(Vec::new()),
            Form::F16 => Numbers::F16(Vec::new()),
            Form::I8 => Numbers::I8(Vec::new()),
            Form::B1 => Numbers::B1(Vec::new()),
        };
        Self { numbers, scales: Vec::new(), dim: stream.dim }
    }

    fn width(&self) -> usize {
        if matches!(self.numbers, Numbers::B1(_)) { self.dim.div_ceil(8) } else { self.dim }
    }

    pub(super) fn len(&self) -> usize {
        let numbers = match &self.numbers {
            Numbers::F32(n) => n.len(),
            Numbers::F16(n) => n.len(),
            Numbers::I8(n) => n.len(),
            Numbers::B1(n) => n.len(),
        };
        numbers / self.width()
    }

    /// Bytes that are taken, or kept for more.
    pub(super) fn memory(&self) -> u64 {
        let numbers = match &self.numbers {
            Numbers::F32(n) => n.capacity() * 4,
            Numbers::F16(n) => n.capacity() * 2,
            Numbers::I8(n) => n.capacity(),
            Numbers::B1(n) => n.capacity(),
        };
        (numbers + self.scales.capacity() * 4) as u64
    }

    /// Makes room for `rows` more.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(super) fn reserve(&mut self, rows: usize) -> Result<()> {
        let count = rows.saturating_mul(self.width());
        let room = match &mut self.numbers {
            Numbers::F32(n) => n.try_reserve(count),
            Numbers::F16(n) => n.try_reserve(count),
            Numbers::I8(n) => n.try_reserve(count),
            Numbers::B1(n) => n.try_reserve(count),
        };
        room.and_then(|()| self.scales.try_reserve(rows)).map_err(|e| no_room(rows, &e))
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        let count = rows * self.width();
        match &mut self.numbers {
            Numbers::F32(n) => n.truncate(count),
            Numbers::F16(n) => n.truncate(count),
            Numbers::I8(n) => n.truncate(count),
            Numbers::B1(n) => n.truncate(count),
        }
        self.scales.truncate(rows);
    }

    /// Appends the rows `range` of `from`, which has the same layout.
    pub(super) fn append(&mut self, from: &Self, range: Range<usize>) {
        let numbers = range.start * self.width()..range.end * self.width();
        match (&mut self.numbers, &from.numbers) {
            (Numbers::F32(to), Numbers::F32(from)) => to.extend_from_slice(&from[numbers]),
            (Numbers::F16(to), Numbers::F16(from)) => to.extend_from_slice(&from[numbers]),
            (Numbers::I8(to), Numbers::I8(from)) => to.extend_from_slice(&from[numbers]),
            (Numbers::B1(to), Numbers::B1(from)) => to.extend_from_slice(&from[numbers]),
            _ => {}
        }
        if !from.scales.is_empty() {
            self.scales.extend_from_slice(&from.scales[range]);
        }
    }

    /// Appends rows that are stored as `bytes`, whole ones.
    pub(super) fn append_bytes(&mut self, bytes: &[u8]) {
        match &mut self.numbers {
            Numbers::F32(to) => to.extend(bytemuck::pod_collect_to_vec::<u8, f32>(bytes)),
            Numbers::F16(to) => to.extend(bytemuck::pod_collect_to_vec::<u8, f16>(bytes)),
            Numbers::I8(to) => to.extend_from_slice(bytemuck::cast_slice(bytes)),
            Numbers::B1(to) => to.extend_from_slice(bytes),
        }
    }

    /// Rows as they are stored.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        let numbers = range.start * self.width()..range.end * self.width();
        match &self.numbers {
            Numbers::F32(n) => bytemuck::cast_slice(&n[numbers]),
            Numbers::F16(n) => bytemuck::cast_slice(&n[numbers]),
            Numbers::I8(n) => bytemuck::cast_slice(&n[numbers]),
            Numbers::B1(n) => &n[numbers],
        }
    }

    /// The rows `range`, as items that end at `offsets`.
    pub(super) fn tokens<'a>(&'a self, range: Range<usize>, offsets: &'a [u64]) -> Tokens<'a> {
        let numbers = range.start * self.width()..range.end * self.width();
        let data = match &self.numbers {
            Numbers::F32(n) => TokenData::Float32(&n[numbers]),
            Numbers::F16(n) => TokenData::Float16(&n[numbers]),
            Numbers::I8(n) => {
                let scales = (!self.scales.is_empty()).then(|| &self.scales[range]);
                TokenData::Int8 { codes: &n[numbers], scales }
            }
            Numbers::B1(n) => TokenData::Binary(&n[numbers]),
        };
        Tokens { data, offsets, dim: self.dim }
    }

    /// The codes of rows that are such; none of others.
    pub(super) fn codes(&self, range: Range<usize>) -> &[i8] {
        match &self.numbers {
            Numbers::I8(n) => &n[range.start * self.dim..range.end * self.dim],
            _ => &[],
        }
    }

    /// The numbers of float32 rows; none of others.
    pub(super) fn floats(&self, range: Range<usize>) -> &[f32] {
        match &self.numbers {
            Numbers::F32(n) => &n[range.start * self.dim..range.end * self.dim],
            _ => &[],
        }
    }

    /// Appends row `t` of `tokens` in the form of these rows; `vector` is for use in between.
    fn push(&mut self, layout: &Layout, tokens: &Tokens<'_>, t: usize, vector: &mut Vec<f32>) {
        let row = t * tokens.row_len()..(t + 1) * tokens.row_len();
        match (&mut self.numbers, tokens.data) {
            (Numbers::F32(to), TokenData::Float32(data)) if !layout.dense => return to.extend_from_slice(&data[row]),
            (Numbers::F16(to), TokenData::Float16(data)) => return to.extend_from_slice(&data[row]),
            (Numbers::B1(to), TokenData::Binary(data)) => return to.extend(masked(&data[row], self.dim)),
            (Numbers::I8(to), TokenData::Int8 { codes, scales }) => {
                to.extend_from_slice(&codes[row]);
                if layout.rows.scaled {
                    self.scales.push(scales.map_or(1.0, |s| s[t]));
                }
                return;
            }
            _ => {}
        }
        vector.clear();
        tokens.widen(t, false, vector);
        match &mut self.numbers {
            Numbers::F32(to) if layout.dense => to.extend(unit(vector)),
            Numbers::F32(to) => to.extend_from_slice(vector),
            Numbers::F16(to) => to.extend(cpu::float16(vector)),
            Numbers::B1(to) => to.extend(cpu::pack_bits(vector)),
            Numbers::I8(to) => {
                let (codes, scale) = cpu::scaled_int8(vector);
                to.extend(codes);
                if layout.rows.scaled {
                    self.scales.push(scale);
                }
            }
        }
    }

    /// The first row with a number that is not finite, or is larger than [`LARGEST`].
    fn first_too_large(&self) -> Option<usize> {
        let too_large = |v: f32| !v.is_finite() || v.abs() > LARGEST;
        let at = match &self.numbers {
            Numbers::F32(n) => n.iter().position(|&v| too_large(v)),
            Numbers::F16(n) => n.iter().position(|v| !v.is_finite()),
            Numbers::I8(_) => return self.scales.iter().position(|&s| too_large(s * 128.0)),
            Numbers::B1(_) => None,
        };
        at.map(|at| at / self.width())
    }
}

/// Rows of some items, ready to be kept.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Rows,
    /// Where the layout has them.
    pub(super) signs: Option<Rows>,
    /// `[rows]`, the sum of the squares of a row's codes, where cosines are made from codes; else none.
    pub(super) squares: Vec<u32>,
}

impl Batch {
    /// Rows that are in their form already, with late rows' signs where the layout has them. The row is given that has a
    /// number which is not allowed.
    pub(super) fn new(layout: &Layout, rows: Rows, signs: Option<Rows>) -> Result<Self, usize> {
        if let Some(row) = rows.first_too_large() {
            return Err(row);
        }
        let codes = || rows.codes(0..rows.len()).chunks_exact(layout.rows.dim);
        let of_codes = |stream: &Stream| {
            let mut signs = Rows::new(stream);
            codes().for_each(|row| signs.append_bytes(&signs_of(row)));
            signs
        };
        let signs = if layout.dense { layout.signs.as_ref().map(of_codes) } else { signs };
        let squares = if layout.dense { codes().map(squares_of).collect() } else { Vec::new() };
        Ok(Self { rows, signs, squares })
    }

    /// The rows `range` of `tokens`, which have been checked. `refuse` hears of the row, counted from the range's first,
    /// that has a number which is not allowed, and says what to call it.
    ///
    /// # Errors
    /// What `refuse` says; [`Error::OutOfMemory`].
    pub(super) fn of(
        layout: &Layout,
        tokens: &Tokens<'_>,
        range: Range<usize>,
        refuse: impl FnOnce(usize) -> Error,
    ) -> Result<Self> {
        let mut rows = Rows::new(&layout.rows);
        rows.reserve(range.len())?;
        let mut signs = layout.signs.as_ref().filter(|_| !layout.dense).map(Rows::new);
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

/// Bits, those past `dim` zeros.
fn masked(bits: &[u8], dim: usize) -> impl Iterator<Item = u8> {
    let last = dim.div_ceil(8) - 1;
    (0..).zip(bits).map(move |(i, &byte)| if i == last { byte & 0xff << ((8 - dim % 8) % 8) } else { byte })
}

/// At unit length, or zeros.
fn unit(vector: &[f32]) -> impl Iterator<Item = f32> {
    let length = vector.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    vector.iter().map(move |&v| if length > 0.0 { (f64::from(v) / length) as f32 } else { 0.0 })
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
