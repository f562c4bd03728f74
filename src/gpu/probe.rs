//! Known answers: each kernel against its CPU twin, on the adapter at hand.
//!
//! [`check`] runs every kernel once on a small shape when a model is loaded, so that an adapter whose driver or
//! browser gets one wrong is found before it has made a vector. The tests call the same functions over the edges of
//! each kernel's tile.

mod dense;
mod keep;

pub use dense::dense;
pub use keep::{keep, keep_these};

use super::WeightType;
use super::{AttentionBuffers, Form, Gpu, HeadRows, Heads, Kernels, Linear, Recorder, Rope, Segment, Storage, Tile};
use crate::cpu;
use crate::error::{Error, Result};

/// Largest deviation allowed, relative to `1 + |expected|`. Sums here have at most a few thousand terms of size
/// about one, each rounded to f32 once, and `exp` may be off by a few units in the last place; a kernel that is
/// wrong is wrong by far more.
const TOLERANCE: f64 = 2e-5;

/// Runs every kernel on a small shape with a ragged edge in each direction.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub(super) async fn check(gpu: &Gpu, kernels: &Kernels) -> Result<()> {
    rms_norm(gpu, kernels, 3, 68).await?;
    for weight_type in kernels.weight_types() {
        // Of affine types a whole group and a shorter one.
        let storage = Storage { weight_type, group: if weight_type.is_affine() { 16 } else { 0 } };
        matmul(gpu, kernels, storage, [5, 9, 24], u64::MAX).await?;
        swiglu(gpu, kernels, storage, [5, 5, 24], u64::MAX).await?;
    }
    head_norm_rope(gpu, kernels, 3, [2, 20]).await?;
    attention(gpu, kernels, &[1, 9], Heads { query: 4, key: 2, dim: 12, causal: false }).await?;
    for form in [Form::Float32, Form::Int8, Form::Binary, Form::Ubinary] {
        pool_quantise(gpu, kernels, &[1, 0, 5], [12, 10], form, form == Form::Float32).await?;
    }
    Ok(())
}

/// Repeatable values in -1..1 (SplitMix64).
pub fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// RMSNorm of `rows` rows of `h`.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn rms_norm(gpu: &Gpu, kernels: &Kernels, rows: u32, h: u32) -> Result<()> {
    let (x, w) = (values(1, (rows * h) as usize), values(2, h as usize));
    let y = gpu.storage("y", u64::from(rows * h) * 4)?;
    let (x_buffer, w_buffer) = (gpu.storage_of("x", &x)?, gpu.storage_of("w", &w)?);
    let mut run = Recorder::new(gpu, kernels, &());
    run.rms_norm(&x_buffer, &w_buffer, &y, rows, h, 1e-6);
    run.finish().await?;
    compare("rms_norm", &floats(gpu, &y, rows * h).await?, &cpu::rms_norm(&x, &w, 1e-6))
}

/// A linear layer of `[rows, n, k]`, its weight held as `storage` in parts of at most `max_binding` bytes a buffer:
/// stored at a row offset, then accumulated.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn matmul(
    gpu: &Gpu,
    kernels: &Kernels,
    storage: Storage,
    [rows, n, k]: [u32; 3],
    max_binding: u64,
) -> Result<()> {
    let x = values(3, (rows * k) as usize);
    let w = Linear::with_max_binding(gpu, "probe", [1, n, k], storage, max_binding.min(gpu.max_binding()))?;
    let w_values = fill(gpu, &w, 0, 4);
    let x_buffer = gpu.storage_of("x", &x)?;
    let before = values(5, (rows * n) as usize);
    let (y, sum) = (gpu.storage("y", u64::from((rows + 1) * n) * 4)?, gpu.storage_of("sum", &before)?);
    let mut run = Recorder::new(gpu, kernels, &());
    run.matmul(&x_buffer, &w, &y, rows, 1);
    run.matmul_add(&x_buffer, &w, &sum, rows);
    run.finish().await?;
    let product = cpu::matmul(&x, &w_values, k as usize);
    let mut expected = vec![0.0; n as usize];
    expected.extend(&product);
    let kernel = |part: &str| format!("matmul_{}{part}", storage.weight_type.name());
    compare(&kernel(""), &floats(gpu, &y, (rows + 1) * n).await?, &expected)?;
    let total: Vec<f32> = before.iter().zip(&product).map(|(a, b)| a + b).collect();
    compare(&kernel(" (accumulate)"), &floats(gpu, &sum, rows * n).await?, &total)
}

