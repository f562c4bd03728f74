/// Cosine and sine of every position and frequency, `[positions, Dh/2, 2]`.
///
/// The angle is `position * theta^(-2i/Dh)`. As in transformers' `Qwen3RotaryEmbedding`, the frequency and the product
/// are rounded to f32 before the cosine is taken. At position 32,768 that rounding moves the angle by 0.002, so leaving
/// it out would change the vectors.
pub fn rope_table(positions: usize, dh: usize, theta: f64) -> Vec<f32> {
    let frequency = |i: usize| 1.0 / theta.powf((2 * i) as f64 / dh as f64) as f32;
    let frequencies: Vec<f32> = (0..dh / 2).map(frequency).collect();
    (0..positions)
        .flat_map(|position| {
            frequencies.iter().flat_map(move |f| {
                let angle = f64::from(position as f32 * f);
                [angle.cos() as f32, angle.sin() as f32]
            })
        })
        .collect()
}
