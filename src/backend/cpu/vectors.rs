//! RMSNorm, pooling, and the forms in which vectors leave the encoder.

use super::CpuRun;
use super::buffer::{CpuBuffer, floats, floats_mut};
use crate::backend::ops::{Activation, Segment};
use crate::error::Result;
use crate::numbers::{Dtype, sign_bits};

/// Tokens that are added up before they join the sum of those before; see `pool.wgsl`.
const BLOCK: u32 = 64;

impl CpuRun<'_> {
    /// See [`crate::backend::Run::rms_norm`].
    pub fn rms_norm(&mut self, [x, w, y]: [&CpuBuffer; 3], rows: u32, h: u32, eps: f32) -> Result<()> {
        let (x, w, mut y) = (x.words(), w.words(), y.words_mut());
        let h = h as usize;
        let (x, w, y) = (floats(&x), &floats(&w)[..h], &mut floats_mut(&mut y)[..rows as usize * h]);
        let simd = self.cpu.simd;
        self.cpu.threads.each(
            y,
            h,
            || (),
            |(), row, y| {
                let x = &x[row * h..][..h];
                simd.scale_by(x, 1.0 / (simd.dot(x, x) / h as f32 + eps).sqrt(), w, y);
            },
        );
        Ok(())
    }

    /// See [`crate::backend::Run::pool`].
    pub fn pool(&mut self, segments: &[Segment], [x, sums]: [&CpuBuffer; 2], h: u32) -> Result<()> {
        let (x, mut sums) = (x.words(), sums.words_mut());
        let h = h as usize;
        for segment in segments {
            let sums = &mut floats_mut(&mut sums)[segment.vector as usize * h * 2..][..h * 2];
            if segment.start == 0 {
                sums.fill(0.0);
            }
            let rows = floats(&x)[segment.row as usize * h..].chunks_exact(h).take(segment.count as usize);
            for (place, row) in (segment.start..).zip(rows) {
                let weight = segment.weight + place as f32 * segment.slope;
                for (sum, value) in sums.as_chunks_mut::<2>().0.iter_mut().zip(row) {
                    if place % BLOCK == 0 {
                        *sum = [0.0, sum[0] + sum[1]];
                    }
                    sum[0] += weight * value;
                }
            }
        }
        Ok(())
    }

    /// See [`crate::backend::Run::bias`].
    pub fn bias(
        &mut self,
        [bias, y]: [&CpuBuffer; 2],
        rows: u32,
        y_row: u32,
        n: u32,
        activation: Activation,
    ) -> Result<()> {
        let (bias, mut y) = (bias.words(), y.words_mut());
        let (n, bias) = (n as usize, floats(&bias));
        for row in floats_mut(&mut y)[y_row as usize * n..].chunks_exact_mut(n).take(rows as usize) {
            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            if activation == Activation::Tanh {
                row.iter_mut().for_each(|value| *value = value.tanh());
            }
        }
        Ok(())
    }

    /// See [`crate::backend::Run::quantize`].
    pub fn quantize(
        &mut self,
        [counts, sums, y]: [&CpuBuffer; 3],
        vectors: u32,
        [d, h]: [u32; 2],
        dtype: Dtype,
        normalize: bool,
    ) -> Result<()> {
        let (counts, sums, mut y) = (counts.words(), sums.words(), y.words_mut());
        let rows = floats(&sums).chunks_exact(h as usize * 2);
        let words = dtype.row_words(d) as usize;
        let (out, wrong) = y.split_at_mut(vectors as usize * words);
        let out = out.chunks_exact_mut(words).zip(wrong);
        for ((&count, sums), (out, wrong)) in counts.iter().zip(rows).zip(out) {
            let means = sums.as_chunks::<2>().0.iter().take(d as usize);
            let mean = |[block, before]: &[f32; 2]| if count == 0 { 0.0 } else { (block + before) / count as f32 };
            let mut vector: Vec<f32> = means.map(mean).collect();
            *wrong = u32::from(vector.iter().any(|value| !value.is_finite()));
            if normalize {
                let length = self.cpu.simd.dot(&vector, &vector).sqrt().max(1e-12);
                vector.iter_mut().for_each(|v| *v /= length);
            }
            let mut bytes: Vec<u8> = match dtype {
                Dtype::Float32 => bytemuck::cast_slice(&vector).to_vec(),
                Dtype::Int8 => vector.iter().map(|v| (127.0 * v.tanh()).round_ties_even() as i8 as u8).collect(),
                Dtype::Binary => vector.iter().map(|&v| if v >= 0.0 { 1 } else { 0xff }).collect(),
                Dtype::Ubinary => sign_bits(&vector),
            };
            bytes.resize(words * 4, 0);
            bytemuck::cast_slice_mut(out).copy_from_slice(&bytes);
        }
        Ok(())
    }
}