/// The gated half of an MLP, `[rows, n, k]`, its weights held as `storage` in parts of at most `max_binding` bytes a
/// buffer.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn swiglu(
    gpu: &Gpu,
    kernels: &Kernels,
    storage: Storage,
    [rows, n, k]: [u32; 3],
    max_binding: u64,
) -> Result<()> {
    let x: Vec<f32> = values(6, (rows * k) as usize).iter().map(|v| v * 4.0).collect();
    let pair = Linear::with_max_binding(gpu, "probe", [2, n, k], storage, max_binding.min(gpu.max_binding()))?;
    let (gate, up) = (fill(gpu, &pair, 0, 7), fill(gpu, &pair, 1, 8));
    let (x_buffer, y) = (gpu.storage_of("x", &x)?, gpu.storage("y", u64::from(rows * n) * 4)?);
    let mut run = Recorder::new(gpu, kernels, &());
    run.swiglu(&x_buffer, &pair, &y, rows);
    run.finish().await?;
    let kernel = format!("swiglu_{}", storage.weight_type.name());
    compare(&kernel, &floats(gpu, &y, rows * n).await?, &cpu::swiglu(&x, &gate, &up, k as usize))
}

/// Head norm and rotary embedding of `rows` tokens, in a buffer and a table that both start earlier.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn head_norm_rope(gpu: &Gpu, kernels: &Kernels, rows: u32, [heads, dh]: [u32; 2]) -> Result<()> {
    let (x_row, position_row, table_rows) = (1, 2, 40_000);
    let x = values(9, ((rows + x_row) * heads * dh) as usize);
    let w = values(10, dh as usize);
    let table = cpu::rope_table(table_rows, dh as usize, 1e6);
    let positions: Vec<u32> = (0..rows + position_row).map(|i| i * 7919 % table_rows as u32).collect();
    let (table_buffer, position_buffer) = (gpu.storage_of("rope", &table)?, gpu.storage_of("positions", &positions)?);
    let rope = Rope { table: &table_buffer, positions: &position_buffer };
    let shape = HeadRows { rows, heads, dim: dh, x_row, position_row, eps: 1e-6 };
    let (x_buffer, w_buffer) = (gpu.storage_of("x", &x)?, gpu.storage_of("w", &w)?);
    let mut run = Recorder::new(gpu, kernels, &());
    run.head_norm_rope(&x_buffer, &w_buffer, rope, shape);
    run.finish().await?;
    let untouched = (x_row * heads * dh) as usize;
    let mut expected = x[..untouched].to_vec();
    let places = &positions[position_row as usize..];
    expected.extend(cpu::head_norm_rope(&x[untouched..], &w, &table, places, 1e-6));
    compare("head_norm_rope", &floats(gpu, &x_buffer, x.len() as u32).await?, &expected)
}

/// Attention over texts of `lengths`, end to end.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn attention(gpu: &Gpu, kernels: &Kernels, lengths: &[usize], heads: Heads) -> Result<()> {
    let tokens: usize = lengths.iter().sum();
    let (hq, hkv, dh) = (heads.query as usize, heads.key as usize, heads.dim as usize);
    // Scaled so that the softmax is neither flat nor a single peak.
    let q: Vec<f32> = values(11, tokens * hq * dh).iter().map(|v| v * 3.0).collect();
    let (k, v) = (values(12, tokens * hkv * dh), values(13, tokens * hkv * dh));
    let mut tiles = Vec::new();
    let mut first = 0;
    for &length in lengths {
        tiles.extend(Tile::cover(first, first, 0, length as u32, length as u32, heads.causal));
        first += length as u32;
    }
    let table = gpu.storage_of("tiles", &tiles)?;
    let state = gpu.storage("state", tiles.len() as u64 * heads.state_bytes())?;
    let (q_buffer, k_buffer) = (gpu.storage_of("q", &q)?, gpu.storage_of("k", &k)?);
    let (v_buffer, y) = (gpu.storage_of("v", &v)?, gpu.storage("y", (q.len() * 4) as u64)?);
    let mut run = Recorder::new(gpu, kernels, &());
    let buffers = AttentionBuffers { tiles: &table, q: &q_buffer, k: &k_buffer, v: &v_buffer, y: &y, state: &state };
    run.attention(&tiles, buffers, heads);
    run.finish().await?;
    let expected = cpu::attention(&q, &k, &v, lengths, [hq, hkv], heads.causal);
    compare("attention", &floats(gpu, &y, q.len() as u32).await?, &expected)
}

