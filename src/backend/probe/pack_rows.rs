use super::{Probe, values};
use crate::error::{Error, Result};
use crate::numbers::{RowBuf, RowFormat};

/// Numbers that are hard to round: on both sides of zero, of float16's subnormals and of its largest number, and halves
/// that go to even numbers.
const HARD: [f32; 12] =
    [-0.0, 1e-40, -1e-41, 3e-8, -2.99e-8, 5.96e-8, 6.1e-5, 1.000_488_3, 0.5, -1.0, 65_519.9, -65_520.0];

/// Packs `rows` random vectors and one of hard numbers, of `dim` dimensions, between rows that must stay as they are.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn pack_rows(probe: &Probe<'_>, format: RowFormat, rows: u32, dim: u32) -> Result<()> {
    let mut floats = values(41, (rows * dim) as usize);
    // Halves of a scale, where the largest number is 127 of it.
    floats.iter_mut().step_by(3).for_each(|v| *v = ((*v * 127.0).floor() + 0.5) / 128.0);
    floats.extend(HARD.iter().cycle().take(dim as usize));
    pack_these_rows(probe, format, &floats, dim).await
}

/// Packs all but the first of the vectors `floats` `[n, dim]`, from row 2 on.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn pack_these_rows(probe: &Probe<'_>, format: RowFormat, floats: &[f32], dim: u32) -> Result<()> {
    const AT: usize = 2;
    const FILLING: u32 = 0x5a5a_5a5a;
    let (n, words) = (floats.len() / dim as usize, format.padded_bytes(dim) as usize / 4);
    let rows = AT + n;
    let vectors = probe.backend.buffer_of("vectors", floats)?;
    let data = probe.backend.buffer_of("data", &vec![FILLING; rows * words])?;
    let scales = probe.backend.buffer_of("scales", &vec![FILLING; rows])?;
    let mut run = probe.backend.run(probe.kernels, &())?;
    run.pack_rows(format, &vectors, (&data, Some(&scales)), 1..n as u32, AT as u32, dim)?;
    run.finish().await?;
    let got: Vec<u32> = bytemuck::pod_collect_to_vec(&data.read(0, (rows * words * 4) as u64).await?);
    let got_scales: Vec<u32> = bytemuck::pod_collect_to_vec(&scales.read(0, rows as u64 * 4).await?);

    let mut packed = RowBuf::new(format, true);
    floats.chunks_exact(dim as usize).skip(1).for_each(|vector| packed.push(vector));
    let mut padded = Vec::new();
    format.pad_rows(packed.as_data().bytes(), dim, &mut padded);
    let between = |own: Vec<u32>, width: usize| {
        let filling = |rows: usize| std::iter::repeat_n(FILLING, rows * width);
        let rest = rows * width - AT * width - own.len();
        filling(AT).chain(own).chain(std::iter::repeat_n(FILLING, rest)).collect::<Vec<_>>()
    };
    let expected = between(bytemuck::pod_collect_to_vec(&padded), words);
    let own_scales = packed.as_data().scales().unwrap_or_default();
    let expected_scales = between(own_scales.iter().map(|s| s.to_bits()).collect(), 1);
    for (what, width, got, expected) in [("scales", 1, &got_scales, &expected_scales), ("rows", words, &got, &expected)]
    {
        if let Some(i) = (0..got.len()).find(|&i| got[i] != expected[i]) {
            let (word, row) = (i % width, i / width);
            let message = format!("word {word} of row {row} is {:08x}, expected {:08x}", got[i], expected[i]);
            let kernel = format!("pack_rows {}, {what}", format.name());
            return Err(Error::WrongKernel { kernel, message });
        }
    }
    Ok(())
}
