/// The mean of the rows of `x` `[T, H]`; the zero vector where there are none.
pub fn mean(x: &[f32], h: usize) -> Vec<f32> {
    let rows = x.len() / h;
    (0..h)
        .map(|i| {
            let sum: f64 = x.iter().skip(i).step_by(h).map(|&v| f64::from(v)).sum();
            (sum / rows.max(1) as f64) as f32
        })
        .collect()
}
