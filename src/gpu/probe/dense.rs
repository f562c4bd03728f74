use super::{compare, values};
use crate::cpu;
use crate::error::{Error, Result};
use crate::gpu::{Dense, DenseBuffers, DenseForm, Gpu, Recorder};

/// Similarities of `[queries, rows, dim]`, of all rows and of those without the first and last; integers have to be
/// exact.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn dense(gpu: &Gpu, kernel: &Dense, [queries, rows, dim]: [u32; 3]) -> Result<()> {
    let form = kernel.form();
    let [(q, q_expected), (r, r_expected)] =
        [(31, queries), (32, rows)].map(|(seed, count)| vectors(form, seed, count * dim, dim));
    let len = form.host_bytes(dim) as usize;
    let (mut q_bytes, mut r_bytes) = (Vec::new(), Vec::new());
    form.pad_queries(&q, dim, &mut q_bytes);
    form.pad_rows(&r, dim, &mut r_bytes);
    let (q_buffer, r_buffer) = (gpu.storage_of("queries", &q_bytes)?, gpu.storage_of("rows", &r_bytes)?);
    let scores = gpu.storage("scores", u64::from(queries * rows) * 4)?;
    let buffers = DenseBuffers { queries: &q_buffer, rows: &r_buffer, scores: &scores };
    let whole = 0..rows;
    let within = 1..rows.max(3) - 1;
    for range in [whole, within] {
        if range.end > rows {
            continue;
        }
        let mut run = Recorder::for_dense(gpu, kernel, &());
        run.dense(buffers, queries, range.clone(), dim);
        run.finish().await?;
        let count = queries as usize * range.len();
        let read = gpu.read(&scores, count as u64 * 4).await?;
        let part = |len: usize| range.start as usize * len..range.end as usize * len;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&read);
        match form {
            DenseForm::F32 => {
                let expected = cpu::dense(&q_expected, &r_expected[part(dim as usize)], dim as usize, |a, b| {
                    cpu::dot(a, b) as f32
                });
                let got: Vec<f32> = words.into_iter().map(f32::from_bits).collect();
                compare(form.kernel(), &got, &expected)?;
            }
            DenseForm::I8 => {
                let dot = |a: &[u8], b: &[u8]| cpu::dot_codes(bytemuck::cast_slice(a), bytemuck::cast_slice(b));
                let expected = cpu::dense(&q, &r[part(len)], len, dot);
                exact(form, words.into_iter().map(|w| i64::from(w as i32)), &expected)?;
            }
            DenseForm::B1 => {
                // The first bits are those that count; what is left of a byte is no dimension's.
                let sign = |v: &f32| u8::from(*v >= 0.0);
                let (q, r): (Vec<u8>, Vec<u8>) =
                    (q_expected.iter().map(sign).collect(), r_expected.iter().map(sign).collect());
                let hamming = |a: &[u8], b: &[u8]| i64::from(cpu::hamming(a, b));
                let expected = cpu::dense(&q, &r[part(dim as usize)], dim as usize, hamming);
                exact(form, words.into_iter().map(i64::from), &expected)?;
            }
        }
    }
    [q_buffer, r_buffer, scores].into_iter().for_each(|b| b.destroy());
    Ok(())
}

/// `count` numbers as rows of `form` in host memory, and the numbers themselves. Codes reach both ends of int8; what is
/// left of a row's last byte of bits is ones, which nothing may count.
fn vectors(form: DenseForm, seed: u64, count: u32, dim: u32) -> (Vec<u8>, Vec<f32>) {
    let floats = values(seed, count as usize);
    let bytes = match form {
        DenseForm::F32 => bytemuck::cast_slice(&floats).to_vec(),
        DenseForm::I8 => floats.iter().map(|v| (v * 140.0) as i8 as u8).collect(),
        DenseForm::B1 => {
            let spare = (1u8 << ((8 - dim % 8) % 8)) - 1;
            let mut bytes = Vec::new();
            for row in floats.chunks_exact(dim as usize) {
                bytes.extend(cpu::pack_bits(row));
                if let Some(last) = bytes.last_mut() {
                    *last |= spare;
                }
            }
            bytes
        }
    };
    (bytes, floats)
}

fn exact(form: DenseForm, got: impl Iterator<Item = i64>, expected: &[i64]) -> Result<()> {
    for (i, (got, expected)) in got.zip(expected).enumerate() {
        if got != *expected {
            let message = format!("value {i} is {got}, expected {expected}");
            return Err(Error::WrongKernel { kernel: form.kernel().into(), message });
        }
    }
    Ok(())
}
