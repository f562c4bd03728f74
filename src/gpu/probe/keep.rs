use super::values;
use crate::cpu;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Keep, KeepBuffers, Recorder, TokenForm};

/// Numbers that are hard to round: on both sides of zero, of float16's subnormals and of its largest number, and halves
/// that go to even numbers.
const HARD: [f32; 12] =
    [-0.0, 1e-40, -1e-41, 3e-8, -2.99e-8, 5.96e-8, 6.1e-5, 1.000_488_3, 0.5, -1.0, 65_519.9, -65_520.0];

/// Keeps `rows` random vectors and one of hard numbers, of `dim` dimensions, before and behind rows that stay as they are.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn keep(gpu: &Gpu, kernels: &Keep, rows: u32, dim: u32) -> Result<()> {
    let mut floats = values(41, (rows * dim) as usize);
    // Halves of a scale, where the largest number is 127 of it.
    floats.iter_mut().step_by(3).for_each(|v| *v = ((*v * 127.0).floor() + 0.5) / 128.0);
    floats.extend(HARD.iter().cycle().take(dim as usize));
    keep_these(gpu, kernels, &floats, dim).await
}

/// Keeps all but the first of the vectors `floats` `[n, dim]`, from row 2 on.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn keep_these(gpu: &Gpu, kernels: &Keep, floats: &[f32], dim: u32) -> Result<()> {
    const AT: usize = 2;
    const FILLING: u32 = 0x5a5a_5a5a;
    let form = kernels.form();
    let n = floats.len() / dim as usize;
    let words = form.row_bytes(dim) as usize / 4;
    let rows = AT + n;
    let vectors = gpu.storage_of("vectors", floats)?;
    let (data, scales) =
        (gpu.storage_of("data", &vec![FILLING; rows * words])?, gpu.storage_of("scales", &vec![FILLING; rows])?);
    let buffers = KeepBuffers { vectors: &vectors, data: &data, scales: Some(&scales) };
    let mut run = Recorder::for_keep(gpu, kernels, &());
    run.keep(buffers, 1..n as u32, AT as u32, dim);
    run.finish().await?;
    let got: Vec<u32> = bytemuck::pod_collect_to_vec(&gpu.read(&data, (rows * words * 4) as u64).await?);
    let got_scales: Vec<u32> = bytemuck::pod_collect_to_vec(&gpu.read(&scales, rows as u64 * 4).await?);
    [vectors, data, scales].into_iter().for_each(|b| b.destroy());

    let (mut expected, mut expected_scales) = (vec![FILLING; rows * words], vec![FILLING; rows]);
    for (i, row) in floats.chunks_exact(dim as usize).skip(1).enumerate() {
        let (bytes, scale) = host_row(form, row);
        let place = (AT + i) * words..(AT + i + 1) * words;
        let padded = bytes.chunks(4).map(|b| b.iter().rev().fold(0, |word, &b| word << 8 | u32::from(b)));
        expected[place].iter_mut().zip(padded.chain(std::iter::repeat(0))).for_each(|(to, word)| *to = word);
        if form == TokenForm::I8 {
            expected_scales[AT + i] = scale.to_bits();
        }
    }
    let found = [("keep_scale", 1, &got_scales, &expected_scales), (form.keep_kernel(), words, &got, &expected)];
    for (kernel, width, got, expected) in found {
        if let Some(i) = (0..got.len()).find(|&i| got[i] != expected[i]) {
            let message =
                format!("word {} of row {} is {:08x}, expected {:08x}", i % width, i / width, got[i], expected[i]);
            return Err(Error::WrongKernel { kernel: kernel.into(), message });
        }
    }
    Ok(())
}

/// A row as the host makes it, and its scale.
fn host_row(form: TokenForm, row: &[f32]) -> (Vec<u8>, f32) {
    match form {
        TokenForm::F32 => (bytemuck::cast_slice(row).to_vec(), 1.0),
        TokenForm::F16 => (bytemuck::cast_slice(&cpu::float16(row)).to_vec(), 1.0),
        TokenForm::I8 => {
            let (codes, scale) = cpu::scaled_int8(row);
            (bytemuck::cast_slice(&codes).to_vec(), scale)
        }
        TokenForm::B1 => (cpu::pack_bits(row), 1.0),
    }
}
