//! Room for a model's weights on the device, in the first form that fits.

use super::form::Form;
use super::plan::{Place, Plan};
use super::{Choice, Layer, Table, Weights};
use crate::checkpoint::{MatrixFormat, Matrix, Number};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Linear, Storage, WeightType};
use crate::model::Config;

/// Empty weights, and the form they are to have.
pub(super) struct Room {
    pub(super) form: Form,
    /// Of each of the plan's matrices.
    pub(super) kept: Vec<MatrixFormat>,
    pub(super) weights: Weights,
}

struct Candidate {
    form: Form,
    kept: Vec<MatrixFormat>,
    /// On the device.
    bytes: u64,
}

impl Room {
    /// Takes the first form that `choice` allows and that fits: whose bytes are within `choice.memory`, and which the
    /// device then really has room for. All of it is there before the first weight is downloaded.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if even the smallest form does not fit, [`Error::AdapterTooSmall`].
    pub(super) async fn make(
        gpu: &Gpu,
        config: &Config,
        plan: &Plan,
        stored: &[Matrix],
        choice: Choice,
    ) -> Result<Self> {
        let candidates = candidates(plan, stored, choice);
        let last = candidates.len().saturating_sub(1);
        let mut refused: Option<String> = None;
        for (i, Candidate { form, kept, bytes }) in candidates.into_iter().enumerate() {
            let why = match choice.memory {
                Some(memory) if i < last && bytes > memory => {
                    format!("{} would take {}, of about {}", form.name(), gigabytes(bytes), gigabytes(memory))
                }
                _ => match gpu.allocate(|| buffers(gpu, config, plan, &kept), Weights::destroy).await {
                    Ok(mut weights) => {
                        weights.note = refused.map(|why| format!("{}: {why}", form.name()));
                        return Ok(Self { form, kept, weights });
                    }
                    Err(Error::OutOfMemory { .. }) if i < last => {
                        format!("the device has no room for the {} of {}", gigabytes(bytes), form.name())
                    }
                    Err(error) => return Err(error),
                },
            };
            refused.get_or_insert(why);
        }
        Err(Error::OutOfMemory { message: "no form of the weights fits".into() })
    }
}

/// The forms to try, each smaller than the one before.
fn candidates(plan: &Plan, stored: &[Matrix], choice: Choice) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for &form in Form::candidates(choice.held) {
        let kept = forms(form, plan, stored);
        let on_device = plan.matrices.iter().zip(&kept).filter(|(m, _)| m.place != Place::Embedding);
        let bytes = on_device.map(|(m, kept)| m.shape[0] * kept.row_bytes(m.shape[1])).sum();
        if candidates.last().is_none_or(|before| bytes < before.bytes) {
            candidates.push(Candidate { form, kept, bytes });
        }
    }
    candidates
}

/// The form of each matrix. Gate and up share their buffers, and so their form.
fn forms(form: Form, plan: &Plan, stored: &[Matrix]) -> Vec<MatrixFormat> {
    let of = |(m, s): (&super::plan::Matrix, &Matrix)| form.of(m.place, s.kept(), m.shape[1]);
    let mut kept: Vec<MatrixFormat> = plan.matrices.iter().zip(stored).map(of).collect();
    for i in 1..kept.len() {
        if matches!(plan.matrices[i].place, Place::Up(_)) && kept[i - 1] != kept[i] {
            kept[i - 1] = MatrixFormat::Dense(Float::F32);
            kept[i] = MatrixFormat::Dense(Float::F32);
        }
    }
    kept
}

/// Buffers for everything.
fn buffers(gpu: &Gpu, config: &Config, plan: &Plan, kept: &[MatrixFormat]) -> Result<Weights> {
    let norm = |length: u32| gpu.storage("norm", u64::from(length) * 4);
    // The plan begins with the embedding table; seven matrices a layer follow.
    let table = Table::new(kept[0], plan.matrices[0].shape[0], plan.matrices[0].shape[1])?;
    let mut layers = Vec::with_capacity(config.layers as usize);
    for first in (1..kept.len()).step_by(7) {
        let make = |i: usize, pair: bool| {
            let (matrix, storage) = (&plan.matrices[first + i], storage(kept[first + i]));
            let [n, k] = matrix.shape.map(|axis| axis as u32);
            if pair {
                Linear::pair(gpu, &matrix.name, n, k, storage)
            } else {
                Linear::zeros(gpu, &matrix.name, n, k, storage)
            }
        };
        layers.push(Layer {
            input_norm: norm(config.hidden)?,
            q: make(0, false)?,
            k: make(1, false)?,
            v: make(2, false)?,
            q_norm: norm(config.head_dim)?,
            k_norm: norm(config.head_dim)?,
            o: make(3, false)?,
            mlp_norm: norm(config.hidden)?,
            mlp: make(4, true)?,
            down: make(6, false)?,
        });
    }
    Ok(Weights { table, layers, norm: norm(config.hidden)?, note: None })
}

fn storage(kept: MatrixFormat) -> Storage {
    match kept {
        MatrixFormat::Dense(Float::F32) => Storage { weight_type: WeightType::F32, group: 0 },
        MatrixFormat::Dense(Float::F16) => Storage { weight_type: WeightType::F16, group: 0 },
        MatrixFormat::Dense(Float::Bf16) => Storage { weight_type: WeightType::Bf16, group: 0 },
        MatrixFormat::Affine { bits: 4, group } => Storage { weight_type: WeightType::Q4, group },
        MatrixFormat::Affine { group, .. } => Storage { weight_type: WeightType::Q8, group },
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
