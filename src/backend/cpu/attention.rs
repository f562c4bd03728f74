//! Head norm with rotary embedding, and attention.

use std::ops::Range;

use super::CpuRun;
use super::buffer::{CpuBuffer, floats, floats_mut, resize};
use super::helpers::{Message, shares};
use super::simd::{ROWS, Simd};
use crate::backend::ops::{HeadRows, Heads, Tile};
use crate::error::Result;

/// Keys that are scored at a time: with their values they stay in the cache while all queries pass.
const RANGE: usize = 256;

/// Keys of a query from which on it is worth while to send them to helpers.
const KEYS_WORTH_SENDING: u64 = 256;

/// Attention of some tiles over one key head.
struct HeadJob<'a> {
    simd: Simd,
    tiles: &'a [Tile],
    head: usize,
    /// Query heads that share the key head.
    group: usize,
    heads: Heads,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
}

/// Memory of a thread that attends.
#[derive(Default)]
struct Scratch {
    /// `[panels, Dh, width]`
    keys: Vec<f32>,
    /// `[panels, keys, width]`
    values: Vec<f32>,
    /// `[ROWS, keys]`
    scores: Vec<f32>,
    /// `[tiles, group, ROWS]`: the highest score so far, and the sum of weights.
    states: Vec<[[f32; 2]; ROWS]>,
}

impl CpuRun<'_> {
    /// See [`crate::backend::Run::head_norm_rope`].
    pub fn head_norm_rope(&mut self, [x, w, table, positions]: [&CpuBuffer; 4], shape: HeadRows) -> Result<()> {
        let (dim, heads) = (shape.dim as usize, shape.heads as usize);
        let (w, table, positions, mut x) = (w.words(), table.words(), positions.words(), x.words_mut());
        let (w, table, x) = (floats(&w), floats(&table), floats_mut(&mut x));
        let positions = &positions[shape.position_row as usize..];
        let rows = &mut x[shape.x_row as usize * heads * dim..][..shape.rows as usize * heads * dim];
        let simd = self.cpu.simd;
        self.cpu.threads.each(
            rows,
            heads * dim,
            || (),
            |(), row, x| {
                let turns = &table[positions[row] as usize * dim..][..dim];
                x.chunks_exact_mut(dim).for_each(|head| simd.norm_rope(head, &w[..dim], turns, shape.eps));
            },
        );
        Ok(())
    }

    /// See [`crate::backend::Run::attention`]. Keys pass in ranges counted from the text's first, with running maxima and
    /// sums (Milakov and Gimelshein 2018), so that a text of any length needs the same memory. Helpers take some of the key
    /// heads where that saves more than sending their keys costs.
    pub async fn attention(&mut self, tiles: &[Tile], buffers: [&CpuBuffer; 4], heads: Heads) -> Result<()> {
        let helpers = self.cpu.helpers.count();
        let pairs: u64 = tiles.iter().map(|tile| u64::from(tile.count) * u64::from(tile.keys)).sum();
        let rows: u64 = tiles.iter().map(|tile| u64::from(tile.count)).sum();
        if helpers == 0 || pairs < rows * KEYS_WORTH_SENDING {
            return self.own_attention(tiles, buffers, heads, 0..heads.key as usize);
        }
        let mut shares = shares(heads.key as usize, 1, helpers + 1);
        let own = shares.remove(0);
        let asked = shares.iter().enumerate().filter(|(_, share)| !share.is_empty());
        let rows = Rows::of(tiles);
        for (helper, share) in asked.clone() {
            let data = rows.packed(tiles, buffers, heads, share);
            let key = share.len() as u32;
            let own = Heads { query: heads.query / heads.key * key, key, ..heads };
            let [tiles, queries, keys] = [tiles.len(), rows.queries.len(), rows.keys.len()].map(|n| n as u32);
            let message = Message::Attention { tiles, rows: queries, keys, heads: own, data: &data };
            self.cpu.helpers.send(helper, &message);
        }
        let done = self.own_attention(tiles, buffers, heads, own);
        let mut answers = Vec::new();
        for (helper, share) in asked {
            answers.push((share, self.cpu.helpers.receive(helper).await));
        }
        done?;
        let [hq, dim] = [heads.query, heads.dim].map(|n| n as usize);
        let group = hq / heads.key as usize;
        for (share, answer) in answers {
            let (answer, mut y) = (answer?, buffers[3].words_mut());
            let y = floats_mut(&mut y)[rows.queries.start * hq * dim..].chunks_exact_mut(hq * dim);
            for (y, answer) in y.zip(answer.chunks_exact(share.len() * group * dim)) {
                y[share.start * group * dim..share.end * group * dim].copy_from_slice(answer);
            }
        }
        Ok(())
    }

    /// The same for some of the key heads.
    pub(super) fn own_attention(
        &mut self,
        tiles: &[Tile],
        [q, k, v, y]: [&CpuBuffer; 4],
        heads: Heads,
        own: Range<usize>,
    ) -> Result<()> {
        let (q, k, v, mut y) = (q.words(), k.words(), v.words(), y.words_mut());
        let (q, k, v, y) = (floats(&q), floats(&k), floats(&v), floats_mut(&mut y));
        let [hq, hkv, dim] = [heads.query, heads.key, heads.dim].map(|n| n as usize);
        let (simd, threads, group) = (self.cpu.simd, &self.cpu.threads, hq / hkv);
        let padded = dim.next_multiple_of(simd.width());
        // A job is a key head with all tiles, or with a part of them where there are more threads than heads.
        let parts = threads.count().div_ceil(own.len().max(1)).min(tiles.len().max(1));
        let per_part = tiles.len().div_ceil(parts).max(1);
        let of_tile = group * ROWS * padded;
        self.memory.products.clear();
        resize(&mut self.memory.products, own.len() * parts * per_part * of_tile)?;
        threads.each(&mut self.memory.products, per_part * of_tile, Scratch::default, |scratch, job, out| {
            let (head, part) = (own.start + job / parts, job % parts);
            let tiles = &tiles[(part * per_part).min(tiles.len())..((part + 1) * per_part).min(tiles.len())];
            HeadJob { simd, tiles, head, group, heads, q, k, v }.attend(scratch, out);
        });
        for (index, tile) in tiles.iter().enumerate() {
            let (part, within) = (index / per_part, index % per_part);
            for head in own.start * group..own.end * group {
                let job = (head / group - own.start) * parts + part;
                let from = (job * per_part + within) * of_tile + head % group * ROWS * padded;
                for row in 0..tile.count as usize {
                    let own = ((tile.row as usize + row) * hq + head) * dim;
                    y[own..own + dim].copy_from_slice(&self.memory.products[from + row * padded..][..dim]);
                }
            }
        }
        Ok(())
    }
}

