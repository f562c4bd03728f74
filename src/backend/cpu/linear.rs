//! Linear layers: `matmul` and `swiglu`. A row of weights is widened to f32 once for all tokens.

use std::sync::{PoisonError, RwLock};

use super::CpuRun;
use super::buffer::{CpuBuffer, floats, floats_mut};
use super::dot::{dot, dot4};
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// One weight matrix `[N, K]` or two alike, in the format they came in.
pub struct CpuWeight {
    n: usize,
    k: usize,
    matrices: usize,
    format: MatrixFormat,
    rows: RwLock<WeightRows>,
}

struct WeightRows {
    /// `[matrices, N]` rows of [`MatrixFormat::value_bytes`].
    values: Vec<u8>,
    /// `[matrices, N, G]`
    groups: Vec<[f32; 2]>,
}

/// What becomes of the products of a token with the rows of a weight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MatmulStore {
    /// Stored from this row of `y` on.
    At(u32),
    /// Added to `y`.
    Add,
    /// Of a pair: `silu(first) * second`.
    Swiglu,
}

impl CpuWeight {
    /// See [`crate::backend::Backend::weight`].
    pub fn zeros(label: &str, [matrices, n, k]: [u32; 3], format: MatrixFormat) -> Result<Self> {
        let whole = format.group() != Some(0) && k.is_multiple_of(32 / format.bits());
        if !whole {
            let what = format!("{label} with K = {k} as {}", format.name());
            return Err(Error::unsupported(what, "rows are whole words, in groups of one or more"));
        }
        let rows = u64::from(matrices) * u64::from(n);
        let no_room = |e: &dyn std::fmt::Display| Error::OutOfMemory { message: format!("{label}: {e}") };
        let size = |count: u64| usize::try_from(count).map_err(|e| no_room(&e));
        let (values, groups) = (size(rows * format.value_bytes(k.into()))?, size(rows * format.row_groups(k.into()))?);
        let mut held = WeightRows { values: Vec::new(), groups: Vec::new() };
        held.values.try_reserve_exact(values).map_err(|e| no_room(&e))?;
        held.groups.try_reserve_exact(groups).map_err(|e| no_room(&e))?;
        held.values.resize(values, 0);
        held.groups.resize(groups, [0.0; 2]);
        let (n, k, matrices) = (n as usize, k as usize, matrices as usize);
        Ok(Self { n, k, matrices, format, rows: RwLock::new(held) })
    }

    /// How the weights are held.
    pub fn format(&self) -> MatrixFormat {
        self.format
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> u64 {
        (self.matrices * self.n) as u64 * self.format.row_bytes(self.k as u64)
    }

    /// See [`crate::backend::Weight::write`].
    pub fn write(&self, matrix: usize, row: u32, values: &[u8]) {
        let width = self.format.value_bytes(self.k as u64) as usize;
        let mut held = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        copy_rows(&mut held.values, values, width, self.n, matrix, row);
    }

    /// See [`crate::backend::Weight::write_groups`].
    pub fn write_groups(&self, matrix: usize, row: u32, groups: &[[f32; 2]]) {
        let width = self.format.row_groups(self.k as u64) as usize;
        let mut held = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        copy_rows(&mut held.groups, groups, width, self.n, matrix, row);
    }
}

/// Copies rows of `width` elements to row `row` and on of a matrix of `n`; those beyond it are ignored.
fn copy_rows<T: Copy>(to: &mut [T], from: &[T], width: usize, n: usize, matrix: usize, row: u32) {
    let start = (row as usize).min(n) * width;
    let count = from.len().min(n * width - start);
    to[matrix * n * width + start..][..count].copy_from_slice(&from[..count]);
}

/// `g / (1 + exp(-g))`
fn silu(g: f32) -> f32 {
    g / (1.0 + (-g).exp())
}

/// The products of one row of weights `w` with every row of `x`.
fn products(w: &[f32], x: &[f32], into: &mut Vec<f32>) {
    into.clear();
    let mut rows = x.chunks_exact(w.len() * 4);
    for four in &mut rows {
        let (a, b) = four.split_at(w.len() * 2);
        let ((a, b), (c, d)) = (a.split_at(w.len()), b.split_at(w.len()));
        into.extend(dot4(w, [a, b, c, d]));
    }
    into.extend(rows.remainder().chunks_exact(w.len()).map(|row| dot(row, w)));
}

impl CpuRun<'_> {
    /// See [`crate::backend::Run::matmul`], [`crate::backend::Run::matmul_add`] and [`crate::backend::Run::swiglu`].
    pub fn matmul(&mut self, x: &CpuBuffer, w: &CpuWeight, y: &CpuBuffer, rows: u32, store: MatmulStore) -> Result<()> {
        let matrices = if store == MatmulStore::Swiglu { 2 } else { 1 };
        if w.matrices != matrices {
            let message = format!("{matrices} matrices are read, the weight has {}", w.matrices);
            return Err(Error::Gpu { message });
        }
        let (x, mut y) = (x.words(), y.words_mut());
        let (x, y) = (&floats(&x)[..rows as usize * w.k], floats_mut(&mut y));
        let held = w.rows.read().unwrap_or_else(PoisonError::into_inner);
        let (width, groups) = (w.format.value_bytes(w.k as u64) as usize, w.format.row_groups(w.k as u64) as usize);
        let (mut wide, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
        let mut of_row = |row: usize, into: &mut Vec<f32>| {
            wide.clear();
            let (values, pairs) = (&held.values[row * width..][..width], &held.groups[row * groups..][..groups]);
            w.format.widen_row(values, pairs, w.k, &mut wide);
            products(&wide, x, into);
        };
        for n in 0..w.n {
            of_row(n, &mut first);
            match store {
                MatmulStore::At(row) => first.iter().zip(row as usize..).for_each(|(v, t)| y[t * w.n + n] = *v),
                MatmulStore::Add => first.iter().enumerate().for_each(|(t, v)| y[t * w.n + n] += v),
                MatmulStore::Swiglu => {
                    of_row(w.n + n, &mut second);
                    let pairs = first.iter().zip(&second).enumerate();
                    pairs.for_each(|(t, (g, u))| y[t * w.n + n] = silu(*g) * u);
                }
            }
        }
        Ok(())
    }
}
