use super::rms_norm;

/// Cosine and sine of every position and frequency, `[positions, Dh/2, 2]`.
///
/// The angle is `position * theta^(-2i/Dh)`. As in transformers' `Qwen3RotaryEmbedding`, the frequency and the
/// product are rounded to f32 before the cosine is taken: at position 32,768 that rounding moves the angle by 0.002,
/// and the vectors should be the model's.
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

/// RMSNorm of each head of `x` `[T, heads, Dh]` with weight `w` `[Dh]`, then rotary embedding with `rope`
/// (see [`rope_table`]) at `positions` `[T]`.
pub fn head_norm_rope(x: &[f32], w: &[f32], rope: &[f32], positions: &[u32], eps: f32) -> Vec<f32> {
    let (dh, half) = (w.len(), w.len() / 2);
    let mut y = rms_norm(x, w, eps);
    let heads = x.len() / dh / positions.len().max(1);
    for (row, head) in y.chunks_exact_mut(dh).enumerate() {
        let turns = &rope[positions[row / heads] as usize * dh..][..dh];
        for i in 0..half {
            let (a, b) = (f64::from(head[i]), f64::from(head[half + i]));
            let (cos, sin) = (f64::from(turns[2 * i]), f64::from(turns[2 * i + 1]));
            head[i] = (a * cos - b * sin) as f32;
            head[half + i] = (b * cos + a * sin) as f32;
        }
    }
    y
}