/// The rows of queries and keys that some tiles read.
struct Rows {
    queries: Range<usize>,
    keys: Range<usize>,
}

impl Rows {
    fn of(tiles: &[Tile]) -> Self {
        let span = |bounds: fn(&Tile) -> (u32, u32)| {
            let (first, last) = (tiles.iter().map(|t| bounds(t).0).min(), tiles.iter().map(|t| bounds(t).1).max());
            first.unwrap_or(0) as usize..last.unwrap_or(0) as usize
        };
        Self { queries: span(|t| (t.row, t.row + t.count)), keys: span(|t| (t.key, t.key + t.keys)) }
    }

    /// Tiles, queries, keys and values of some key heads, as [`Message::Attention`] has them.
    fn packed(&self, tiles: &[Tile], [q, k, v, _]: [&CpuBuffer; 4], heads: Heads, share: &Range<usize>) -> Vec<u8> {
        let (first_row, first_key) = (self.queries.start as u32, self.keys.start as u32);
        let own = |tile: &Tile| Tile { row: tile.row - first_row, key: tile.key - first_key, ..*tile };
        let tiles: Vec<Tile> = tiles.iter().map(own).collect();
        let mut data = bytemuck::cast_slice(&tiles).to_vec();
        let dim = heads.dim as usize;
        let group = (heads.query / heads.key) as usize;
        for (buffer, rows, of, group) in
            [(q, &self.queries, heads.query, group), (k, &self.keys, heads.key, 1), (v, &self.keys, heads.key, 1)]
        {
            let words = buffer.words();
            for row in words.chunks_exact(of as usize * dim).skip(rows.start).take(rows.len()) {
                let columns = &row[share.start * group * dim..share.end * group * dim];
                data.extend_from_slice(bytemuck::cast_slice(columns));
            }
        }
        data
    }
}

