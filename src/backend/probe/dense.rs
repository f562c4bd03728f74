use super::{Probe, values};
use crate::backend::{BOUND_ROWS, Backend, Kernels};
use crate::error::{Error, Result};
use crate::numbers::{RowFormat, sign_bits};
use crate::reference;

/// Similarities of `[queries, rows, dim]`, of all rows and of those without the first and last; integers have to be
/// exact.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn dense(probe: &Probe<'_>, format: RowFormat, [queries, rows, dim]: [u32; 3]) -> Result<()> {
    let [(q, q_floats), (r, r_floats)] =
        [(31, queries), (32, rows)].map(|(seed, count)| vectors(format, seed, count * dim, dim));
    let len = format.row_bytes(dim) as usize;
    let mut padded = Vec::new();
    format.pad_rows(&r, dim, &mut padded);
    let (q_buffer, r_buffer) =
        (probe.backend.queries(probe.kernels, format, &q, dim)?, probe.backend.buffer_of("rows", &padded)?);
    let similarities = probe.backend.buffer("similarities", u64::from(queries * rows) * 4)?;
    for range in [0..rows, 1..rows.max(3) - 1] {
        if range.end > rows {
            continue;
        }
        let mut run = probe.backend.run(probe.kernels, &())?;
        run.dense(format, [&q_buffer, &r_buffer, &similarities], queries, range.clone(), dim)?;
        run.finish().await?;
        let count = u64::from(queries) * range.len() as u64;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&similarities.read(0, count * 4).await?);
        let part = |len: usize| range.start as usize * len..range.end as usize * len;
        let width = dim as usize;
        match format {
            RowFormat::Float32 | RowFormat::Float16 => {
                let dot = |a: &[f32], b: &[f32]| reference::dot(a, b) as f32;
                let expected = reference::dense(&q_floats, &r_floats[part(width)], width, dot);
                let got: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
                probe.compare("dense", &got, &expected)?;
            }
            RowFormat::Int8 => {
                let dot = |a: &[u8], b: &[u8]| reference::dot_codes(bytemuck::cast_slice(a), bytemuck::cast_slice(b));
                let expected = reference::dense(&q, &r[part(len)], len, dot);
                exact(format, words.into_iter().map(|w| i64::from(w as i32)), &expected)?;
            }
            RowFormat::Binary => {
                // Unused bits of the last byte count for nothing, so each dimension gets a byte of its own.
                let signs = |floats: &[f32]| floats.iter().map(|v| u8::from(*v >= 0.0)).collect::<Vec<_>>();
                let hamming = |a: &[u8], b: &[u8]| i64::from(reference::hamming(a, b));
                let expected = reference::dense(&signs(&q_floats), &signs(&r_floats)[part(width)], width, hamming);
                exact(format, words.into_iter().map(i64::from), &expected)?;
            }
        }
    }
    Ok(())
}

/// Bounds of the similarities of `queries` with `columns` rows, which begin at row 5 of those that have squares.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn dense_bounds(probe: &Probe<'_>, format: RowFormat, [queries, columns]: [u32; 2]) -> Result<()> {
    const FIRST: u32 = 5;
    let random = values(33, (queries * columns) as usize);
    // Sums of up to 2^24, beyond which float32 does not have all integers.
    let words: Vec<u32> = random
        .iter()
        .map(|v| match format {
            RowFormat::Float32 | RowFormat::Float16 => v.to_bits(),
            RowFormat::Int8 => (v * 16_777_215.0) as i32 as u32,
            RowFormat::Binary => (v.abs() * 1024.0) as u32,
        })
        .collect();
    // Every seventh row is zeros.
    let squares: Vec<u32> =
        (0..FIRST + columns).map(|row| if row % 7 == 0 { 0 } else { 1 + row * 7919 % 16_000_000 }).collect();
    let score = |(i, &bits): (usize, &u32)| match format {
        RowFormat::Float32 | RowFormat::Float16 => f64::from(f32::from_bits(bits)),
        RowFormat::Binary => -f64::from(bits),
        RowFormat::Int8 => match squares[FIRST as usize + i % columns as usize] {
            0 => 0.0,
            square => f64::from(bits as i32) / f64::from(square).sqrt(),
        },
    };
    let scores: Vec<f64> = words.iter().enumerate().map(score).collect();
    let highest = |block: &[f64]| block.iter().copied().fold(f64::NEG_INFINITY, f64::max) as f32;
    let rows = scores.chunks_exact(columns as usize);
    let expected: Vec<f32> = rows.flat_map(|row| row.chunks(BOUND_ROWS as usize).map(highest)).collect();

    let codes = format == RowFormat::Int8;
    let (similarities, squares) = (probe.buffer(&words)?, probe.buffer(&squares)?);
    let bounds = probe.room(expected.len() as u32)?;
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.dense_bounds(format, [&similarities, &bounds], codes.then_some(&squares), [queries, columns], FIRST)?;
    run.finish().await?;
    probe.compare("dense_bounds", &super::floats(&bounds, expected.len() as u32).await?, &expected)
}

/// Eight queries against as many rows as fill a device, to be timed.
///
/// # Errors
/// A fault of the device.
pub(super) async fn exercise(backend: &Backend, kernels: &Kernels, format: RowFormat) -> Result<()> {
    const SHAPE: [u32; 3] = [8, 16_384, 256];
    let [queries, rows, dim] = SHAPE;
    let row = vec![1; format.row_bytes(dim) as usize];
    let q = backend.queries(kernels, format, &row.repeat(queries as usize), dim)?;
    let data = backend.buffer("rows", u64::from(rows * format.padded_bytes(dim)))?;
    let similarities = backend.buffer("similarities", u64::from(queries * rows) * 4)?;
    let mut run = backend.run(kernels, &())?;
    run.dense(format, [&q, &data, &similarities], queries, 0..rows, dim)?;
    run.finish().await
}

/// `count` numbers as rows of `format` in host memory, and the numbers themselves. Codes reach both ends of int8; unused
/// bits of a row's last byte are ones, which must not count.
fn vectors(format: RowFormat, seed: u64, count: u32, dim: u32) -> (Vec<u8>, Vec<f32>) {
    let floats = values(seed, count as usize);
    let bytes = match format {
        RowFormat::Float32 | RowFormat::Float16 => bytemuck::cast_slice(&floats).to_vec(),
        RowFormat::Int8 => floats.iter().map(|v| (v * 140.0) as i8 as u8).collect(),
        RowFormat::Binary => {
            let unused = (1u8 << ((8 - dim % 8) % 8)) - 1;
            let mut bytes = Vec::new();
            for row in floats.chunks_exact(dim as usize) {
                bytes.extend(sign_bits(row));
                bytes.last_mut().into_iter().for_each(|last| *last |= unused);
            }
            bytes
        }
    };
    (bytes, floats)
}

fn exact(format: RowFormat, got: impl Iterator<Item = i64>, expected: &[i64]) -> Result<()> {
    for (i, (got, expected)) in got.zip(expected).enumerate() {
        if got != *expected {
            let message = format!("value {i} is {got}, expected {expected}");
            return Err(Error::WrongKernel { kernel: format!("dense {}", format.name()), message });
        }
    }
    Ok(())
}
