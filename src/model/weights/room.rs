//! Room for a model's weights on the device, in the first formats that fit.

use super::choice::FormatRule;
use super::plan::{MatrixPlace, Plan, PlannedMatrix};
use super::shard::WeightFiles;
use super::{Biases, EarlyTable, Layer, Table, WeightRequest, Weights};
use crate::backend::{Backend, Kernels, Operation};
use crate::checkpoint::StoredMatrix;
use crate::error::{Error, Result};
use crate::hub::{ByteStream, Source};
use crate::model::Config;
use crate::numbers::MatrixFormat;

/// Empty weights, the formats they are to have, and the kernels that read them.
pub(super) struct Room {
    /// Of each of the plan's matrices.
    pub(super) formats: Vec<MatrixFormat>,
    /// How each of them is stored in what will be read.
    pub(super) stored: Vec<StoredMatrix>,
    /// What files are kept as that have these formats.
    pub(super) name: Option<&'static str>,
    pub(super) kernels: Kernels,
    pub(super) weights: Weights,
    /// The embedding table, if it is being read already: then the weights have none yet.
    pub(super) table: Option<EarlyTable>,
}

struct Candidate {
    form: FormatRule,
    formats: Vec<MatrixFormat>,
    /// On the device.
    bytes: u64,
}