/// Pooling of texts of `lengths` and `h` dimensions, fed in two slabs, then `d` of them in `form`.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn pool_quantise(
    gpu: &Gpu,
    kernels: &Kernels,
    lengths: &[usize],
    [h, d]: [u32; 2],
    form: Form,
    normalise: bool,
) -> Result<()> {
    let tokens: usize = lengths.iter().sum();
    let x = values(14, tokens * h as usize);
    // The first slab ends in the middle of the batch, and so in the middle of a text.
    let cut = tokens / 2;
    let mut slabs = [Vec::new(), Vec::new()];
    let mut first = 0;
    for (text, &length) in lengths.iter().enumerate() {
        for (slab, range) in slabs.iter_mut().zip([0..cut, cut..tokens]) {
            let (from, to) = (first.max(range.start), (first + length).min(range.end));
            if from < to {
                let row = (from - range.start) as u32;
                slab.push(Segment { row, count: (to - from) as u32, start: (from - first) as u32, text: text as u32 });
            }
        }
        first += length;
    }
    let counts: Vec<u32> = lengths.iter().map(|&l| l as u32).collect();
    let texts = counts.len() as u32;
    let state = gpu.storage("state", u64::from(texts * h) * 8)?;
    let (counts, y) = (gpu.storage_of("counts", &counts)?, gpu.storage("y", u64::from(texts * form.row_words(d)) * 4)?);
    let mut run = Recorder::new(gpu, kernels, &());
    for (slab, rows) in slabs.iter().zip([&x[..cut * h as usize], &x[cut * h as usize..]]) {
        if !slab.is_empty() {
            let (table, rows) = (gpu.storage_of("segments", slab)?, gpu.storage_of("x", rows)?);
            run.pool(slab, &table, &rows, &state, h);
        }
    }
    run.quantise([&counts, &state, &y], texts, [d, h], form, normalise);
    run.finish().await?;

    let bytes = gpu.read(&y, u64::from(texts * form.row_words(d)) * 4).await?;
    let mut first = 0;
    for (row, &length) in bytes.chunks_exact((form.row_words(d) * 4) as usize).zip(lengths) {
        let mut mean = cpu::mean(&x[first * h as usize..(first + length) * h as usize], h as usize);
        mean.truncate(d as usize);
        if normalise {
            mean = cpu::normalise(&mean);
        }
        let row = &row[..form.row_bytes(d) as usize];
        let expected: Vec<f32> = match form {
            Form::Float32 => mean,
            Form::Int8 => cpu::int8(&mean).into_iter().map(f32::from).collect(),
            Form::Binary => cpu::binary(&mean).into_iter().map(f32::from).collect(),
            Form::Ubinary => cpu::pack_bits(&mean).into_iter().map(f32::from).collect(),
        };
        let got: Vec<f32> = match form {
            Form::Float32 => bytemuck::pod_collect_to_vec(row),
            Form::Int8 | Form::Binary => row.iter().map(|&b| f32::from(b as i8)).collect(),
            Form::Ubinary => row.iter().copied().map(f32::from).collect(),
        };
        compare("pool and quantise", &got, &expected)?;
        first += length;
    }
    Ok(())
}

