use super::rms_norm;

/// RMSNorm of each head of `x` `[T, heads, Dh]` with weight `w` `[Dh]`, then rotary embedding with `rope`
/// (see [`crate::numbers::Rope::table`]) at `positions` `[T]`.
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
