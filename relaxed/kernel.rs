//! A WebAssembly module of its own, a few hundred bytes, with the products of 4- and 8-bit codes with activations of 8 bits.
//! Its instructions are not in every engine (relaxed SIMD), so they cannot be in the main module. `build.rs` compiles it
//! and `src/backend/cpu/simd/relaxed.rs` has it started, with the memory of the main module as its own. It has no stack and no
//! data there: everything is in the locals of one function.
//!
//! This is all there is of `unsafe` here: the caller vouches for the addresses.
#![no_std]

use core::arch::wasm32::*;

/// Rows of a tile.
const ROWS: usize = 4;
/// Fours of inputs whose products fit sums of 16 bits: each adds two of at most 15 * 127.
const SHORT: usize = 8;

/// Where a tile of activations lies: `[blocks * length, ROWS]` fours of codes; `[blocks, 2, ROWS]` scales, and sums of the
/// codes times their scale.
#[repr(C)]
pub struct Tile {
    codes: *const [i32; ROWS],
    scales: *const [[f32; ROWS]; 2],
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Sums of each row and half of the outputs.
type Sums = [[v128; 2]; ROWS];

/// Adds the products of `length` fours with the codes that `codes` gives, by the instruction for bytes.
#[inline(always)]
unsafe fn fours(mut sums: Sums, codes: impl Fn(usize) -> [v128; 2], x: *const [i32; ROWS], length: usize) -> Sums {
    for i in 0..length {
        let (w, x) = (codes(i), unsafe { *x.add(i) });
        for row in 0..ROWS {
            let x = i32x4_splat(x[row]);
            sums[row][0] = i32x4_relaxed_dot_i8x16_i7x16_add(x, w[0], sums[row][0]);
            sums[row][1] = i32x4_relaxed_dot_i8x16_i7x16_add(x, w[1], sums[row][1]);
        }
    }
    sums
}

/// The codes of four bits of the two halves of the outputs.
#[inline(always)]
fn halves(w: v128) -> [v128; 2] {
    let low = u8x16_splat(15);
    [v128_and(w, low), v128_and(u16x8_shr(w, 4), low)]
}

/// The same with codes of four bits, where a processor has no instruction for sums of four products: of two products, in
/// sums of 16 bits at first.
#[inline(always)]
unsafe fn nibbles_in_pairs(mut sums: Sums, w: *const v128, x: *const [i32; ROWS], length: usize) -> Sums {
    let mut first = 0;
    while first < length {
        let mut short = [[i16x8_splat(0); 2]; ROWS];
        let end = if first + SHORT < length { first + SHORT } else { length };
        for i in first..end {
            let (w, x) = unsafe { (halves(w.add(i).read_unaligned()), *x.add(i)) };
            for row in 0..ROWS {
                let x = i32x4_splat(x[row]);
                short[row][0] = i16x8_add(short[row][0], i16x8_relaxed_dot_i8x16_i7x16(x, w[0]));
                short[row][1] = i16x8_add(short[row][1], i16x8_relaxed_dot_i8x16_i7x16(x, w[1]));
            }
        }
        for row in 0..ROWS {
            sums[row][0] = i32x4_add(sums[row][0], i32x4_extadd_pairwise_i16x8(short[row][0]));
            sums[row][1] = i32x4_add(sums[row][1], i32x4_extadd_pairwise_i16x8(short[row][1]));
        }
        first = end;
    }
    sums
}

/// The products of `count` tiles with a panel of eight outputs: `out` is `[count, ROWS, 8]` floats. `kind` is 0 for codes
/// of four bits by sums of two products, 1 for them by sums of four, 2 for codes of a byte. `groups` are
/// `[blocks, 2, 8]` scales and biases; a block has `length` fours.
///
/// # Safety
/// All of that lies at these addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn products(
    kind: u32,
    values: *const v128,
    groups: *const [v128; 4],
    blocks: usize,
    length: usize,
    tiles: *const Tile,
    count: usize,
    out: *mut Sums,
) {
    for t in 0..count {
        let tile = unsafe { &*tiles.add(t) };
        let mut total = [[f32x4_splat(0.0); 2]; ROWS];
        for block in 0..blocks {
            let zeros = [[i32x4_splat(0); 2]; ROWS];
            let sums = unsafe {
                let (first, x) = (block * length, tile.codes.add(block * length));
                match kind {
                    0 => nibbles_in_pairs(zeros, values.add(first), x, length),
                    1 => fours(zeros, |i| halves(values.add(first + i).read_unaligned()), x, length),
                    _ => fours(
                        zeros,
                        |i| [0, 1].map(|half| values.add(2 * (first + i) + half).read_unaligned()),
                        x,
                        length,
                    ),
                }
            };
            let (group, [scales, sum]) = unsafe { (groups.add(block).read_unaligned(), *tile.scales.add(block)) };
            for row in 0..ROWS {
                for half in 0..2 {
                    let product = f32x4_mul(f32x4_convert_i32x4(sums[row][half]), f32x4_splat(scales[row]));
                    let added = f32x4_add(total[row][half], f32x4_mul(product, group[half]));
                    total[row][half] = f32x4_add(added, f32x4_mul(f32x4_splat(sum[row]), group[2 + half]));
                }
            }
        }
        unsafe { out.add(t).write_unaligned(total) };
    }
}
