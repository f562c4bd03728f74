use half::f16;

/// A row of int8 codes with its scale `s = max |x| / 127`: `round(x / s)`, half to even. Zeros where the scale is 0.
pub fn scaled_int8(row: &[f32]) -> (Vec<i8>, f32) {
    let scale = row.iter().fold(0f32, |most, v| most.max(v.abs())) / 127.0;
    let code = |&v: &f32| if scale > 0.0 { (v / scale).round_ties_even().clamp(-127.0, 127.0) as i8 } else { 0 };
    (row.iter().map(code).collect(), scale)
}

/// Rounded to float16, half to even.
pub fn float16(x: &[f32]) -> Vec<f16> {
    x.iter().map(|&v| f16::from_f32(v)).collect()
}
