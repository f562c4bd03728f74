//! The operations of the encoder.

use super::{Probe, floats, values};
use crate::backend::ops::{Activation, HeadRows, Heads, Segment, Tile};
use crate::backend::{Backend, Buffer, Kernels};
use crate::error::Result;
use crate::numbers::{Dtype, Rope, RopeScaling, sign_bits};
use crate::reference;

impl Probe<'_> {
    pub(super) fn room(&self, count: u32) -> Result<Buffer> {
        self.backend.buffer("probe", u64::from(count) * 4)
    }

    pub(super) fn buffer<T: bytemuck::NoUninit>(&self, data: &[T]) -> Result<Buffer> {
        self.backend.buffer_of("probe", data)
    }
}

/// RMSNorm of `rows` rows of `h`.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn rms_norm(probe: &Probe<'_>, rows: u32, h: u32) -> Result<()> {
    let (x, w) = (values(1, (rows * h) as usize), values(2, h as usize));
    let y = probe.room(rows * h)?;
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.rms_norm(&probe.buffer(&x)?, &probe.buffer(&w)?, &y, rows, h, 1e-6)?;
    run.finish().await?;
    probe.compare("rms_norm", &floats(&y, rows * h).await?, &reference::rms_norm(&x, &w, 1e-6))
}

/// Head norm and rotary embedding of `rows` tokens, in a buffer and a table that both start earlier.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn head_norm_rope(probe: &Probe<'_>, rows: u32, [heads, dh]: [u32; 2]) -> Result<()> {
    let (x_row, position_row, table_rows) = (1, 2, 40_000);
    let x = values(9, ((rows + x_row) * heads * dh) as usize);
    let w = values(10, dh as usize);
    let table = Rope { theta: 1e6, scaling: RopeScaling::None }.table(table_rows, dh as usize);
    let positions: Vec<u32> = (0..rows + position_row).map(|i| i * 7919 % table_rows as u32).collect();
    let (table_buffer, position_buffer, x_buffer) =
        (probe.buffer(&table)?, probe.buffer(&positions)?, probe.buffer(&x)?);
    let shape = HeadRows { rows, heads, dim: dh, x_row, position_row, eps: 1e-6 };
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.head_norm_rope(&x_buffer, &probe.buffer(&w)?, [&table_buffer, &position_buffer], shape)?;
    run.finish().await?;
    let untouched = (x_row * heads * dh) as usize;
    let mut expected = x[..untouched].to_vec();
    let places = &positions[position_row as usize..];
    expected.extend(reference::head_norm_rope(&x[untouched..], &w, &table, places, 1e-6));
    probe.compare("head_norm_rope", &floats(&x_buffer, x.len() as u32).await?, &expected)
}

/// Attention over texts of `lengths`, end to end.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn attention(probe: &Probe<'_>, lengths: &[usize], heads: Heads) -> Result<()> {
    let tokens: usize = lengths.iter().sum();
    let (hq, hkv, dh) = (heads.query as usize, heads.key as usize, heads.dim as usize);
    // Scaled so that the softmax is neither flat nor a single peak.
    let q: Vec<f32> = values(11, tokens * hq * dh).iter().map(|v| v * 3.0).collect();
    let (k, v) = (values(12, tokens * hkv * dh), values(13, tokens * hkv * dh));
    let most = probe.kernels.tile_rows(heads);
    let mut tiles = Vec::new();
    let mut first = 0;
    for &length in lengths {
        tiles.extend(Tile::cover(most, first, first, 0, length as u32, length as u32, heads.causal));
        first += length as u32;
    }
    let state = probe.backend.buffer("state", tiles.len() as u64 * heads.state_bytes())?;
    let (table, y) = (probe.buffer(&tiles)?, probe.room(q.len() as u32)?);
    let (q_buffer, k_buffer, v_buffer) = (probe.buffer(&q)?, probe.buffer(&k)?, probe.buffer(&v)?);
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.attention(&tiles, &table, [&q_buffer, &k_buffer, &v_buffer, &y], &state, heads).await?;
    run.finish().await?;
    let window = heads.window.map(|window| window as usize);
    let expected = reference::attention([&q, &k, &v], lengths, [hq, hkv], heads.causal, window);
    probe.compare("attention", &floats(&y, q.len() as u32).await?, &expected)
}

