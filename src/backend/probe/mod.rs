//! Known answers: each operation of a backend compared with its twin in [`crate::reference`], on the device at hand.
//!
//! `check` runs an operation on small shapes with ragged edges before it is used, so that a device whose driver or
//! browser gets it wrong is found before it has made a vector. The tests call the same functions over the edges of each
//! kernel's tile, on every backend.

mod dense;
mod encoder;
mod heads;
mod linear;
mod maxsim;
mod pack_rows;

pub use dense::{dense, dense_bounds};
pub use encoder::{attention, bias, head_norm_rope, pool, quantize, rms_norm};
pub use heads::{heads, heads_alike};
pub use linear::{matmul, rows_alike, swiglu};
pub use maxsim::maxsim;
pub use pack_rows::{pack_rows, pack_these_rows};

use super::ops::{Activation, Heads, Operation};
use super::{Backend, Buffer, Kernels};
use crate::error::{Error, Result};
use crate::numbers::{Dtype, MatrixFormat};

/// What is compared, and how exactly.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// The device.
    pub backend: &'a Backend,
    /// The kernels.
    pub kernels: &'a Kernels,
    /// Largest deviation allowed, relative to `1 + |expected|`. Exact results are compared exactly, whatever this says.
    pub tolerance: f64,
}

/// Runs one operation on small shapes with a ragged edge in each direction.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub(super) async fn check(backend: &Backend, kernels: &Kernels, operation: Operation, tolerance: f64) -> Result<()> {
    let probe = Probe { backend, kernels, tolerance };
    match operation {
        Operation::RmsNorm => rms_norm(&probe, 3, 68).await,
        Operation::HeadNormRope => head_norm_rope(&probe, 3, [2, 20]).await,
        Operation::Attention(heads) => {
            // Two key heads of the shape that is asked for, with few keys and with more than a kernel takes at a time.
            for (causal, window) in [(false, None), (true, None), (false, Some(3)), (true, Some(40))] {
                let heads = Heads { query: 2 * heads.group(), key: 2, causal, window, ..heads };
                attention(&probe, &[1, 19, 65], heads).await?;
            }
            Ok(())
        }
        Operation::Bias => {
            bias(&probe, 3, 70, Activation::Identity).await?;
            bias(&probe, 3, 70, Activation::Tanh).await
        }
        Operation::Pool => pool(&probe, &[1, 0, 5], 12, [0.5, 0.25]).await,
        Operation::Quantize => {
            for dtype in [Dtype::Float32, Dtype::Int8, Dtype::Binary, Dtype::Ubinary] {
                quantize(&probe, 3, [12, 10], dtype, dtype == Dtype::Float32).await?;
            }
            Ok(())
        }
        Operation::Matmul(format) => matmul(&probe, grouped(format), [5, 9, 24], u64::MAX).await,
        Operation::Swiglu(format) => swiglu(&probe, grouped(format), [5, 5, 24], u64::MAX).await,
        Operation::Heads(format) => heads(&probe, grouped(format), [5, 24], [2, 1]).await,
        Operation::PackRows(format) => pack_rows(&probe, format, 5, 37).await,
        Operation::Dense(format) => {
            dense(&probe, format, [1, 67, 130]).await?;
            dense(&probe, format, [10, 65, 37]).await
        }
        Operation::DenseBounds(format) => dense_bounds(&probe, format, [3, 130]).await,
        Operation::MaxSim(format) => maxsim(&probe, format, 37).await,
    }
}

/// Whether all tiles of a family for linear layers give the same bits. There is nothing to ask of other operations.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub(super) async fn check_tiles(backend: &Backend, kernels: &Kernels, operation: Operation) -> Result<()> {
    let probe = Probe { backend, kernels, tolerance: 0.0 };
    match operation {
        Operation::Matmul(format) => rows_alike(&probe, grouped(format), 1).await,
        Operation::Swiglu(format) => rows_alike(&probe, grouped(format), 2).await,
        Operation::Heads(format) => heads_alike(&probe, grouped(format)).await,
        _ => Ok(()),
    }
}

/// The format with groups of which a short row has a whole one and a shorter one.
fn grouped(format: MatrixFormat) -> MatrixFormat {
    match format {
        MatrixFormat::F32 | MatrixFormat::F16 | MatrixFormat::Bf16 => format,
        MatrixFormat::Q8 { .. } => MatrixFormat::Q8 { group: 16 },
        MatrixFormat::Q4 { .. } => MatrixFormat::Q4 { group: 16 },
    }
}

/// Runs one operation on a shape large enough to be timed, where there are several families to choose from.
///
/// # Errors
/// A fault of the device.
pub(super) async fn exercise(backend: &Backend, kernels: &Kernels, operation: Operation) -> Result<()> {
    match operation {
        Operation::MaxSim(format) => maxsim::exercise(backend, kernels, format).await,
        Operation::Matmul(format) => linear::exercise(backend, kernels, format, 1).await,
        Operation::Swiglu(format) => linear::exercise(backend, kernels, format, 2).await,
        Operation::Heads(format) => heads::exercise(backend, kernels, format).await,
        Operation::Attention(heads) => encoder::exercise_attention(backend, kernels, heads).await,
        Operation::HeadNormRope => encoder::exercise_head_norm_rope(backend, kernels).await,
        Operation::Dense(format) => dense::exercise(backend, kernels, format).await,
        other => check(backend, kernels, other, f64::INFINITY).await,
    }
}

/// Repeatable values in -1..1 (SplitMix64).
pub fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

async fn floats(buffer: &Buffer, count: u32) -> Result<Vec<f32>> {
    Ok(bytemuck::pod_collect_to_vec(&buffer.read(0, u64::from(count) * 4).await?))
}

impl Probe<'_> {
    fn compare(&self, kernel: &str, got: &[f32], expected: &[f32]) -> Result<()> {
        compare(kernel, got, expected, self.tolerance)
    }
}

fn compare(kernel: &str, got: &[f32], expected: &[f32], tolerance: f64) -> Result<()> {
    let wrong = |message: String| Err(Error::WrongKernel { kernel: kernel.into(), message });
    if got.len() != expected.len() {
        return wrong(format!("{} values, expected {}", got.len(), expected.len()));
    }
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let deviation = f64::from(got - expected).abs() / (1.0 + f64::from(expected).abs());
        if deviation.is_nan() || deviation > tolerance {
            return wrong(format!("value {i} is {got}, expected {expected}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn a_deviation_a_nan_and_a_missing_value_are_found() {
        assert!(compare("k", &[1.0, 2.0], &[1.0, 2.0], 2e-5).is_ok());
        assert!(compare("k", &[1.0, 2.001], &[1.0, 2.0], 2e-5).is_err());
        assert!(compare("k", &[1.0, f32::NAN], &[1.0, 2.0], 2e-5).is_err());
        assert!(compare("k", &[1.0], &[1.0, 2.0], 2e-5).is_err());
    }
}
