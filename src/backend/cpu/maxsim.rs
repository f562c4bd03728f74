//! Late interaction.

use super::CpuRun;
use super::buffer::{CpuBuffer, floats, floats_mut};
use super::simd::ROWS;
use crate::backend::ops::{MaxSimShard, MaximaSum};
use crate::error::Result;
use crate::numbers::{RowData, RowFormat};

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

/// Document tokens where they lie: in a buffer, padded, or in a caller's memory.
#[derive(Clone, Copy)]
pub struct TokenRows<'a> {
    /// The rows. Their own scales are not read.
    pub data: RowData<'a>,
    /// Elements from one row to the next.
    pub width: usize,
    /// What the similarities of each row are multiplied by.
    pub factors: Option<&'a [f32]>,
}

impl<'a> TokenRows<'a> {
    /// Those of `format` in the words of a buffer.
    fn padded(words: &'a [u32], format: RowFormat, dim: u32, factors: Option<&'a [f32]>) -> Self {
        let data = match format {
            RowFormat::Float32 => RowData::Float32(bytemuck::cast_slice(words)),
            RowFormat::Float16 => RowData::Float16(bytemuck::cast_slice(words)),
            RowFormat::Int8 => RowData::Int8 { codes: bytemuck::cast_slice(words), scales: None },
            RowFormat::Binary => RowData::Binary(bytemuck::cast_slice(words)),
        };
        let row = format.row_bytes(dim) as usize;
        Self { data, width: format.padded_bytes(dim) as usize * format.row_len(dim as usize) / row, factors }
    }

    /// Row `t` of `dim` dimensions: as it is, or widened into `wide`.
    fn row<'b>(&self, t: usize, dim: usize, wide: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let at = t * self.width;
        match self.data {
            RowData::Float32(data) => return &data[at..at + dim],
            RowData::Float16(data) => wide.iter_mut().zip(&data[at..at + dim]).for_each(|(w, v)| *w = v.to_f32()),
            RowData::Int8 { codes, .. } => {
                wide.iter_mut().zip(&codes[at..at + dim]).for_each(|(w, &code)| *w = f32::from(code));
            }
            RowData::Binary(data) => {
                let bits = &data[at..at + dim.div_ceil(8)];
                let sign = |d: usize| if bits[d / 8] >> (7 - d % 8) & 1 == 1 { 1.0 } else { -1.0 };
                wide.iter_mut().enumerate().for_each(|(d, w)| *w = sign(d));
            }
        }
        wide
    }
}

/// Memory of a thread that scores.
struct Scratch {
    /// `[ROWS, D]`
    wide: Vec<f32>,
    /// A maximum for each query row, in whole panels.
    raised: Vec<f32>,
}

impl CpuRun<'_> {
    /// See [`crate::backend::Run::maxsim`], of rows in a buffer.
    pub fn maxsim_of_buffer(
        &mut self,
        format: RowFormat,
        shard: MaxSimShard<'_>,
        buffers: [&CpuBuffer; 2],
        data: &CpuBuffer,
        factors: Option<&CpuBuffer>,
    ) -> Result<()> {
        let (data, factors) = (data.words(), factors.map(CpuBuffer::words));
        let factors = factors.as_ref().map(|factors| floats(factors));
        self.maxsim(shard, buffers, TokenRows::padded(&data, format, shard.dim, factors))
    }

    /// See [`crate::backend::Run::maxsim`]: query rows are the outputs of panels, and each token is widened once for all.
    pub fn maxsim(
        &mut self,
        shard: MaxSimShard<'_>,
        [queries, best]: [&CpuBuffer; 2],
        tokens: TokenRows<'_>,
    ) -> Result<()> {
        let (queries, mut best) = (queries.words(), best.words_mut());
        let (dim, padded) = (shard.dim as usize, shard.dim.next_multiple_of(4) as usize);
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
                let scratch =
                    || Scratch { wide: vec![0.0; ROWS * dim], raised: vec![0.0; count.next_multiple_of(width)] };
                self.cpu.threads.each(best, count, scratch, |Scratch { wide, raised }, document, best| {
                    raised.fill(f32::NEG_INFINITY);
                    let document = documents[document].start as usize..documents[document].end as usize;
                    for first in document.clone().step_by(ROWS) {
                        let at: [usize; ROWS] = std::array::from_fn(|i| (first + i).min(document.end - 1));
                        let factors = at.map(|t| tokens.factors.map_or(1.0, |factors| factors[t]));
                        let mut wide = wide.chunks_exact_mut(dim);
                        let rows = at.map(|t| tokens.row(t, dim, wide.next().unwrap_or_default()));
                        simd.raise(&panels, rows, factors, raised);
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