/// Head norm and rotary embedding of queries of ordinary size, to be timed.
///
/// # Errors
/// A fault of the device.
pub(super) async fn exercise_head_norm_rope(backend: &Backend, kernels: &Kernels) -> Result<()> {
    const SHAPE: HeadRows = HeadRows { rows: 512, heads: 16, dim: 128, x_row: 0, position_row: 0, eps: 1e-6 };
    let HeadRows { rows, heads, dim, .. } = SHAPE;
    let room = |numbers: u32| backend.buffer("probe", u64::from(numbers) * 4);
    let (x, w, table, positions) = (room(rows * heads * dim)?, room(dim)?, room(dim)?, room(rows)?);
    let mut run = backend.run(kernels, &())?;
    run.head_norm_rope(&x, &w, [&table, &positions], SHAPE)?;
    run.finish().await
}

/// Attention of one text of ordinary length, to be timed.
///
/// # Errors
/// A fault of the device.
pub(super) async fn exercise_attention(backend: &Backend, kernels: &Kernels, heads: Heads) -> Result<()> {
    const TOKENS: u32 = 512;
    let room = |count: u32| backend.buffer("probe", u64::from(TOKENS * count * heads.dim) * 4);
    let (q, k, v, y) = (room(heads.query)?, room(heads.key)?, room(heads.key)?, room(heads.query)?);
    let tiles: Vec<Tile> = Tile::cover(kernels.tile_rows(heads), 0, 0, 0, TOKENS, TOKENS, heads.causal).collect();
    let table = backend.buffer_of("probe", &tiles)?;
    let state = backend.buffer("probe", tiles.len() as u64 * heads.state_bytes())?;
    let mut run = backend.run(kernels, &())?;
    run.attention(&tiles, &table, [&q, &k, &v, &y], &state, heads).await?;
    run.finish().await
}

/// Sums of texts of `lengths` and `h` dimensions, whose tokens come in two blocks and weigh more and more by a slope.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn pool(probe: &Probe<'_>, lengths: &[usize], h: u32, [weight, slope]: [f32; 2]) -> Result<()> {
    let tokens: usize = lengths.iter().sum();
    let x = values(14, tokens * h as usize);
    // The first block ends in the middle of the batch, and so in the middle of a text.
    let cut = tokens / 2;
    let mut blocks = [Vec::new(), Vec::new()];
    let mut first = 0;
    for (vector, &length) in (0..).zip(lengths) {
        for (block, range) in blocks.iter_mut().zip([0..cut, cut..tokens]) {
            let (from, to) = (first.max(range.start), (first + length).min(range.end));
            if from < to {
                let row = (from - range.start) as u32;
                let (count, start) = ((to - from) as u32, (from - first) as u32);
                block.push(Segment { row, count, start, vector, weight, slope });
            }
        }
        first += length;
    }
    let sums = probe.room(lengths.len() as u32 * h * 2)?;
    for (block, rows) in blocks.iter().zip([&x[..cut * h as usize], &x[cut * h as usize..]]) {
        if !block.is_empty() {
            let mut run = probe.backend.run(probe.kernels, &())?;
            run.pool(block, &probe.buffer(block)?, &probe.buffer(rows)?, &sums, h)?;
            run.finish().await?;
        }
    }
    let got: Vec<f32> = floats(&sums, lengths.len() as u32 * h * 2).await?.chunks(2).map(|s| s[0] + s[1]).collect();
    let mut first = 0;
    for (got, &length) in got.chunks_exact(h as usize).zip(lengths) {
        let rows = &x[first * h as usize..(first + length) * h as usize];
        let means: Vec<f32> = got.iter().map(|sum| sum / length.max(1) as f32).collect();
        probe.compare("pool", &means, &reference::mean(rows, h as usize, [weight, slope]))?;
        first += length;
    }
    Ok(())
}

