//! Activations as weights want them.

use super::panels::Layout;
use crate::backend::cpu::simd::{Codes, ROWS, Simd};
use crate::backend::cpu::threads::Threads;
use crate::error::{Error, Result};

/// Rows of activations as a weight wants them.
pub(super) enum Input<'a> {
    Codes(&'a Codes),
    /// `[tiles, K, ROWS]`
    Floats(&'a [[f32; ROWS]]),
}

/// Puts the rows of a tile side by side, so that a kernel reads them from front to back. Those that are missing are the last
/// one again.
pub(super) fn pack(into: &mut Vec<[f32; ROWS]>, threads: &Threads, x: &[f32], k: usize) -> Result<()> {
    let rows = x.len() / k;
    let size = rows.div_ceil(ROWS) * k;
    if into.len() < size {
        let room = into.try_reserve(size - into.len());
        room.map_err(|e| Error::OutOfMemory { message: format!("{size} tiles of activations: {e}") })?;
        into.resize(size, [0.0; ROWS]);
    }
    let row = |i: usize| &x[i.min(rows - 1) * k..][..k];
    threads.each(
        &mut into[..size],
        k,
        || (),
        |(), tile, into| {
            let [a, b, c, d] = std::array::from_fn(|i| row(tile * ROWS + i));
            for ((((into, a), b), c), d) in into.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *into = [*a, *b, *c, *d];
            }
        },
    );
    Ok(())
}

/// Rounds rows `x` to as many bits as a weight wants, in its blocks.
pub(super) fn round(into: &mut Codes, simd: Simd, threads: &Threads, x: &[f32], layout: &Layout) {
    let tiles = (x.len() / layout.k).div_ceil(ROWS);
    let length = layout.block / layout.side();
    let to_bytes = layout.int8.is_some();
    into.tiles.resize_with(tiles, Default::default);
    threads.each(
        &mut into.tiles,
        1,
        || (),
        |(), tile, into| {
            let into = &mut into[0];
            into.codes.clear();
            into.codes.resize(layout.blocks.len() * length, [0; ROWS]);
            into.scales.clear();
            into.scales.resize(layout.blocks.len(), [[0.0; ROWS]; 2]);
            for (row, x) in x.chunks_exact(layout.k).skip(tile * ROWS).take(ROWS).enumerate() {
                let codes = into.codes.chunks_exact_mut(length);
                for ((block, codes), scales) in layout.blocks.iter().zip(codes).zip(&mut into.scales) {
                    let x = &x[block.start..][..block.count];
                    match to_bytes {
                        true => simd.round_block_to_bytes(x, row, codes, scales),
                        false => simd.round_block(x, row, codes, scales),
                    }
                }
            }
        },
    );
}
