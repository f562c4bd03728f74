/// The mean of the rows of `x` `[T, H]`, of which row `t` counts `weight + t * slope` times; the zero vector where there
/// are none.
pub fn mean(x: &[f32], h: usize, [weight, slope]: [f32; 2]) -> Vec<f32> {
    let rows = x.len() / h;
    let weights = (0..rows).map(|t| f64::from(weight) + t as f64 * f64::from(slope));
    (0..h)
        .map(|i| {
            let column = x.iter().skip(i).step_by(h);
            let sum: f64 = column.zip(weights.clone()).map(|(&v, weight)| f64::from(v) * weight).sum();
            (sum / rows.max(1) as f64) as f32
        })
        .collect()
}
