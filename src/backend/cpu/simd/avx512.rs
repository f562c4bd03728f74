//! x86-64 with AVX-512 and its dot products of integers (VNNI). Everything here is safe where the processor has them, which
//! `super` finds out.

use core::arch::x86_64::*;

/// Floats of a register.
pub(super) const LANES: usize = 16;
type F = __m512;
type I = __m512i;

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn splat(value: f32) -> F {
    _mm512_set1_ps(value)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn load(values: &[f32; LANES]) -> F {
    bytemuck::cast(*values)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn store(v: F) -> [f32; LANES] {
    bytemuck::cast(v)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn add(a: F, b: F) -> F {
    _mm512_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn sub(a: F, b: F) -> F {
    _mm512_sub_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn mul(a: F, b: F) -> F {
    _mm512_mul_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn div(a: F, b: F) -> F {
    _mm512_div_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn mul_add(a: F, b: F, c: F) -> F {
    _mm512_fmadd_ps(a, b, c)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn max(a: F, b: F) -> F {
    _mm512_max_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn min(a: F, b: F) -> F {
    _mm512_min_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn abs(a: F) -> F {
    _mm512_abs_ps(a)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn to_int(a: F) -> I {
    _mm512_cvtps_epi32(a)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn to_float(a: I) -> F {
    _mm512_cvtepi32_ps(a)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn power_of_two(n: I) -> F {
    _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(n, _mm512_set1_epi32(127))))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn splat_int(value: i32) -> I {
    _mm512_set1_epi32(value)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn load_pairs(values: &[i16; 2 * LANES]) -> I {
    bytemuck::cast(*values)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn store_int(v: I) -> [i32; LANES] {
    bytemuck::cast(v)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn add_int(a: I, b: I) -> I {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn add_dot(sum: I, a: I, b: I) -> I {
    _mm512_dpwssd_epi32(sum, a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn narrow(low: I, high: I) -> [i16; 2 * LANES] {
    // The instruction works on each quarter of the registers.
    let order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
    bytemuck::cast(_mm512_permutexvar_epi64(order, _mm512_packs_epi32(low, high)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]
fn widen_codes(codes: &[i8; 2 * LANES]) -> I {
    _mm512_cvtepi8_epi16(bytemuck::cast(*codes))
}

kernels!(#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma")]);
