use super::matmul;

/// `silu(x gate^T) * (x up^T)` for `x` `[T, K]`, `gate` and `up` `[N, K]`, with `silu(g) = g / (1 + exp(-g))`
/// (Shazeer 2020).
pub fn swiglu(x: &[f32], gate: &[f32], up: &[f32], k: usize) -> Vec<f32> {
    let (g, u) = (matmul(x, gate, k), matmul(x, up, k));
    g.iter().zip(&u).map(|(&g, &u)| (f64::from(g) / (1.0 + (-f64::from(g)).exp()) * f64::from(u)) as f32).collect()
}