/// A bias and an activation on the last of `rows + 1` rows of `n`.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn bias(probe: &Probe<'_>, rows: u32, n: u32, activation: Activation) -> Result<()> {
    let b = values(16, n as usize);
    // Up to 30, where a naive tanh overflows.
    let x: Vec<f32> = values(17, ((rows + 1) * n) as usize).iter().map(|v| v * v * v * 30.0).collect();
    let y = probe.buffer(&x)?;
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.bias([&probe.buffer(&b)?, &y], rows, 1, n, activation)?;
    run.finish().await?;
    let (untouched, rest) = x.split_at(n as usize);
    let mut expected = untouched.to_vec();
    expected.extend(rest.iter().zip(b.iter().cycle()).map(|(x, b)| {
        let sum = f64::from(*x) + f64::from(*b);
        (if activation == Activation::Tanh { sum.tanh() } else { sum }) as f32
    }));
    probe.compare("bias", &floats(&y, x.len() as u32).await?, &expected)
}

/// Vectors of `h` dimensions from their sums, `d` of them as `dtype`. The second of them has no tokens.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn quantize(probe: &Probe<'_>, vectors: u32, [h, d]: [u32; 2], dtype: Dtype, normalize: bool) -> Result<()> {
    let mut sums: Vec<f32> = values(15, (vectors * h * 2) as usize).iter().map(|v| v * 3.0).collect();
    // The last number that is kept of the last vector, and one that is not.
    let (last, at) = (vectors as usize - 1, |d: u32| ((vectors - 1) * h + d) as usize * 2);
    sums[at(d - 1) + 1] = f32::NAN;
    if d < h {
        sums[at(d)] = f32::INFINITY;
    }
    let counts: Vec<u32> = (0..vectors).map(|i| [3, 0, 1, 200][i as usize % 4]).collect();
    let row = dtype.row_words(d);
    let y = probe.room(vectors * (row + 1))?;
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.quantize([&probe.buffer(&counts)?, &probe.buffer(&sums)?, &y], vectors, [d, h], dtype, normalize)?;
    run.finish().await?;
    let bytes = y.read(0, u64::from(vectors * row) * 4).await?;
    let wrong: Vec<u32> =
        bytemuck::pod_collect_to_vec(&y.read(u64::from(vectors * row) * 4, u64::from(vectors) * 4).await?);
    for (i, &wrong) in wrong.iter().enumerate() {
        let expected = if i == last && counts[i] > 0 { 1.0 } else { 0.0 };
        probe.compare("quantize, what is not finite", &[wrong as f32], &[expected])?;
    }
    let rows = bytes.chunks_exact((row * 4) as usize).zip(sums.chunks_exact(h as usize * 2)).zip(&counts).take(last);
    for ((row, sums), &count) in rows {
        let mean = |s: &[f32]| if count == 0 { 0.0 } else { (f64::from(s[0]) + f64::from(s[1])) as f32 / count as f32 };
        let mut vector: Vec<f32> = sums.chunks_exact(2).take(d as usize).map(mean).collect();
        if normalize {
            vector = reference::normalize(&vector);
        }
        let row = &row[..dtype.row_bytes(d) as usize];
        let expected: Vec<f32> = match dtype {
            Dtype::Float32 => vector,
            Dtype::Int8 => reference::int8(&vector).into_iter().map(f32::from).collect(),
            Dtype::Binary => reference::binary(&vector).into_iter().map(f32::from).collect(),
            Dtype::Ubinary => sign_bits(&vector).into_iter().map(f32::from).collect(),
        };
        let got: Vec<f32> = match dtype {
            Dtype::Float32 => bytemuck::pod_collect_to_vec(row),
            Dtype::Int8 | Dtype::Binary => row.iter().map(|&b| f32::from(b as i8)).collect(),
            Dtype::Ubinary => row.iter().copied().map(f32::from).collect(),
        };
        probe.compare("quantize", &got, &expected)?;
    }
    Ok(())
}
