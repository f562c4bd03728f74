//! WebAssembly's 128-bit registers.

use core::arch::wasm32::*;

/// Floats of a register.
pub(super) const LANES: usize = 4;
type F = v128;
type I = v128;

#[inline]
fn splat(value: f32) -> F {
    f32x4_splat(value)
}

#[inline]
fn load(values: &[f32; LANES]) -> F {
    bytemuck::cast(*values)
}

#[inline]
fn store(v: F) -> [f32; LANES] {
    bytemuck::cast(v)
}

#[inline]
fn add(a: F, b: F) -> F {
    f32x4_add(a, b)
}

#[inline]
fn sub(a: F, b: F) -> F {
    f32x4_sub(a, b)
}

#[inline]
fn mul(a: F, b: F) -> F {
    f32x4_mul(a, b)
}

#[inline]
fn div(a: F, b: F) -> F {
    f32x4_div(a, b)
}

#[inline]
fn mul_add(a: F, b: F, c: F) -> F {
    f32x4_add(f32x4_mul(a, b), c)
}

// The pseudo-minimum and -maximum are one instruction on x86; the others handle NaN and -0 in several.
#[inline]
fn max(a: F, b: F) -> F {
    f32x4_pmax(b, a)
}

#[inline]
fn min(a: F, b: F) -> F {
    f32x4_pmin(b, a)
}

#[inline]
fn abs(a: F) -> F {
    f32x4_abs(a)
}

#[inline]
fn to_int(a: F) -> I {
    i32x4_trunc_sat_f32x4(f32x4_nearest(a))
}

#[inline]
fn to_float(a: I) -> F {
    f32x4_convert_i32x4(a)
}

#[inline]
fn power_of_two(n: I) -> F {
    i32x4_shl(i32x4_add(n, i32x4_splat(127)), 23)
}

#[inline]
fn splat_int(value: i32) -> I {
    i32x4_splat(value)
}

#[inline]
fn load_pairs(values: &[i16; 2 * LANES]) -> I {
    bytemuck::cast(*values)
}

#[inline]
fn store_int(v: I) -> [i32; LANES] {
    bytemuck::cast(v)
}

#[inline]
fn add_int(a: I, b: I) -> I {
    i32x4_add(a, b)
}

#[inline]
fn add_dot(sum: I, a: I, b: I) -> I {
    i32x4_add(sum, i32x4_dot_i16x8(a, b))
}

#[inline]
fn narrow(low: I, high: I) -> [i16; 2 * LANES] {
    bytemuck::cast(i16x8_narrow_i32x4(low, high))
}

#[inline]
fn widen_codes(codes: &[i8; 2 * LANES]) -> I {
    i16x8_extend_low_i8x16(i64x2_splat(i64::from_le_bytes(bytemuck::cast(*codes))))
}

kernels!();
