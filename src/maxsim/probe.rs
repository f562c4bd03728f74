//! Known answers: the kernel at hand against the plain loop, on the adapter at hand.

use half::f16;

use super::documents::Documents;
use super::run::Run;
use super::{Options, TokenData, Tokens, score_on_cpu};
use crate::error::{Error, Result};
use crate::gpu::probe::values;
use crate::gpu::{Family, TokenForm};

/// Largest deviation allowed, relative to the length of the query's sum; a kernel that is wrong is off by far more.
const TOLERANCE: f32 = 1e-4;

/// Scores small documents, one empty and one longer than a tile, of which one has only negative similarities.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub(super) async fn check(run: &Run<'_>) -> Result<()> {
    const DIM: usize = 37;
    let (query_ends, ends) = ([0, 1, 34], [0, 3, 3, 70, 71, 75]);
    let queries = values(21, 34 * DIM);
    let mut floats = values(22, 75 * DIM);
    floats[74 * DIM..].iter_mut().zip(&queries).for_each(|(d, q)| *d = -q);
    let halves: Vec<f16> = floats.iter().map(|&v| f16::from_f32(v)).collect();
    let codes: Vec<i8> = floats.iter().map(|v| (v * 127.0) as i8).collect();
    let scales = values(23, 75);
    let bits: Vec<u8> = codes[..75 * DIM.div_ceil(8)].iter().map(|&c| c as u8).collect();
    let data = match run.kernels.form() {
        TokenForm::F32 => TokenData::Float32(&floats),
        TokenForm::F16 => TokenData::Float16(&halves),
        TokenForm::I8 => TokenData::Int8 { codes: &codes, scales: Some(&scales) },
        TokenForm::B1 => TokenData::Binary(&bits),
    };
    let queries = Tokens { data: TokenData::Float32(&queries), offsets: &query_ends, dim: DIM };
    let documents = Tokens { data, offsets: &ends, dim: DIM };
    let expected = score_on_cpu(queries, documents, Options::default(), &())?;
    let mut got = vec![0.0; expected.len()];
    run.score(&queries, Documents::Host(documents), None, &(), &mut got).await?;
    for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let close = got == expected || (got - expected).abs() <= TOLERANCE * (1.0 + expected.abs());
        if !close {
            let family = if run.kernels.family() == Family::Tile { "maxsim_tile" } else { "maxsim_strip" };
            let message = format!("score {i} is {got}, expected {expected}");
            return Err(Error::WrongKernel { kernel: family.into(), message });
        }
    }
    Ok(())
}
