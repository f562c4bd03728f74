//! Linear layers: what they make of rows, in which bits, and in which time.

use super::{Probe, floats, values};
use crate::backend::ops::Operation;
use crate::backend::{Backend, Kernels, Weight};
use crate::error::Result;
use crate::numbers::{Float, MatrixFormat};
use crate::reference;

/// Rows of activations, and the weights of a norm for a kernel that normalizes them.
pub(super) struct Rows {
    pub(super) x: Vec<f32>,
    pub(super) norm: Vec<f32>,
    /// As weights meet them: normalized and rounded, where that is done.
    pub(super) met: Vec<f32>,
}

impl Probe<'_> {
    /// Random `[rows, k]` in `-size..size` for a linear layer, whose norm, if it has one, has an epsilon of 1e-6.
    pub(super) fn rows(&self, operation: Operation, [rows, k]: [u32; 2], seed: u64, size: f32, normed: bool) -> Rows {
        let mut x: Vec<f32> = values(seed, (rows * k) as usize).iter().map(|v| v * size).collect();
        let mut norm = values(seed + 13, k as usize);
        let power = |w: &mut f32| *w = if w.abs() < 0.5 { 0.5_f32 } else { 2.0 }.copysign(*w);
        if self.backend.takes_halves(self.kernels, operation) {
            // Halves hold these exactly.
            norm.iter_mut().for_each(power);
            x.iter_mut().for_each(|x| *x = (*x / size * 128.0).round() * size / 128.0);
        }
        let blocks = self.backend.rounded_blocks(self.kernels, operation, k);
        // A GPU's quotients may be off by a few units in the last place, and its squares are summed up in another order: a
        // number halfway between two codes may become either. Here all are within a quarter of one.
        if let (Some((blocks, levels)), Backend::Gpu(_)) = (&blocks, self.backend) {
            norm.iter_mut().for_each(power);
            let by = |i: usize| if normed { norm[i] } else { 1.0 };
            for (t, row) in x.chunks_exact_mut(k as usize).enumerate() {
                for (i, x) in row.iter_mut().enumerate() {
                    let code = (*x / size * levels).round() + *x / size / 4.0;
                    *x = code.clamp(-levels, *levels) * size / 128.0 / by(i);
                }
                for block in blocks {
                    let highest = block.start + t % block.len();
                    row[highest] = levels * size / 128.0 / by(highest);
                }
            }
        }
        let mut met = if normed { reference::rms_norm(&x, &norm, 1e-6) } else { x.clone() };
        if let Some((blocks, levels)) = blocks {
            met = reference::round_activations(&met, k as usize, &blocks, levels);
        }
        Rows { x, norm, met }
    }
}

/// A linear layer of `[rows, n, k]`, its weight in parts of at most `max_bytes` a buffer: stored at a row offset, then
/// accumulated.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn matmul(probe: &Probe<'_>, format: MatrixFormat, [rows, n, k]: [u32; 3], max_bytes: u64) -> Result<()> {
    let Rows { x, met, .. } = probe.rows(Operation::Matmul(format), [rows, k], 3, 1.0, false);
    let (w, mut w_values) = filled_weight(probe, format, [1, n, k], 4, max_bytes)?;
    let w_values = w_values.remove(0);
    let before = values(5, (rows * n) as usize);
    let (x_buffer, y, sum) = (probe.buffer(&x)?, probe.room((rows + 1) * n)?, probe.buffer(&before)?);
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.matmul(&x_buffer, &w, &y, rows, 1).await?;
    run.matmul_add(&x_buffer, &w, &sum, rows).await?;
    run.finish().await?;
    let product = reference::matmul(&met, &w_values, k as usize);
    let mut expected = vec![0.0; n as usize];
    expected.extend(&product);
    let kernel = format!("matmul {}", format.name());
    probe.compare(&kernel, &floats(&y, (rows + 1) * n).await?, &expected)?;
    let total: Vec<f32> = before.iter().zip(&product).map(|(a, b)| a + b).collect();
    probe.compare(&format!("{kernel}, accumulated"), &floats(&sum, rows * n).await?, &total)
}

/// The gated half of an MLP, `[rows, n, k]`, its weights in parts of at most `max_bytes` a buffer.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn swiglu(probe: &Probe<'_>, format: MatrixFormat, [rows, n, k]: [u32; 3], max_bytes: u64) -> Result<()> {
    let normalizes = probe.kernels.normalizes(format);
    let Rows { x, norm, met } = probe.rows(Operation::Swiglu(format), [rows, k], 6, 4.0, normalizes);
    let (pair, held) = filled_weight(probe, format, [2, n, k], 7, max_bytes)?;
    let y = probe.room(rows * n)?;
    let norm = probe.buffer(&norm)?;
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.swiglu(&probe.buffer(&x)?, normalizes.then_some((&norm, 1e-6)), &pair, &y, rows).await?;
    run.finish().await?;
    let expected = reference::swiglu(&met, &held[0], &held[1], k as usize);
    probe.compare(&format!("swiglu {}", format.name()), &floats(&y, rows * n).await?, &expected)
}

