//! Token vectors as the scorer takes them, borrowed.

use half::f16;

use super::ragged::Ragged;
use crate::error::{Error, Result};
use crate::numbers::{RowData, RowFormat};

/// Most dimensions of a token vector. No model comes near; the kernels' loops are bounded by it.
pub const MAX_DIM: usize = 65_536;

/// The token vectors of several items (queries or documents), end to end without padding: those of item `i` are the
/// rows `offsets[i]..offsets[i + 1]`.
#[derive(Clone, Copy, Debug)]
pub struct TokenVectors<'a> {
    /// `T` rows.
    pub data: RowData<'a>,
    /// `[items + 1]`: starts with 0, never falls, ends with T.
    pub offsets: &'a [u64],
    /// D, dimensions of a vector: 1 to [`MAX_DIM`].
    pub dim: usize,
}

impl<'a> TokenVectors<'a> {
    /// How many queries or documents these are.
    pub fn items(&self) -> usize {
        self.ragged().items()
    }

    /// T, tokens of all items.
    pub fn count(&self) -> usize {
        self.ragged().count()
    }

    pub(super) fn ragged(&self) -> Ragged<'a> {
        Ragged(self.offsets)
    }

    /// The rows of item `i`.
    pub(crate) fn rows(&self, i: usize) -> std::ops::Range<usize> {
        self.ragged().rows(i)
    }

    /// Checks shapes and numbers; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field and index: offsets that do not start with 0, fall, or do not end
    /// with the number of rows; data of another size; a number that is not finite.
    pub fn check(&self, name: &str) -> Result<[f64; 2]> {
        let refuse = |field: &str, message: String| Err(Error::argument(format!("{name}{field}"), message));
        if !(1..=MAX_DIM).contains(&self.dim) {
            return refuse(".dim", format!("{}, allowed are 1 to {MAX_DIM}", self.dim));
        }
        let end = self.ragged().check(name)?;
        let len = self.data.len();
        let row = self.format().row_len(self.dim);
        if u64::try_from(row).ok().and_then(|row| end.checked_mul(row)) != Some(len as u64) {
            let shape = format!("the offsets end with {end} rows of {row}");
            return refuse(".data", format!("has {len} numbers, {shape}"));
        }
        if let RowData::Int8 { scales: Some(scales), .. } = self.data {
            if scales.len() as u64 != end {
                return refuse(
                    ".scales",
                    format!("has {} numbers, allowed is one for each of {end} tokens", scales.len()),
                );
            }
            if let Some(i) = scales.iter().position(|s| !s.is_finite()) {
                return refuse(&format!(".scales[{i}]"), format!("{}, allowed are finite numbers", scales[i]));
            }
        }
        // Finding out whether there is one is much quicker than looking for it.
        let peaks = self.peaks();
        let bad = match self.data {
            _ if peaks[0].is_finite() => None,
            RowData::Float32(data) => data.iter().position(|v| !v.is_finite()).map(|i| (i, data[i])),
            RowData::Float16(data) => data.iter().position(|v| !v.is_finite()).map(|i| (i, data[i].to_f32())),
            RowData::Int8 { .. } | RowData::Binary(_) => None,
        };
        let Some((at, value)) = bad else { return Ok(peaks) };
        let (token, dimension) = (at / self.dim, at % self.dim);
        let item = self.ragged().item_of(token);
        let token = token as u64 - self.offsets[item];
        refuse(
            &format!("[{item}]"),
            format!("token {token} has {value} in dimension {dimension}, allowed are finite numbers"),
        )
    }

    /// Vector `t`, appended to `into`: exact, but that a product with a scale or a factor of `normalize` is rounded.
    pub(crate) fn widen(&self, t: usize, normalize: bool, into: &mut Vec<f32>) {
        let start = into.len();
        self.data.widen_row(t, self.dim, into);
        if let Some(factor) = self.factor(t, normalize) {
            into[start..].iter_mut().for_each(|v| *v *= factor);
        }
    }

    /// The largest absolute number of a vector, or more.
    pub fn peak(&self) -> f64 {
        let [number, factor] = self.peaks();
        number * factor
    }

    /// Largest absolute number that is stored, infinite if one is not finite, and largest factor it comes with.
    pub(super) fn peaks(&self) -> [f64; 2] {
        match self.data {
            RowData::Float32(data) => [highest(data), 1.0],
            RowData::Float16(data) => {
                let bits = data.iter().fold(0, |m: i16, v| m.max((v.to_bits() & 0x7fff) as i16));
                [f16::from_bits(bits as u16).to_f64(), 1.0]
            }
            RowData::Int8 { scales, .. } => [128.0, scales.map_or(1.0, highest)],
            RowData::Binary(_) => [1.0, 1.0],
        }
    }

    /// The vectors `first..first + count` as items of one vector each, whose `offsets` are `[0, 1, .., count]`.
    pub(crate) fn apart(self, first: usize, offsets: &'a [u64]) -> Self {
        let data = self.data.rows(first..first + offsets.len() - 1, self.dim);
        Self { data, offsets, dim: self.dim }
    }

    /// The factor that row `t` as it is stored is to be multiplied with: its scale, or with `normalize` whatever gives
    /// the vector unit length, and 0 for a vector of zeros (or of a length below 2^-126, which GPUs may take for zero).
    /// `None` where every factor is 1.
    pub(crate) fn factor(&self, t: usize, normalize: bool) -> Option<f32> {
        let scale = self.data.scales().map(|scales| scales[t]);
        if !normalize {
            return scale;
        }
        let square = |v: f64| v * v;
        let length = match self.data.rows(t..t + 1, self.dim) {
            RowData::Float32(data) => data.iter().map(|&v| square(v.into())).sum::<f64>().sqrt(),
            RowData::Float16(data) => data.iter().map(|v| square(v.to_f64())).sum::<f64>().sqrt(),
            RowData::Int8 { codes, .. } => codes.iter().map(|&v| square(v.into())).sum::<f64>().sqrt(),
            RowData::Binary(_) => (self.dim as f64).sqrt(),
        };
        // The size of a scale cancels out; its sign turns the vector around, and 0 makes it nothing.
        let sign = scale.map_or(1.0, |s| if s == 0.0 { 0.0 } else { f64::from(s.signum()) });
        Some(if length < f64::from(f32::MIN_POSITIVE) { 0.0 } else { (sign / length) as f32 })
    }
}

