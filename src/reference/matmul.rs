/// `y[t, n] = sum_k x[t, k] * w[n, k]` for `x` `[T, K]` and `w` `[N, K]`.
pub fn matmul(x: &[f32], w: &[f32], k: usize) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32;
    x.chunks_exact(k).flat_map(|row| w.chunks_exact(k).map(move |col| dot(row, col))).collect()
}
