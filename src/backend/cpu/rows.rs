//! Rows of vectors: packing them, and comparing queries with them. `maxsim` has late interaction.

use std::ops::Range;

use super::CpuRun;
use super::buffer::{CpuBuffer, floats};
use crate::error::{Error, Result};
use crate::numbers::{RowBuf, RowFormat};

/// Rows that a thread compares at a time.
const ROWS_OF_A_JOB: usize = 1024;

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
}
