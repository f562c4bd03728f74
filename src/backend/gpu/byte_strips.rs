//! Weights in strips as `shaders/int8.wgsl` reads them: codes for packed dot products, block by block.
//!
//! A strip is 64 rows of a matrix `[N, K]`, `[blocks][words of a block][64 rows]`. A word is four codes of K, low byte first, of 8
//! bits around zero; of four bits, it is eight: the first four in the low halves of its bytes. A block is a group, or 64 inputs of a
//! larger one, padded to 16, 32 or 64 with what activations of 0 are multiplied by. Scales and biases are those of blocks, as
//! `strips::pack_groups` orders them.

use super::strips::{ROWS, pack_groups as pack_pairs};
use crate::numbers::{Block, MatrixFormat};

/// Most inputs of a block: a step of the kernels.
const BLOCK: usize = 64;
/// The largest code of an activation.
pub(super) const LEVELS: f32 = 127.0;

/// The blocks of a row of `k` inputs, which activations are rounded in, too.
#[inline(never)]
pub(super) fn blocks(format: MatrixFormat, k: u32) -> Vec<Block> {
    Block::of_row(k as usize, format, BLOCK, BLOCK)
}

/// As the shaders count: blocks of a row, vec4s of words that each has room for, inputs of a group, and of a whole block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) blocks: u32,
    pub(super) span: u32,
    pub(super) group: u32,
    pub(super) block: u32,
}

impl Shape {
    pub(super) fn new(format: MatrixFormat, k: u32) -> Self {
        let group = format.group().map_or(k, |group| group.min(k)).max(1);
        let block = group.min(BLOCK as u32);
        let span = block.next_power_of_two().div_ceil(16);
        let blocks = k / group * group.div_ceil(block) + (k % group).div_ceil(block);
        Self { blocks, span, group, block }
    }

    /// Bytes of a row rounded to 8 bits: a scale and a total behind each block.
    pub(super) fn row_bytes(self) -> u64 {
        u64::from(self.blocks) * u64::from(self.span + 1) * 16
    }

    /// Bytes of a row rounded to halves: an even number of units of 16, then a scale.
    pub(super) fn half_row_bytes(self) -> u64 {
        u64::from(self.blocks * self.span).next_multiple_of(2) * 32 + 16
    }
}

/// Bytes of the codes of a strip.
pub(super) fn value_bytes(format: MatrixFormat, k: u32) -> u64 {
    let Shape { blocks, span, .. } = Shape::new(format, k);
    u64::from(blocks * span * 16 * ROWS * format.bits() / 8)
}

/// Bytes of the scales and biases of a strip.
pub(super) fn group_bytes(format: MatrixFormat, k: u32) -> u64 {
    u64::from(Shape::new(format, k).blocks * ROWS) * 8
}

/// One strip of codes from its rows in the order of a file, as many as there are, at most 64.
pub(super) fn pack_values(format: MatrixFormat, k: u32, rows: &[u8]) -> Vec<u8> {
    let four_bits = format.bits() == 4;
    let codes_a_word = if four_bits { 8 } else { 4 };
    let words = Shape::new(format, k).span as usize * 16 / codes_a_word;
    let mut strip = vec![0; value_bytes(format, k) as usize];
    let row_bytes = (format.value_bytes(k.into()) as usize).max(1);
    for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
        for (index, block) in blocks(format, k).into_iter().enumerate() {
            for i in 0..block.count {
                let from = block.start + i;
                let word = (index * words + i / codes_a_word) * ROWS as usize + r;
                let byte = &mut strip[word * 4 + i % 4];
                if four_bits {
                    *byte |= (row[from / 2] >> (4 * (from % 2)) & 15) << (i / 4 % 2 * 4);
                } else {
                    *byte = row[from] ^ 0x80;
                }
            }
        }
    }
    strip
}

/// The scales and biases of the blocks of one strip, from those of the groups of its rows. Those of codes of 8 bits are for
/// codes that are 128 less.
pub(super) fn pack_groups(format: MatrixFormat, k: u32, rows: &[[f32; 2]]) -> Vec<f32> {
    let shift = if format.bits() == 8 { 128.0 } else { 0.0 };
    let (blocks, row_groups) = (blocks(format, k), (format.row_groups(k.into()) as usize).max(1));
    let of = |row: &[[f32; 2]], block: &Block| {
        let [scale, bias] = row[block.group];
        [scale, bias + shift * scale]
    };
    let rows = rows.chunks_exact(row_groups);
    let pairs: Vec<[f32; 2]> = rows.flat_map(|row| blocks.iter().map(move |block| of(row, block))).collect();
    pack_pairs(blocks.len(), &pairs)
}

#[cfg(test)]
mod tests {
    use super::{MatrixFormat, Shape, group_bytes, pack_groups, pack_values, value_bytes};

    #[test]
    fn blocks_have_room_for_16_32_or_64() {
        let of = |group, k| {
            let format = MatrixFormat::Q8 { group };
            let Shape { blocks, span, .. } = Shape::new(format, k);
            assert_eq!(blocks as usize, super::blocks(format, k).len());
            [blocks, span]
        };
        let all =
            [of(4, 24), of(16, 24), of(20, 48), of(32, 64), of(36, 72), of(64, 136), of(128, 136), of(u32::MAX, 20)];
        assert_eq!(all, [[6, 1], [2, 1], [3, 2], [2, 2], [2, 4], [3, 4], [3, 4], [1, 2]]);
    }

    #[test]
    fn a_word_has_four_codes_of_8_bits_around_zero() {
        let (format, k, rows) = (MatrixFormat::Q8 { group: 20 }, 24, 3);
        let codes: Vec<u8> = (0..rows * k).map(|i| (i * 7) as u8).collect();
        let strip = pack_values(format, k as u32, &codes);
        assert_eq!(strip.len() as u64, value_bytes(format, k as u32));
        for (i, code) in codes.iter().enumerate() {
            let (row, input) = (i / k, i % k);
            // Eight words a block of 20, which is padded to 32.
            let (block, input) = (input / 20, input % 20);
            assert_eq!(strip[((block * 8 + input / 4) * 64 + row) * 4 + input % 4], code ^ 0x80);
        }
    }

    #[test]
    fn a_word_has_eight_codes_of_4_bits() {
        let (format, k) = (MatrixFormat::Q4 { group: 8 }, 16);
        // Two rows of 16 codes, low halves first.
        let rows: Vec<u8> = [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe].repeat(2);
        let strip: Vec<u32> = bytemuck::pod_collect_to_vec(&pack_values(format, k, &rows));
        // Two blocks of 8, padded to two words.
        for row in 0..2 {
            let words = [0, 1, 2, 3].map(|word| strip[word * 64 + row]);
            assert_eq!(words, [0x7362_5140, 0, 0xfbea_d9c8, 0]);
        }
        assert_eq!(strip.len(), 4 * 64);
    }

    #[test]
    fn blocks_of_a_group_share_its_scale_and_its_shifted_bias() {
        let groups = [[2.0, 1.0], [0.5, -64.0]];
        for (format, biases) in
            [(MatrixFormat::Q8 { group: 128 }, [257.0, 0.0]), (MatrixFormat::Q4 { group: 128 }, [1.0, -64.0])]
        {
            let strip = pack_groups(format, 136, &groups);
            assert_eq!(strip.len() as u64 * 4, group_bytes(format, 136));
            let scale_and_bias = |block: usize| [strip[block * 128], strip[block * 128 + 4]];
            assert_eq!([0, 1, 2].map(scale_and_bias), [[2.0, biases[0]], [2.0, biases[0]], [0.5, biases[1]]]);
        }
    }
}
