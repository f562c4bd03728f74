//! How weights lie in memory: panels of as many outputs as a tile has, all their inputs side by side, so that a kernel
//! reads them from front to back.

use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// Most inputs that share a scale of their activations: sums of so many 16-bit by 8-bit products stay below 2^31.
const MAX_BLOCK: usize = 256;
/// What larger groups are cut into.
const CUT: usize = 128;

/// Inputs that share a scale, of the weights and of the activations.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) start: usize,
    pub(super) count: usize,
    group: usize,
}

/// Where each weight of `[N, K]` matrices lies.
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) format: MatrixFormat,
    /// The blocks of a row; one for plain numbers.
    pub(super) blocks: Vec<Block>,
    /// Codes that each block has room for, even.
    pub(super) block: usize,
}

/// The blocks of a row of `k` inputs: its groups, the larger ones cut.
pub(super) fn blocks(k: usize, format: MatrixFormat) -> Vec<Block> {
    let group = format.group().map_or(k, |group| k.min(group as usize)).max(1);
    let cut = if group > MAX_BLOCK { CUT } else { group };
    let mut blocks = Vec::new();
    for (index, first) in (0..k).step_by(group).enumerate() {
        let end = k.min(first + group);
        blocks.extend((first..end).step_by(cut).map(|start| Block {
            start,
            count: cut.min(end - start),
            group: index,
        }));
    }
    blocks
}

impl Layout {
    pub(super) fn new(width: usize, n: usize, k: usize, format: MatrixFormat) -> Self {
        let blocks = blocks(k, format);
        let block = blocks.iter().map(|b| b.count).max().unwrap_or(0).next_multiple_of(2);
        Self { width, n, k, format, blocks, block }
    }

    /// Panels of a matrix.
    pub(super) fn panels(&self) -> usize {
        self.n.div_ceil(self.width)
    }

    /// Codes of a panel.
    pub(super) fn codes(&self) -> usize {
        self.blocks.len() * self.block * self.width
    }

    /// 32-bit words of a panel's values.
    pub(super) fn words(&self) -> usize {
        match self.format {
            MatrixFormat::F32 => self.k * self.width,
            MatrixFormat::F16 | MatrixFormat::Bf16 => self.k * self.width / 2,
            MatrixFormat::Q8 { .. } => self.codes() / 4,
            MatrixFormat::Q4 { .. } => self.codes().div_ceil(32) * 4,
        }
    }

    /// Floats of a panel's scales and biases.
    pub(super) fn group_floats(&self) -> usize {
        if self.format.group().is_some() { self.blocks.len() * 2 * self.width } else { 0 }
    }

    /// Writes rows of values to the outputs of a panel from `lane` on.
    pub(super) fn write(&self, panel: &mut [u32], lane: usize, values: &[u8]) {
        let rows = values.chunks_exact(self.format.value_bytes(self.k as u64) as usize);
        let width = self.width;
        for (lane, row) in (lane..).zip(rows) {
            match self.format {
                MatrixFormat::F32 => scatter::<4>(bytemuck::cast_slice_mut(panel), lane, width, row),
                MatrixFormat::F16 | MatrixFormat::Bf16 => {
                    scatter::<2>(bytemuck::cast_slice_mut(panel), lane, width, row)
                }
                MatrixFormat::Q8 { .. } => {
                    let panel: &mut [u8] = bytemuck::cast_slice_mut(panel);
                    for (index, block) in self.blocks.iter().enumerate() {
                        let (pairs, codes) = (index * self.block / 2, &row[block.start..][..block.count]);
                        let into = panel[pairs * 2 * width..].chunks_exact_mut(2 * width);
                        for (codes, into) in codes.chunks(2).zip(into) {
                            into[lane * 2..][..codes.len()].copy_from_slice(codes);
                        }
                    }
                }
                MatrixFormat::Q4 { .. } => {
                    let panel: &mut [u8] = bytemuck::cast_slice_mut(panel);
                    for (index, block) in self.blocks.iter().enumerate() {
                        for i in 0..block.count {
                            let (from, at) = (block.start + i, index * self.block + i);
                            let code = row[from / 2] >> (4 * (from % 2)) & 15;
                            let place = (at / 2 * width + lane) * 2 + at % 2;
                            let byte = &mut panel[place / 32 * 16 + place % 16];
                            let shift = if place % 32 < 16 { 0 } else { 4 };
                            *byte = *byte & !(15 << shift) | code << shift;
                        }
                    }
                }
            }
        }
    }

    /// Writes the scale and bias of each group of the output `lane` of a panel. The bias becomes that of codes around zero.
    pub(super) fn write_groups(&self, panel: &mut [f32], lane: usize, groups: &[[f32; 2]]) {
        let shift = if matches!(self.format, MatrixFormat::Q8 { .. }) { 128.0 } else { 0.0 };
        for (block, into) in self.blocks.iter().zip(panel.chunks_exact_mut(2 * self.width)) {
            let [scale, bias] = groups[block.group];
            into[lane] = scale;
            into[self.width + lane] = bias + shift * scale;
        }
    }
}

/// Elements of `N` bytes of a row, each `width` elements after the one before.
fn scatter<const N: usize>(panel: &mut [u8], lane: usize, width: usize, row: &[u8]) {
    let into = panel.as_chunks_mut::<N>().0.iter_mut().skip(lane).step_by(width);
    for (into, element) in into.zip(row.as_chunks::<N>().0) {
        *into = *element;
    }
}

/// `count` zeros.
///
/// # Errors
/// [`Error::OutOfMemory`] if there is no room; `label` is for that.
pub(super) fn room<T: Clone + Default>(label: &str, count: u64) -> Result<Vec<T>> {
    let no_room = |e: &dyn std::fmt::Display| Error::OutOfMemory { message: format!("{label}: {e}") };
    let count = usize::try_from(count).map_err(|e| no_room(&e))?;
    let mut all = Vec::new();
    all.try_reserve_exact(count).map_err(|e| no_room(&e))?;
    all.resize(count, T::default());
    Ok(all)
}
