/// `clamp(round(127 * tanh(x)), -128, 127)`, half to even: `Int8TanhQuantizer` of the models' `st_quantize.py`.
pub fn int8(x: &[f32]) -> Vec<i8> {
    x.iter().map(|&v| (f64::from(v).tanh() * 127.0).round_ties_even() as i8).collect()
}

/// +1 where `x >= 0`, else -1: `BinaryTanhQuantizer` of the models' `st_quantize.py`.
pub fn binary(x: &[f32]) -> Vec<i8> {
    x.iter().map(|&v| if v >= 0.0 { 1 } else { -1 }).collect()
}

/// `x / max(|x|, 1e-12)`: torch's `normalize`.
pub fn normalize(x: &[f32]) -> Vec<f32> {
    let length = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-12);
    x.iter().map(|&v| (f64::from(v) / length) as f32).collect()
}
