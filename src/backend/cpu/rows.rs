//! Rows of vectors: packing them, and comparing queries with them.

use std::ops::Range;

use half::f16;

use super::CpuRun;
use super::buffer::{CpuBuffer, floats, floats_mut};
use super::simd::ROWS;
use crate::backend::ops::{MaxSimShard, MaximaSum};
use crate::error::{Error, Result};
use crate::numbers::{RowBuf, RowFormat};

/// Rows that a thread compares at a time.
const ROWS_OF_A_JOB: usize = 1024;
/// Documents that are scored before the caller is asked whether to stop.
const DOCUMENTS_A_CHECK: usize = 256;

/// A float as an integer of the same order; 0 is below every finite number.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 }
}

fn unordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & 0x7fff_ffff } else { !bits })
}

/// Appends a padded row of `dim` dimensions as f32.
fn widen(format: RowFormat, row: &[u8], dim: usize, into: &mut Vec<f32>) {
    match format {
        RowFormat::Float32 => into.extend_from_slice(&bytemuck::cast_slice(row)[..dim]),
        RowFormat::Float16 => into.extend(bytemuck::cast_slice::<u8, f16>(row)[..dim].iter().map(|v| v.to_f32())),
        RowFormat::Int8 => into.extend(row[..dim].iter().map(|&code| f32::from(code as i8))),
        RowFormat::Binary => {
            into.extend((0..dim).map(|d| if row[d / 8] >> (7 - d % 8) & 1 == 1 { 1.0 } else { -1.0 }));
        }
    }
}

impl CpuRun<'_> {
    /// See [`crate::backend::Run::pack_rows`].
    pub fn pack_rows(
        &mut self,
        format: RowFormat,
        vectors: &CpuBuffer,
        (data, scales): (&CpuBuffer, Option<&CpuBuffer>),
        from: Range<u32>,
        at: u32,
        dim: u32,
    ) -> Result<()> {
        let vectors = vectors.words();
        let width = dim as usize;
        let mut rows = RowBuf::new(format, true);
        let all = floats(&vectors)[from.start as usize * width..].chunks_exact(width);
        all.take(from.len()).for_each(|vector| rows.push(vector));
        let mut padded = Vec::new();
        format.pad_rows(rows.as_data().bytes(), dim, &mut padded);
        data.write(u64::from(at) * u64::from(format.padded_bytes(dim)), &padded);
        if let Some(own) = rows.as_data().scales() {
            let scales =
                scales.ok_or_else(|| Error::Gpu { message: "int8 token vectors need room for scales".into() })?;
            scales.write(u64::from(at) * 4, bytemuck::cast_slice(own));
        }
        Ok(())
    }

    /// See [`crate::backend::Run::dense`].
    pub fn dense(
        &mut self,
        format: RowFormat,
        [queries, data, similarities]: [&CpuBuffer; 3],
        count: u32,
        rows: Range<u32>,
        dim: u32,
    ) -> Result<()> {
        if format == RowFormat::Float16 {
            return Err(Error::Gpu { message: "no kernel does dense for float16".into() });
        }
        let (queries, data, mut similarities) = (queries.words(), data.words(), similarities.words_mut());
        let words = format.padded_bytes(dim) as usize / 4;
        let rows_of = &data[rows.start as usize * words..rows.end as usize * words];
        let simd = self.cpu.simd;
        let queries = queries.chunks_exact(words).take(count as usize);
        for (query, out) in queries.zip(similarities.chunks_exact_mut(rows.len().max(1))) {
            let wide: Vec<i16> = bytemuck::cast_slice::<u32, i8>(query).iter().map(|&code| i16::from(code)).collect();
            self.cpu.threads.each(
                out,
                ROWS_OF_A_JOB,
                || (),
                |(), job, out| {
                    let rows = rows_of.chunks_exact(words).skip(job * ROWS_OF_A_JOB);
                    for (out, row) in out.iter_mut().zip(rows) {
                        *out = match format {
                            RowFormat::Float32 => simd.dot(floats(query), floats(row)).to_bits(),
                            RowFormat::Int8 => simd.dot_codes(&wide, bytemuck::cast_slice(row)) as u32,
                            RowFormat::Binary | RowFormat::Float16 => simd.hamming(query, row),
                        };
                    }
                },
            );
        }
        Ok(())
    }

    /// See [`crate::backend::Run::maxsim`]: query rows are the outputs of panels, and each token is widened once for all.
    pub fn maxsim(
        &mut self,
        format: RowFormat,
        shard: MaxSimShard<'_>,
        [queries, data, best]: [&CpuBuffer; 3],
        scales: Option<&CpuBuffer>,
    ) -> Result<()> {
        let (queries, data, mut best) = (queries.words(), data.words(), best.words_mut());
        let scales = scales.map(CpuBuffer::words);
        let (dim, padded) = (shard.dim as usize, shard.dim.next_multiple_of(4) as usize);
        let words = format.padded_bytes(shard.dim) as usize / 4;
        let simd = self.cpu.simd;
        let width = simd.width();
        for job in shard.jobs {
            let count = job.rows as usize;
            let rows = floats(&queries)[job.query as usize * padded..].chunks_exact(padded).take(count);
            let mut panels = vec![0.0; count.next_multiple_of(width) * dim];
            for (i, row) in rows.enumerate() {
                let panel = &mut panels[i / width * width * dim + i % width..];
                panel.iter_mut().step_by(width).zip(&row[..dim]).for_each(|(into, value)| *into = *value);
            }
            let documents = &shard.documents[job.documents.clone()];
            let all = &mut best[job.best as usize..][..documents.len() * count];
            for (documents, best) in documents.chunks(DOCUMENTS_A_CHECK).zip(all.chunks_mut(DOCUMENTS_A_CHECK * count))
            {
                self.check_cancelled()?;
                let scratch = || (vec![0.0; ROWS * dim], vec![0.0; count.next_multiple_of(width)]);
                self.cpu.threads.each(best, count, scratch, |(tokens, raised), document, best| {
                    raised.fill(f32::NEG_INFINITY);
                    let document = documents[document].clone();
                    for first in document.clone().step_by(ROWS) {
                        let at: [u32; ROWS] = std::array::from_fn(|i| (first + i as u32).min(document.end - 1));
                        let row = |t: u32| &data[t as usize * words..][..words];
                        let factors = at.map(|t| scales.as_ref().map_or(1.0, |scales| floats(scales)[t as usize]));
                        if format == RowFormat::Float32 {
                            simd.raise(&panels, at.map(|t| &floats(row(t))[..dim]), factors, raised);
                        } else {
                            tokens.clear();
                            at.iter().for_each(|&t| widen(format, bytemuck::cast_slice(row(t)), dim, tokens));
                            let tokens = std::array::from_fn(|i| &tokens[i * dim..][..dim]);
                            simd.raise(&panels, tokens, factors, raised);
                        }
                    }
                    for (best, raised) in best.iter_mut().zip(raised) {
                        *best = (*best).max(ordered(*raised));
                    }
                });
            }
        }
        Ok(())
    }

    /// See [`crate::backend::Run::maxsim_sum`].
    pub fn maxsim_sum(&mut self, sums: &[MaximaSum], [best, scores]: [&CpuBuffer; 2]) -> Result<()> {
        let (mut best, mut scores) = (best.words_mut(), scores.words_mut());
        for (sum, score) in sums.iter().zip(floats_mut(&mut scores)) {
            for maximum in &mut best[sum.best as usize..][..sum.rows as usize] {
                *score += unordered(std::mem::take(maximum));
            }
        }
        Ok(())
    }
}