/// Fills `matrix` of `linear` at random, the rows in two writes; the values in -1..1 it then holds.
fn fill(gpu: &Gpu, linear: &Linear, matrix: usize, seed: u64) -> Vec<f32> {
    let (n, k, storage) = (linear.n, linear.k, linear.storage());
    let raw = values(seed, (n * k) as usize);
    let mut groups = Vec::new();
    let (bytes, held): (Vec<u8>, Vec<f32>) = match storage.weight_type {
        WeightType::F32 => (bytemuck::cast_slice(&raw).to_vec(), raw),
        WeightType::F16 => {
            let halves: Vec<_> = raw.iter().map(|&v| half::f16::from_f32(v)).collect();
            (bytemuck::cast_slice(&halves).to_vec(), halves.iter().map(|v| v.to_f32()).collect())
        }
        WeightType::Bf16 => {
            let halves: Vec<_> = raw.iter().map(|&v| half::bf16::from_f32(v)).collect();
            (bytemuck::cast_slice(&halves).to_vec(), halves.iter().map(|v| v.to_f32()).collect())
        }
        WeightType::Q8 | WeightType::Q4 => {
            let bits = storage.weight_type.bits();
            groups = affine_groups(seed + 100, n * storage.row_groups(k), bits);
            let bytes = codes(&raw, bits);
            let held = cpu::dequantise(&bytes, bits as usize, &groups, k as usize, storage.group as usize);
            (bytes, held)
        }
    };
    let cut = n / 3;
    let (first, rest) = bytes.split_at(cut as usize * storage.row_bytes(k) as usize);
    let (first_groups, rest_groups) = groups.split_at((cut * storage.row_groups(k)) as usize);
    linear.write(gpu, matrix, 0, first);
    linear.write(gpu, matrix, cut, rest);
    linear.write_groups(gpu, matrix, 0, first_groups);
    linear.write_groups(gpu, matrix, cut, rest_groups);
    held
}

/// `raw` in -1..1 as packed codes of `bits`. Every fifth is 0, and every fifth the largest.
fn codes(raw: &[f32], bits: u32) -> Vec<u8> {
    let largest = (1u32 << bits) - 1;
    let code = |(i, v): (usize, &f32)| match i % 5 {
        0 => 0,
        1 => largest,
        _ => ((v * 0.5 + 0.5) * largest as f32).round() as u32,
    };
    let codes: Vec<u32> = raw.iter().enumerate().map(code).collect();
    codes.chunks(8 / bits as usize).map(|byte| byte.iter().rev().fold(0, |b, code| b << bits | code) as u8).collect()
}

/// Scales of either sign and biases that keep every weight in -1..1, as `codes` of `bits` go up or down from an edge.
fn affine_groups(seed: u64, count: u32, bits: u32) -> Vec<[f32; 2]> {
    let largest = ((1u32 << bits) - 1) as f32;
    let (spans, edges) = (values(seed, count as usize), values(seed + 1, count as usize));
    spans.iter().zip(&edges).map(|(span, edge)| [span / largest, edge.abs().copysign(-span)]).collect()
}

async fn floats(gpu: &Gpu, buffer: &wgpu::Buffer, count: u32) -> Result<Vec<f32>> {
    Ok(bytemuck::pod_collect_to_vec(&gpu.read(buffer, u64::from(count) * 4).await?))
}

fn compare(kernel: &str, got: &[f32], expected: &[f32]) -> Result<()> {
    let wrong = |message: String| Err(Error::WrongKernel { kernel: kernel.into(), message });
    if got.len() != expected.len() {
        return wrong(format!("{} values, expected {}", got.len(), expected.len()));
    }
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let deviation = f64::from(got - expected).abs() / (1.0 + f64::from(expected).abs());
        if deviation.is_nan() || deviation > TOLERANCE {
            return wrong(format!("value {i} is {got}, expected {expected}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn a_deviation_a_nan_and_a_missing_value_are_found() {
        assert!(compare("k", &[1.0, 2.0], &[1.0, 2.0]).is_ok());
        assert!(compare("k", &[1.0, 2.001], &[1.0, 2.0]).is_err());
        assert!(compare("k", &[1.0, f32::NAN], &[1.0, 2.0]).is_err());
        assert!(compare("k", &[1.0], &[1.0, 2.0]).is_err());
    }
}
