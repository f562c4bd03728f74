//! Rows of vectors: packing them, and comparing queries with them.

use std::ops::Range;

use half::f16;

use super::CpuRun;
use super::buffer::{CpuBuffer, floats, floats_mut};
use super::dot::dot;
use crate::backend::ops::{MaxSimShard, MaximaSum};
use crate::error::{Error, Result};
use crate::numbers::{RowBuf, RowFormat};

/// A float as an integer of the same order; 0 is below every finite number.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 }
}

fn unordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & 0x7fff_ffff } else { !bits })
}

/// A padded row of `dim` dimensions as f32.
fn widen(format: RowFormat, row: &[u8], dim: usize, into: &mut Vec<f32>) {
    into.clear();
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
        let (queries, data, mut similarities) = (queries.words(), data.words(), similarities.words_mut());
        let words = format.padded_bytes(dim) as usize / 4;
        let rows_of = &data[rows.start as usize * words..rows.end as usize * words];
        let queries = queries.chunks_exact(words).take(count as usize);
        for (query, out) in queries.zip(similarities.chunks_exact_mut(rows.len().max(1))) {
            for (row, out) in rows_of.chunks_exact(words).zip(out) {
                *out = match format {
                    RowFormat::Float32 => dot(floats(query), floats(row)).to_bits(),
                    RowFormat::Float16 => {
                        return Err(Error::Gpu { message: "no kernel does dense for float16".into() });
                    }
                    RowFormat::Int8 => {
                        let (query, row): (&[i8], &[i8]) = (bytemuck::cast_slice(query), bytemuck::cast_slice(row));
                        query.iter().zip(row).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>() as u32
                    }
                    RowFormat::Binary => query.iter().zip(row).map(|(a, b)| (a ^ b).count_ones()).sum(),
                };
            }
        }
        Ok(())
    }

    /// See [`crate::backend::Run::maxsim`]: each token is widened once for all query rows.
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
        let mut token = Vec::new();
        for job in shard.jobs {
            let rows = &floats(&queries)[job.query as usize * padded..][..job.rows as usize * padded];
            for (position, document) in shard.documents[job.documents.clone()].iter().enumerate() {
                self.check_cancelled()?;
                let best = &mut best[job.best as usize + position * job.rows as usize..][..job.rows as usize];
                for t in document.clone() {
                    widen(format, bytemuck::cast_slice(&data[t as usize * words..][..words]), dim, &mut token);
                    let scale = scales.as_ref().map_or(1.0, |scales| floats(scales)[t as usize]);
                    for (best, row) in best.iter_mut().zip(rows.chunks_exact(padded)) {
                        *best = (*best).max(ordered(dot(&row[..dim], &token) * scale));
                    }
                }
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