impl Room {
    /// Takes the first formats that `request` allows and that fit: whose bytes are within `request.memory`, and which the
    /// device then has room for. All of it is there before the first weight is downloaded. Kernels are chosen before,
    /// because a kernel's family decides how weights lie; meanwhile the embedding table is read, where it lies on this
    /// machine as it is to be held. `files`, in which matrices are `stored`, then know what will be read.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if even the smallest format does not fit, [`Error::AdapterTooSmall`],
    /// [`Error::WrongKernel`], or what kept a file from being read.
    pub(super) async fn make<S: ByteStream>(
        backend: &Backend,
        config: &Config,
        plan: &Plan,
        (source, files): (&impl Source<ByteStream = S>, &mut WeightFiles<S>),
        stored: &[StoredMatrix],
        request: WeightRequest,
    ) -> Result<Self> {
        let candidates = candidates(plan, stored, request);
        let last = candidates.len().saturating_sub(1);
        let mut refused: Option<String> = None;
        for (i, Candidate { form, formats, bytes }) in candidates.into_iter().enumerate() {
            let why = match request.memory {
                Some(memory) if i < last && bytes > memory => {
                    format!("{} would take {}, of about {}", form.name(), gigabytes(bytes), gigabytes(memory))
                }
                _ => {
                    let name = form.derived_name(stored, &formats);
                    files.look(source, name).await?;
                    let stored = files.locate(plan, &config.scheme)?;
                    let made = Self::of(backend, config, plan, files, (stored, name, formats), request).await;
                    match made {
                        Ok(mut room) => {
                            room.weights.note = refused.map(|why| format!("{}: {why}", form.name()));
                            return Ok(room);
                        }
                        Err(Error::OutOfMemory { .. }) if i < last => {
                            format!("the device has no room for the {} of {}", gigabytes(bytes), form.name())
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            refused.get_or_insert(why);
        }
        Err(Error::OutOfMemory { message: "the weights fit in no format".into() })
    }

    /// Room for weights of these `formats`.
    async fn of<S: ByteStream>(
        backend: &Backend,
        config: &Config,
        plan: &Plan,
        files: &WeightFiles<S>,
        (stored, name, formats): (Vec<StoredMatrix>, Option<&'static str>, Vec<MatrixFormat>),
        request: WeightRequest,
    ) -> Result<Self> {
        // The plan begins with the embedding table.
        let empty = Table::new(formats[0], plan.matrices[0].shape[0], plan.matrices[0].shape[1])?;
        let (empty, table) = EarlyTable::of(files, &stored[0], empty, name.is_some())?;
        // Linear layers behind the encoder are held as float32.
        let mut read = formats[1..].to_vec();
        let projected = config.late.is_some() || config.dense_layers().next().is_some();
        read.extend(projected.then_some(MatrixFormat::F32));
        let mut operations = Operation::of_encoder(config.shape().heads(0), &read);
        operations.extend((projected || config.attention_bias).then_some(Operation::Bias));
        let kernels = backend.kernels_for(request.precision, &operations).await?;
        let weights = backend.allocate(|| buffers(backend, &kernels, config, plan, (&formats, empty))).await?;
        Ok(Self { formats, stored, name, kernels, weights, table })
    }
}

/// The formats to try, each smaller than the one before.
fn candidates(plan: &Plan, stored: &[StoredMatrix], request: WeightRequest) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for &form in FormatRule::candidates(request.choice) {
        let formats = formats(form, plan, stored);
        let on_device = plan.matrices.iter().zip(&formats).filter(|(m, _)| m.place != MatrixPlace::Embedding);
        let bytes = on_device.map(|(m, format)| m.shape[0] * format.row_bytes(m.shape[1])).sum();
        if candidates.last().is_none_or(|before| bytes < before.bytes) {
            candidates.push(Candidate { form, formats, bytes });
        }
    }
    candidates
}

/// The format of each matrix. Gate and up share their buffers, and so their format.
fn formats(form: FormatRule, plan: &Plan, stored: &[StoredMatrix]) -> Vec<MatrixFormat> {
    let of = |(m, s): (&PlannedMatrix, &StoredMatrix)| form.format(m.place, s.format(), m.shape[1]);
    let mut formats: Vec<MatrixFormat> = plan.matrices.iter().zip(stored).map(of).collect();
    for i in 1..formats.len() {
        if matches!(plan.matrices[i].place, MatrixPlace::Up(_)) && formats[i - 1] != formats[i] {
            formats[i - 1] = MatrixFormat::F32;
            formats[i] = MatrixFormat::F32;
        }
    }
    formats
}

/// Buffers for everything but the embedding table.
fn buffers(
    backend: &Backend,
    kernels: &Kernels,
    config: &Config,
    plan: &Plan,
    (formats, table): (&[MatrixFormat], Table),
) -> Result<Weights> {
    let norm = |length: u32| backend.buffer("norm", u64::from(length) * 4);
    let mut layers = Vec::with_capacity(config.layers as usize);
    // Seven matrices a layer follow the table.
    for first in (1..formats.len()).step_by(7) {
        let make = |i: usize, matrices: u32| {
            let matrix = &plan.matrices[first + i];
            let [n, k] = matrix.shape.map(|axis| axis as u32);
            backend.weight(kernels, &matrix.name, [matrices, n, k], formats[first + i])
        };
        let format = formats[first];
        let in_one = if formats[first..first + 3] == [format; 3] && !config.attention_bias {
            let ns = [0, 1, 2].map(|i| plan.matrices[first + i].shape[0] as u32);
            let name = &plan.matrices[first].name;
            backend.head_weights(kernels, name, (ns, config.hidden), format)?
        } else {
            None
        };
        let heads_in_one = in_one.is_some();
        let [q, k, v] = match in_one {
            Some(weights) => weights,
            None => [make(0, 1)?, make(1, 1)?, make(2, 1)?],
        };
        let [input_norm, q_norm, k_norm] =
            backend.buffers("norms", [config.hidden, config.head_dim, config.head_dim].map(|n| u64::from(n) * 4))?;
        layers.push(Layer {
            input_norm,
            biases: config.attention_bias.then(|| biases(backend, config)).transpose()?,
            q,
            k,
            v,
            heads_in_one,
            q_norm,
            k_norm,
            o: make(3, 1)?,
            mlp_norm: norm(config.hidden)?,
            mlp: make(4, 2)?,
            down: make(6, 1)?,
        });
    }
    Ok(Weights { table, layers, norm: norm(config.hidden)?, note: None })
}

fn biases(backend: &Backend, config: &Config) -> Result<Biases> {
    let bias = |length: u32| backend.buffer("bias", u64::from(length) * 4);
    let [queries, keys] = [config.query_heads, config.key_heads].map(|heads| heads * config.head_dim);
    Ok(Biases { q: bias(queries)?, k: bias(keys)?, v: bias(keys)?, o: bias(config.hidden)? })
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