/// Whether a row of `matmul` (one matrix) or `swiglu` (two) has the same bits whatever other rows there are: few, some, or
/// so many that another tile is taken. The sums go over several blocks of K.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn rows_alike(probe: &Probe<'_>, format: MatrixFormat, matrices: u32) -> Result<()> {
    const ROWS: [u32; 3] = [3, 40, 4097];
    const SHAPE: [u32; 2] = [9, 136];
    let [n, k] = SHAPE;
    let x = probe.buffer(&values(16, (ROWS[2] * k) as usize))?;
    let (weight, _) = filled_weight(probe, format, [matrices, n, k], 17, u64::MAX)?;
    let norm = probe.buffer(&values(18, k as usize))?;
    let norm = probe.kernels.normalizes(format).then_some((&norm, 1e-6));
    let mut longest = Vec::new();
    for rows in ROWS.into_iter().rev() {
        let y = probe.room(rows * n)?;
        let mut run = probe.backend.run(probe.kernels, &())?;
        match matrices {
            1 => run.matmul(&x, &weight, &y, rows, 0).await?,
            _ => run.swiglu(&x, norm, &weight, &y, rows).await?,
        }
        run.finish().await?;
        let kernel = format!("{} {}", if matrices == 1 { "matmul" } else { "swiglu" }, format.name());
        same_bits(&kernel, rows, floats(&y, rows * n).await?, &mut longest)?;
    }
    Ok(())
}

/// Whether what was made of the first `rows` rows has the bits that it has in `longest`, which is set by the first call.
///
/// # Errors
/// [`crate::Error::WrongKernel`].
pub(super) fn same_bits(kernel: &str, rows: u32, made: Vec<f32>, longest: &mut Vec<f32>) -> Result<()> {
    if let Some(i) = made.iter().zip(&*longest).position(|(a, b)| a.to_bits() != b.to_bits()) {
        let message = format!("value {i} of {rows} rows has other bits than among more rows");
        return Err(crate::Error::WrongKernel { kernel: kernel.into(), message });
    }
    if longest.is_empty() {
        *longest = made;
    }
    Ok(())
}

/// One or two matrices of ordinary size, to be timed.
///
/// # Errors
/// A fault of the device.
pub(super) async fn exercise(backend: &Backend, kernels: &Kernels, format: MatrixFormat, matrices: u32) -> Result<()> {
    const ROWS: u32 = 512;
    const SIZE: u32 = 1024;
    let weight = backend.weight(kernels, "probe", [matrices, SIZE, SIZE], format)?;
    let room = || backend.buffer("probe", u64::from(ROWS * SIZE) * 4);
    let (x, y) = (room()?, room()?);
    let norm = kernels.normalizes(format).then_some((&x, 1e-6));
    let mut run = backend.run(kernels, &())?;
    match matrices {
        1 => run.matmul(&x, &weight, &y, ROWS, 0).await?,
        _ => run.swiglu(&x, norm, &weight, &y, ROWS).await?,
    }
    run.finish().await
}

/// A weight filled at random, the rows of each matrix in two writes; and the values in -1..1 it then holds.
fn filled_weight(
    probe: &Probe<'_>,
    format: MatrixFormat,
    shape: [u32; 3],
    seed: u64,
    max_bytes: u64,
) -> Result<(Weight, Vec<Vec<f32>>)> {
    let [matrices, n, k] = shape;
    let limit = max_bytes.min(probe.backend.limits().buffer_bytes);
    let weight = probe.backend.weight_in_parts(probe.kernels, "probe", shape, format, limit)?;
    let operation = if matrices == 1 { Operation::Matmul(format) } else { Operation::Swiglu(format) };
    let halves = probe.backend.takes_halves(probe.kernels, operation);
    let held = (0..matrices as usize).map(|matrix| fill(&weight, matrix, [n, k], seed + matrix as u64, halves));
    let held = held.collect();
    Ok((weight, held))
}

/// Fills a matrix at random with values in -1..1, or, so that `halves` hold them exactly, in -1.5..1.5, and returns them.
pub(super) fn fill(weight: &Weight, matrix: usize, [n, k]: [u32; 2], seed: u64, halves: bool) -> Vec<f32> {
    let format = weight.format();
    let raw = values(seed, (n * k) as usize);
    let row_groups = format.row_groups(k.into()) as usize;
    let mut groups = Vec::new();
    let (bytes, held) = match format {
        MatrixFormat::F32 | MatrixFormat::F16 | MatrixFormat::Bf16 => {
            let number = format.float().unwrap_or(Float::F32);
            let bytes = Float::F32.convert(bytemuck::cast_slice(&raw), number).unwrap_or_default().into_owned();
            let mut held = Vec::new();
            number.widen(&bytes, &mut held);
            (bytes, held)
        }
        MatrixFormat::Q8 { group } | MatrixFormat::Q4 { group } => {
            groups = group_pairs(seed + 100, n as usize * row_groups, format.bits());
            if halves {
                let step = 0.5_f32.powi(format.bits() as i32);
                for [scale, bias] in &mut groups {
                    *scale = if scale.abs() < step / 2.0 { step / 2.0 } else { step }.copysign(*scale);
                    *bias = (*bias * 32.0).round() / 64.0;
                }
            }
            let bytes = codes(&raw, format.bits());
            let held = reference::dequantize(&bytes, format.bits() as usize, &groups, k as usize, group as usize);
            (bytes, held)
        }
    };
    let cut = n / 3;
    let (first, rest) = bytes.split_at((u64::from(cut) * format.value_bytes(k.into())) as usize);
    let (first_groups, rest_groups) = groups.split_at(cut as usize * row_groups);
    weight.write(matrix, 0, first);
    weight.write(matrix, cut, rest);
    weight.write_groups(matrix, 0, first_groups);
    weight.write_groups(matrix, cut, rest_groups);
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

/// Scales of either sign and biases that keep every weight in -1..1.
fn group_pairs(seed: u64, count: usize, bits: u32) -> Vec<[f32; 2]> {
    let largest = ((1u32 << bits) - 1) as f32;
    let (spans, edges) = (values(seed, count), values(seed + 1, count));
    spans.iter().zip(&edges).map(|(span, edge)| [span / largest, edge.abs().copysign(-span)]).collect()
}
