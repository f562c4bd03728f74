/// Softmax attention of each text over itself: `q` `[T, Hq, Dh]`, `k` and `v` `[T, Hkv, Dh]`, texts of `lengths`
/// end to end; scores are scaled by `1 / sqrt(Dh)` (Vaswani et al. 2017) and query head `h` reads key head
/// `h / (Hq / Hkv)` (Ainslie et al. 2023). With `causal`, a token sees itself and those before it; with a `window`, only
/// those fewer than that many places away.
pub fn attention(
    [q, k, v]: [&[f32]; 3],
    lengths: &[usize],
    [hq, hkv]: [usize; 2],
    causal: bool,
    window: Option<usize>,
) -> Vec<f32> {
    let tokens: usize = lengths.iter().sum();
    let dh = q.len() / (tokens * hq).max(1);
    let at = |row: usize, head: usize, of: usize| (row * of + head) * dh;
    let mut y = vec![0.0; q.len()];
    let mut first = 0;
    for &length in lengths {
        for t in first..first + length {
            let reach = window.map_or(length, |window| window - 1);
            let last = if causal { t } else { (t + reach).min(first + length - 1) };
            let keys = t.saturating_sub(reach).max(first)..last + 1;
            for h in 0..hq {
                let query = &q[at(t, h, hq)..][..dh];
                let scores: Vec<f64> = keys
                    .clone()
                    .map(|j| {
                        let key = &k[at(j, h * hkv / hq, hkv)..][..dh];
                        query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
                            / (dh as f64).sqrt()
                    })
                    .collect();
                let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let p: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
                let total: f64 = p.iter().sum();
                for d in 0..dh {
                    let value = |(p, j): (&f64, usize)| p * f64::from(v[at(j, h * hkv / hq, hkv) + d]);
                    y[at(t, h, hq) + d] = (p.iter().zip(keys.clone()).map(value).sum::<f64>() / total) as f32;
                }
            }
        }
        first += length;
    }
    y
}