impl TokenVectors<'_> {
    /// What the rows are made of.
    pub fn format(&self) -> RowFormat {
        self.data.format()
    }

    /// Whether any token has a factor.
    pub(super) fn factor_of_any(&self, normalize: bool) -> bool {
        normalize || self.data.scales().is_some()
    }
}
/// Numbers from which on [`highest`] is worth several threads.
#[cfg(not(target_arch = "wasm32"))]
const MANY: usize = 1 << 22;

/// The largest magnitude of some floats; infinite if one is not finite. By several threads, because this reads everything that
/// is scored, which one of them does at half the speed of memory.
#[cfg(not(target_arch = "wasm32"))]
fn highest(values: &[f32]) -> f64 {
    let threads =
        if values.len() < MANY { 1 } else { std::thread::available_parallelism().map_or(1, usize::from).min(4) };
    std::thread::scope(|scope| {
        let mut parts = values.chunks(values.len().div_ceil(threads).max(1));
        let own = parts.next().unwrap_or_default();
        let others: Vec<_> =
            parts.map(|part| (part, std::thread::Builder::new().spawn_scoped(scope, || highest_of(part)))).collect();
        let others = others
            .into_iter()
            .map(|(part, thread)| thread.ok().and_then(|t| t.join().ok()).unwrap_or_else(|| highest_of(part)));
        others.fold(highest_of(own), f64::max)
    })
}

#[cfg(target_arch = "wasm32")]
use highest_of as highest;

/// The same by one thread, in lanes.
fn highest_of(values: &[f32]) -> f64 {
    const LANES: usize = 16;
    const EXPONENT: u32 = 0x7f80_0000;
    let (mut most, mut faults) = ([0.0f32; LANES], [0u32; LANES]);
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for i in 0..LANES {
            let magnitude = values[i].abs();
            most[i] = if magnitude > most[i] { magnitude } else { most[i] };
            faults[i] |= u32::from(values[i].to_bits() & EXPONENT == EXPONENT);
        }
    }
    let rest_faults = rest.iter().any(|v| !v.is_finite());
    if rest_faults || faults.iter().any(|&fault| fault != 0) {
        return f64::INFINITY;
    }
    f64::from(most.iter().chain(rest).fold(0.0, |most: f32, v| most.max(v.abs())))
}
