//! The host's roundings of token vectors. The `pack_rows` kernels produce the same bits on a device.

use half::f16;

/// `round(x / s)` with `s = max |x| / 127`, half to even, and `s`. A row of zeros has scale 0.
pub fn scaled_int8(row: &[f32]) -> (Vec<i8>, f32) {
    let scale = row.iter().fold(0f32, |max, v| max.max(v.abs())) / 127.0;
    let code = |&v: &f32| if scale > 0.0 { (v / scale).round_ties_even().clamp(-127.0, 127.0) as i8 } else { 0 };
    (row.iter().map(code).collect(), scale)
}

/// Rounded to float16, half to even.
pub fn float16(x: &[f32]) -> Vec<f16> {
    x.iter().map(|&v| f16::from_f32(v)).collect()
}

/// The bits `x >= 0`, eight a byte, most significant first; unused bits of the last byte are 0. Same as
/// `numpy.packbits(x >= 0)`.
pub fn sign_bits(x: &[f32]) -> Vec<u8> {
    x.chunks(8).map(|byte| byte.iter().enumerate().map(|(i, &v)| u8::from(v >= 0.0) << (7 - i)).sum()).collect()
}
