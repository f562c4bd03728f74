//! How weights lie in memory: panels of as many outputs as a tile has, all their inputs side by side, so that a kernel
//! reads them from front to back.

use crate::backend::cpu::simd::Int8;
use crate::error::{Error, Result};
use crate::numbers::{Block, MatrixFormat};

/// Most inputs that share a scale of their activations: sums of so many 16-bit by 8-bit products stay below 2^31.
const MAX_BLOCK: usize = 256;
/// What larger groups are cut into.
const CUT: usize = 128;

/// Where each weight of `[N, K]` matrices lies.
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) format: MatrixFormat,
    /// What multiplies it, if activations are to be rounded to 8 bits: four inputs of an output are side by side then.
    pub(super) int8: Option<Int8>,
    /// The blocks of a row; one for plain numbers.
    pub(super) blocks: Vec<Block>,
    /// Codes that each block has room for: a multiple of as many as lie side by side.
    pub(super) block: usize,
}

/// The blocks of a row of `k` inputs: its groups, the larger ones cut.
pub(super) fn blocks(k: usize, format: MatrixFormat) -> Vec<Block> {
    Block::of_row(k, format, MAX_BLOCK, CUT)
}

impl Layout {
    /// `int8` is for weights that are codes.
    pub(super) fn new(width: usize, [n, k]: [usize; 2], format: MatrixFormat, int8: Option<Int8>) -> Self {
        let blocks = blocks(k, format);
        let longest = blocks.iter().map(|b| b.count).max().unwrap_or(0);
        let mut layout = Self { width, n, k, format, int8, blocks, block: 0 };
        layout.block = longest.next_multiple_of(layout.side());
        layout
    }

    /// Inputs of an output that lie side by side, where weights are codes.
    pub(super) fn side(&self) -> usize {
        if self.int8.is_some() { 4 } else { 2 }
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
                MatrixFormat::Q8 { .. } if self.side() == 4 => self.write_codes::<4>(panel, lane, row),
                MatrixFormat::Q8 { .. } => self.write_codes::<2>(panel, lane, row),
                MatrixFormat::Q4 { .. } => self.write_pairs(bytemuck::cast_slice_mut(panel), lane, row),
            }
        }
    }

    /// Writes a row of codes of 8 bits, of which `SIDE` lie side by side.
    fn write_codes<const SIDE: usize>(&self, panel: &mut [u32], lane: usize, row: &[u8]) {
        let panel: &mut [u8] = bytemuck::cast_slice_mut(panel);
        let flip = if self.int8.is_some_and(Int8::around_zero) { 0x80 } else { 0 };
        for (index, block) in self.blocks.iter().enumerate() {
            let (whole, rest) = row[block.start..][..block.count].as_chunks::<SIDE>();
            let into = panel[index * self.block * self.width..].as_chunks_mut::<SIDE>().0;
            let mut into = into.iter_mut().skip(lane).step_by(self.width);
            for (codes, into) in whole.iter().zip(&mut into) {
                *into = codes.map(|code| code ^ flip);
            }
            for (code, into) in rest.iter().zip(into.next().into_iter().flatten()) {
                *into = code ^ flip;
            }
        }
    }

    /// Writes a row of codes of 4 bits: two of an even and an odd input lie in neighbouring bytes.
    fn write_pairs(&self, panel: &mut [u8], lane: usize, row: &[u8]) {
        for (index, block) in self.blocks.iter().enumerate() {
            for i in (0..block.count).step_by(2) {
                let from = block.start + i;
                let mut pair = row[from / 2];
                if from % 2 == 1 {
                    pair = pair >> 4 | row.get(from / 2 + 1).map_or(0, |next| next << 4);
                }
                if i + 1 == block.count {
                    pair &= 15;
                }
                let (byte, shift) = self.place_of_four_bits(lane, index * self.block + i);
                for (into, code) in panel[byte..][..2].iter_mut().zip([pair & 15, pair >> 4]) {
                    *into = *into & !(15 << shift) | code << shift;
                }
            }
        }
    }

    /// The byte of a panel, and the bit in it, where the code of four bits of an output and an input begins.
    fn place_of_four_bits(&self, lane: usize, input: usize) -> (usize, usize) {
        if self.int8.is_some() {
            // The second half of the outputs is in the high halves of the bytes of the first.
            let half = self.width / 2;
            ((input / 4 * half + lane % half) * 4 + input % 4, lane / half * 4)
        } else {
            // By the 32: 16 codes, then 16 more in the high halves.
            let place = (input / 2 * self.width + lane) * 2 + input % 2;
            (place / 32 * 16 + place % 16, place % 32 / 16 * 4)
        }
    }

    /// Writes the scale and bias of each group of the output `lane` of a panel. Where codes of a byte are taken around zero,
    /// the bias becomes that of those.
    pub(super) fn write_groups(&self, panel: &mut [f32], lane: usize, groups: &[[f32; 2]]) {
        let around_zero = self.int8.is_none_or(Int8::around_zero);
        let shift = if around_zero && matches!(self.format, MatrixFormat::Q8 { .. }) { 128.0 } else { 0.0 };
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
pub(super) fn room<T: bytemuck::Zeroable>(label: &str, count: u64) -> Result<Vec<T>> {
    // Natively these are pages that nobody has touched, which takes no time; they are filled by several threads.
    let made = usize::try_from(count).ok().and_then(|count| bytemuck::try_zeroed_vec(count).ok());
    made.ok_or_else(|| Error::OutOfMemory { message: format!("{label}: {count} times {} bytes", size_of::<T>()) })
}
