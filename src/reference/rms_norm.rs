/// RMSNorm of each row of `x` `[T, H]` with weight `w` `[H]`:
/// `x * rsqrt(mean(x^2) + eps) * w` (Zhang & Sennrich 2019, as in transformers' `Qwen3RMSNorm`).
pub fn rms_norm(x: &[f32], w: &[f32], eps: f32) -> Vec<f32> {
    let h = w.len();
    x.chunks_exact(h)
        .flat_map(|row| {
            let mean = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / h as f64;
            let scale = 1.0 / (mean + f64::from(eps)).sqrt();
            row.iter().zip(w).map(move |(&v, &w)| (f64::from(v) * scale * f64::from(w)) as f32)
        })
        .collect()
}
