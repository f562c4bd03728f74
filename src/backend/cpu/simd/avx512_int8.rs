//! x86-64 with AVX-512 and VNNI: four products of a byte without a sign (a weight's code) and one with a sign (an
//! activation's) are added to a sum of 32 bits in one instruction, which does not saturate.

use core::arch::x86_64::*;
use std::ops::Range;

use super::int8::BytePanel;
use super::{CodeTile, Codes, NEAR_BYTES, ROWS};

const LANES: usize = 16;
/// Outputs of a panel: that of the exact kernels.
const WIDTH: usize = super::avx512::WIDTH;
/// Tiles that go through a panel together: eight rows keep sixteen sums on their way, as many as the unit has room for.
const TILES: usize = 2;

type Out = [[[f32; LANES]; 2]; ROWS];

/// Scales, then biases, of the outputs of a panel.
type Group = [[f32; LANES]; 4];

/// The products `[rows, WIDTH]` of all rows with a panel.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn products(panel: &BytePanel<'_>, x: &Codes, out: &mut [f32]) {
    if panel.four_bits {
        through_panel::<[u8; 2 * WIDTH]>(panel, x, out);
    } else {
        through_panel::<[u8; 4 * WIDTH]>(panel, x, out);
    }
}

/// Four inputs of all outputs of a panel.
trait Four: bytemuck::AnyBitPattern {
    /// Their codes, as bytes: the first half of the outputs, and the second.
    fn load(&self) -> [[u8; 4 * LANES]; 2];
}

impl Four for [u8; 4 * WIDTH] {
    #[inline(always)]
    fn load(&self) -> [[u8; 4 * LANES]; 2] {
        bytemuck::must_cast(*self)
    }
}

impl Four for [u8; 2 * WIDTH] {
    #[inline(always)]
    fn load(&self) -> [[u8; 4 * LANES]; 2] {
        [self.map(|byte| byte & 15), self.map(|byte| byte >> 4)]
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn through_panel<W: Four>(panel: &BytePanel<'_>, x: &Codes, out: &mut [f32]) {
    let (_, length) = panel.blocks(WIDTH);
    let (panel, groups): (&[W], &[Group]) = (bytemuck::cast_slice(panel.values), bytemuck::cast_slice(panel.groups));
    // So many blocks that their codes stay in the first cache while all tiles pass.
    let step = (NEAR_BYTES / (length * size_of::<W>())).max(1);
    out.fill(0.0);
    let out: &mut [Out] = bytemuck::cast_slice_mut(out);
    for first in (0..groups.len()).step_by(step) {
        let blocks = first..groups.len().min(first + step);
        let panel = &panel[blocks.start * length..blocks.end * length];
        for (tiles, out) in x.tiles.chunks(TILES).zip(out.chunks_mut(TILES)) {
            match (tiles, out) {
                ([a, b], [out_a, out_b]) => through_blocks(panel, groups, &blocks, [a, b], [out_a, out_b]),
                ([a], [out]) => through_blocks(panel, groups, &blocks, [a], [out]),
                _ => {}
            }
        }
    }
}

/// Adds to `out` the products of some tiles with some blocks: integers, exact within a block, then scaled and added up block
/// by block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn through_blocks<W: Four, const N: usize>(
    panel: &[W],
    groups: &[Group],
    blocks: &Range<usize>,
    tiles: [&CodeTile; N],
    out: [&mut Out; N],
) {
    let length = panel.len() / blocks.len();
    for (block, panel) in blocks.clone().zip(panel.chunks_exact(length)) {
        let x: [&[[i32; ROWS]]; N] = tiles.map(|tile| &tile.codes[block * length..][..panel.len()]);
        let mut sums = [[[_mm512_setzero_si512(); 2]; ROWS]; N];
        for (i, w) in panel.iter().enumerate() {
            let [low, high] = w.load();
            let w: [__m512i; 2] = [bytemuck::cast(low), bytemuck::cast(high)];
            for tile in 0..N {
                for row in 0..ROWS {
                    let x = _mm512_set1_epi32(x[tile][i][row]);
                    let sums = &mut sums[tile][row];
                    *sums = [_mm512_dpbusd_epi32(sums[0], w[0], x), _mm512_dpbusd_epi32(sums[1], w[1], x)];
                }
            }
        }
        let group: [__m512; 4] = groups[block].map(bytemuck::cast);
        for tile in 0..N {
            let [scales, totals] = tiles[tile].scales[block];
            for row in 0..ROWS {
                let (scale, total) = (_mm512_set1_ps(scales[row]), _mm512_set1_ps(totals[row]));
                for half in 0..2 {
                    let out = &mut out[tile][row][half];
                    let product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[tile][row][half]), scale);
                    let sum = _mm512_fmadd_ps(product, group[half], bytemuck::cast(*out));
                    *out = bytemuck::cast(_mm512_fmadd_ps(total, group[2 + half], sum));
                }
            }
        }
    }
}