impl HeadJob<'_> {
    /// `out` is `[tiles, group, ROWS, Dh]`, padded to panels, and zero.
    fn attend(&self, scratch: &mut Scratch, out: &mut [f32]) {
        let of_tile = self.group * ROWS * (self.heads.dim as usize).next_multiple_of(self.simd.width());
        let mut rest = out;
        for text in self.tiles.chunk_by(|a, b| a.key == b.key) {
            let (own, others) = rest.split_at_mut(text.len() * of_tile);
            self.attend_in(text, scratch, own);
            rest = others;
        }
    }

    /// The tiles of one text.
    fn attend_in(&self, tiles: &[Tile], scratch: &mut Scratch, out: &mut [f32]) {
        let width = self.simd.width();
        let dim = self.heads.dim as usize;
        let of_head = ROWS * dim.next_multiple_of(width);
        let scale = (1.0 / f64::from(self.heads.dim).sqrt()) as f32;
        let first = tiles.first().map_or(0, |tile| tile.key as usize);
        let keys = tiles.iter().map(|tile| tile.keys as usize).max().unwrap_or(0);
        scratch.states.clear();
        scratch.states.resize(tiles.len() * self.group, [[f32::NEG_INFINITY, 0.0]; ROWS]);
        for start in (0..keys).step_by(RANGE) {
            let count = RANGE.min(keys - start);
            let padded = count.next_multiple_of(width);
            self.pack(first + start, count, padded, scratch);
            scratch.scores.resize(ROWS * padded, 0.0);
            let heads = tiles.iter().flat_map(|tile| (0..self.group).map(move |head| (tile, head)));
            for (((tile, head), state), out) in heads.zip(&mut scratch.states).zip(out.chunks_exact_mut(of_head)) {
                // The first row sees the earliest keys, and the last row the latest.
                let [first, last] = [0, tile.count - 1].map(|row| tile.seen(row, self.heads));
                if last.end as usize <= start || first.start as usize >= start + count {
                    continue;
                }
                self.simd.score(&scratch.keys, self.queries(tile, head), &mut scratch.scores);
                let mut factors = [0.0; ROWS];
                let rows = scratch.scores.chunks_exact_mut(padded).zip(state).zip(&mut factors);
                for (row, ((scores, state), factor)) in rows.enumerate() {
                    let seen = tile.seen((row as u32).min(tile.count - 1), self.heads);
                    let [from, to] =
                        [seen.start, seen.end].map(|key| (key as usize).clamp(start, start + count) - start);
                    if from >= to {
                        // Nothing here for this row: what it has so far stays.
                        scores.fill(0.0);
                        *factor = 1.0;
                        continue;
                    }
                    scores[..from].fill(f32::NEG_INFINITY);
                    *factor = self.simd.soften(scores, to, scale, state);
                }
                let weights = std::array::from_fn(|row| &scratch.scores[row * padded..][..padded]);
                self.simd.mix(&scratch.values, weights, factors, out);
            }
        }
        for (state, out) in scratch.states.iter().zip(out.chunks_exact_mut(of_head)) {
            for ([_, total], out) in state.iter().zip(out.chunks_exact_mut(of_head / ROWS)) {
                out.iter_mut().for_each(|value| *value /= total);
            }
        }
    }

    /// The rows of a tile in one query head; the last again where the tile has fewer.
    fn queries(&self, tile: &Tile, head: usize) -> [&[f32]; ROWS] {
        let (hq, dim) = (self.heads.query as usize, self.heads.dim as usize);
        let head = self.head * self.group + head;
        std::array::from_fn(|row| {
            let row = tile.row as usize + row.min(tile.count as usize - 1);
            &self.q[(row * hq + head) * dim..][..dim]
        })
    }

    /// Panels of the keys `first..first + count` and of their values, with zeros up to `padded` keys.
    fn pack(&self, first: usize, count: usize, padded: usize, scratch: &mut Scratch) {
        let width = self.simd.width();
        let (hkv, dim) = (self.heads.key as usize, self.heads.dim as usize);
        let panels = dim.div_ceil(width);
        scratch.keys.clear();
        scratch.keys.resize(padded * dim, 0.0);
        scratch.values.clear();
        scratch.values.resize(panels * width * padded, 0.0);
        for i in 0..count {
            let at = ((first + i) * hkv + self.head) * dim;
            let panel = &mut scratch.keys[i / width * width * dim + i % width..];
            for (into, value) in panel.iter_mut().step_by(width).zip(&self.k[at..at + dim]) {
                *into = *value;
            }
            for (panel, value) in self.v[at..at + dim].chunks(width).enumerate() {
                scratch.values[(panel * padded + i) * width..][..value.len()].copy_from_slice(value);
            }
        }
    }
}
