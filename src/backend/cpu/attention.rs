//! Head norm with rotary embedding, and attention.

use super::CpuRun;
use super::buffer::{CpuBuffer, floats, floats_mut};
use super::dot::{add_scaled, dot};
use crate::backend::ops::{HeadRows, Heads, Tile};
use crate::error::Result;

impl CpuRun<'_> {
    /// See [`crate::backend::Run::head_norm_rope`].
    pub fn head_norm_rope(&mut self, [x, w, table, positions]: [&CpuBuffer; 4], shape: HeadRows) -> Result<()> {
        let (dim, heads) = (shape.dim as usize, shape.heads as usize);
        let (w, table, positions, mut x) = (w.words(), table.words(), positions.words(), x.words_mut());
        let (w, table, x) = (floats(&w), floats(&table), floats_mut(&mut x));
        let rows = x[shape.x_row as usize * heads * dim..].chunks_exact_mut(heads * dim).take(shape.rows as usize);
        for (row, &position) in rows.zip(&positions[shape.position_row as usize..]) {
            let turns = &table[position as usize * dim..][..dim];
            for head in row.chunks_exact_mut(dim) {
                let scale = 1.0 / (dot(head, head) / dim as f32 + shape.eps).sqrt();
                let (low, high) = head.split_at_mut(dim / 2);
                for (i, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let (cos, sin) = (turns[2 * i], turns[2 * i + 1]);
                    let (x, y) = (*a * scale * w[i], *b * scale * w[dim / 2 + i]);
                    (*a, *b) = (x * cos - y * sin, y * cos + x * sin);
                }
            }
        }
        Ok(())
    }

    /// See [`crate::backend::Run::attention`]: all scores of a query, then the softmax, then the sum of values.
    pub fn attention(&mut self, tiles: &[Tile], [q, k, v, y]: [&CpuBuffer; 4], heads: Heads) -> Result<()> {
        let (q, k, v, mut y) = (q.words(), k.words(), v.words(), y.words_mut());
        let (q, k, v, y) = (floats(&q), floats(&k), floats(&v), floats_mut(&mut y));
        let [hq, hkv, dim] = [heads.query, heads.key, heads.dim].map(|n| n as usize);
        let scale = (1.0 / f64::from(heads.dim).sqrt()) as f32;
        let mut scores = Vec::new();
        for tile in tiles {
            for i in 0..tile.count {
                // The last query of a causal tile sees all of its keys, the one before one less, and so on.
                let unseen = if heads.causal { tile.count - 1 - i } else { 0 };
                let keys = tile.key as usize..(tile.key + tile.keys - unseen) as usize;
                for head in 0..hq {
                    let own = ((tile.row + i) as usize * hq + head) * dim;
                    let at = |row: usize| (row * hkv + head / (hq / hkv)) * dim;
                    scores.clear();
                    scores.extend(keys.clone().map(|key| dot(&q[own..own + dim], &k[at(key)..][..dim]) * scale));
                    let highest = scores.iter().fold(f32::NEG_INFINITY, |m: f32, s| m.max(*s));
                    let mut total = 0.0;
                    let out = &mut y[own..own + dim];
                    out.fill(0.0);
                    for (score, key) in scores.iter().zip(keys.clone()) {
                        let weight = (score - highest).exp();
                        total += weight;
                        add_scaled(out, weight, &v[at(key)..][..dim]);
                    }
                    out.iter_mut().for_each(|value| *value /= total);
                }
            }
        }
        Ok(())
    }
}
