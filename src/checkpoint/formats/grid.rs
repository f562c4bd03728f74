//! One number for each block of a matrix: scales, biases, zero points.

use std::ops::Range;

use half::{bf16, f16};

use super::module::Parts;
use crate::numbers::Float;

/// How the numbers of a grid lie. Float (row, group) is at `row / every * row_stride + group * group_stride`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    every: usize,
    row_stride: usize,
    group_stride: usize,
}

impl Spread {
    /// One number for all: `[]` or `[1]`.
    pub(super) const ONE: Self = Self { every: 1, row_stride: 0, group_stride: 0 };
    /// One a row: `[N, 1]`.
    pub(super) const ROWS: Self = Self { every: 1, row_stride: 1, group_stride: 0 };

    /// `groups` a row: `[N, groups]`.
    pub(super) fn groups(groups: u64) -> Self {
        Self::blocks(1, groups)
    }

    /// `groups` for every `rows` rows: `[ceil(N / rows), groups]`.
    pub(super) fn blocks(rows: u64, groups: u64) -> Self {
        Self { every: rows as usize, row_stride: groups as usize, group_stride: 1 }
    }

    /// The transpose, `[groups, N]`, with N `rows`.
    pub(super) fn transposed(rows: u64) -> Self {
        Self { every: 1, row_stride: 1, group_stride: rows as usize }
    }
}

/// What a grid's numbers are stored as.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    Number(Float),
    I8,
}

/// A grid in one part of the matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) part: usize,
    pub(super) cell: Cell,
    pub(super) spread: Spread,
}

impl Grid {
    /// A grid of the numbers that [`super::StoredModule::numbers`] found.
    pub(super) fn of((part, number): (usize, Float), spread: Spread) -> Self {
        Self { part, cell: Cell::Number(number), spread }
    }

    /// The numbers of `rows`, `groups` each, one row after another, where they are floats that lie so: as most do, and quicker
    /// than each for itself.
    pub(super) fn run(&self, parts: &Parts<'_>, rows: &Range<usize>, groups: usize) -> Option<Vec<f32>> {
        let Spread { every, row_stride, group_stride } = self.spread;
        let Cell::Number(number) = self.cell else { return None };
        if every != 1 || row_stride != groups || group_stride != 1 {
            return None;
        }
        let (from, to) = (rows.start * groups * number.bytes(), rows.end * groups * number.bytes());
        let mut numbers = Vec::with_capacity(rows.len() * groups);
        number.widen(parts.bytes[self.part].get(from..to)?, &mut numbers);
        Some(numbers)
    }

    /// The number of a row and group.
    pub(super) fn at(&self, parts: &Parts<'_>, row: usize, group: usize) -> f32 {
        let Spread { every, row_stride, group_stride } = self.spread;
        let index = row / every * row_stride + group * group_stride;
        let bytes = parts.bytes[self.part];
        match self.cell {
            Cell::Number(number) => read(number, bytes, index),
            Cell::I8 => f32::from(bytes[index] as i8),
        }
    }
}

/// Float `index` of little-endian `bytes`. Exact.
pub(super) fn read(number: Float, bytes: &[u8], index: usize) -> f32 {
    let b = &bytes[index * number.bytes()..][..number.bytes()];
    match number {
        Float::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        Float::F16 => f16::from_le_bytes([b[0], b[1]]).to_f32(),
        Float::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
    }
}
