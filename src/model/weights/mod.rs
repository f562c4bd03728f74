//! From a checkpoint to weights on the device: room for all of them first, then their bytes as they stream in.

mod choice;
mod copy;
#[cfg(not(target_arch = "wasm32"))]
mod early;
mod fill;
mod plan;
mod room;
mod shard;
mod table;

pub use choice::WeightChoice;
#[cfg(not(target_arch = "wasm32"))]
use early::EarlyTable;
use fill::Fill;
use plan::{MatrixPlace, Plan, Projection, VectorPlace};
use room::Room;
use shard::WeightFiles;
use table::Table;

use super::Config;
use crate::backend::{Backend, Buffer, Kernels, Precision, Weight};
#[cfg(target_arch = "wasm32")]
use crate::checkpoint::StoredMatrix;
use crate::download_rate::Meter;
use crate::error::{Error, Result};
use crate::hub::Source;
use crate::numbers::MatrixFormat;
use crate::progress::{Progress, Watch};

/// A browser has no thread to spare for the table, and reads it in its turn.
#[cfg(target_arch = "wasm32")]
enum EarlyTable {}

#[cfg(target_arch = "wasm32")]
impl EarlyTable {
    fn of<F>(_: &F, _: &StoredMatrix, table: Table, _: bool) -> Result<(Table, Option<Self>)> {
        Ok((table, None))
    }

    async fn finish(self, _: &dyn Watch) -> Result<Table> {
        match self {}
    }
}

/// One layer's weights.
pub(super) struct Layer {
    pub(super) input_norm: Buffer,
    /// Of the projections, where the model has them.
    pub(super) biases: Option<Biases>,
    pub(super) q: Weight,
    pub(super) k: Weight,
    pub(super) v: Weight,
    /// `q`, `k` and `v` lie so that one kernel reads them, and so do the norms before and after them.
    pub(super) heads_in_one: bool,
    pub(super) q_norm: Buffer,
    pub(super) k_norm: Buffer,
    pub(super) o: Weight,
    pub(super) mlp_norm: Buffer,
    /// Gate and up.
    pub(super) mlp: Weight,
    pub(super) down: Weight,
}

/// The biases of a layer's projections.
pub(super) struct Biases {
    pub(super) q: Buffer,
    pub(super) k: Buffer,
    pub(super) v: Buffer,
    pub(super) o: Buffer,
}

/// A model's weights: the embedding table in host memory, the rest on the device.
pub(super) struct Weights {
    table: Table,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: Buffer,
    /// Why they are held in another form than the checkpoint's, where nobody asked for it.
    pub(super) note: Option<String>,
}

/// How weights are to be held, and what there is room for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WeightRequest {
    pub(super) choice: WeightChoice,
    /// Bytes that weights may take on the device, where that is known.
    pub(super) memory: Option<u64>,
    pub(super) precision: Precision,
    /// Whether to leave them to the processor if that turns out to be faster than the GPU.
    pub(super) any_device: bool,
    /// Threads that the processor would have.
    pub(super) threads: Option<u32>,
}

/// What became of a load.
pub(super) enum Loaded {
    /// The weights, and the kernels that read them.
    Here(Box<Weights>, Kernels),
    /// The processor is better, and why. Nothing was downloaded but headers.
    Declined(String),
}

impl Weights {
    /// Makes room on the device, then streams the checkpoint of `source` there.
    ///
    /// # Errors
    /// [`crate::Error::InvalidCheckpoint`] naming a tensor that is missing, twice there or of the wrong shape,
    /// [`crate::Error::Unsupported`] naming one whose format this does not read, [`crate::Error::OutOfMemory`], or
    /// what kept a file from being read. What was loaded by then is freed.
    pub(super) async fn load(
        source: &impl Source,
        config: &Config,
        backend: &Backend,
        request: WeightRequest,
        watch: &dyn Watch,
    ) -> Result<Loaded> {
        let plan = Plan::new(config);
        let mut shards = WeightFiles::open(source).await?;
        let stored = shards.locate(&plan, &config.scheme)?;
        if let [first, others @ ..] = &shards.unknown(&plan)[..] {
            let more = if others.is_empty() { String::new() } else { format!(" and {} others", others.len()) };
            let unread = format!("the weights have a tensor {first}{more}, which no part of the model reads");
            // Code and weights of its own: this is another model.
            if let Some(class) = &config.foreign_class {
                let message = format!("{unread}; allowed are models that transformers' own qwen3 makes the same of");
                return Err(Error::unsupported(format!("auto_map.AutoModel {class} in config.json"), message));
            }
            watch.progress(Progress::Notice { message: unread });
        }
        watch.progress(Progress::Compile);
        let room = Room::make(backend, config, &plan, (source, &mut shards), &stored, request).await?;
        let Room { formats, stored, name, kernels, mut weights, table } = room;
        if let (true, Some(&format)) = (request.any_device, formats.get(1))
            && let Some(why) =
                backend.slower_than_processor(&kernels, format, request.precision, request.threads).await?
        {
            return Ok(Loaded::Declined(why));
        }
        let mut fill = Fill::new(backend, &plan, &mut weights, Meter::new(watch, shards.bytes()));
        shards.read(source, &plan, stored, &formats, (name, table.is_some()), &mut fill).await?;
        if let Some(table) = table {
            fill.take_table(table.finish(watch).await?);
        }
        fill.finish()?;
        backend.flush_writes().await?;
        Ok(Loaded::Here(Box::new(weights), kernels))
    }

    /// The rows of the embedding table for `ids` as f32, `[ids, H]`.
    pub(super) fn embedded(&self, ids: &[u32]) -> Vec<f32> {
        self.table.gather(ids)
    }

    /// Bytes in host memory and on the device.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let vectors: u64 = self.vectors().map(Buffer::size).sum();
        (self.table.bytes(), self.matrices().map(Weight::bytes).sum::<u64>() + vectors)
    }

    /// The format of the matrices on the device; where there are several, the one with most bytes.
    pub(super) fn main_format(&self) -> MatrixFormat {
        let mut bytes: Vec<(MatrixFormat, u64)> = Vec::new();
        for weight in self.matrices() {
            match bytes.iter_mut().find(|(format, _)| format.name() == weight.format().name()) {
                Some((_, total)) => *total += weight.bytes(),
                None => bytes.push((weight.format(), weight.bytes())),
            }
        }
        bytes.into_iter().max_by_key(|(_, total)| *total).map_or(MatrixFormat::F32, |(format, _)| format)
    }

    /// The matrix on the device for a place, and which of a pair it is; `None` for the embedding table.
    fn matrix(&self, place: MatrixPlace) -> Option<(&Weight, usize)> {
        Some(match place {
            MatrixPlace::Embedding => return None,
            MatrixPlace::Query(l) => (&self.layers[l].q, 0),
            MatrixPlace::Key(l) => (&self.layers[l].k, 0),
            MatrixPlace::Value(l) => (&self.layers[l].v, 0),
            MatrixPlace::Output(l) => (&self.layers[l].o, 0),
            MatrixPlace::Gate(l) => (&self.layers[l].mlp, 0),
            MatrixPlace::Up(l) => (&self.layers[l].mlp, 1),
            MatrixPlace::Down(l) => (&self.layers[l].down, 0),
        })
    }

    /// `None` for a bias of a model that has none.
    fn vector(&self, place: VectorPlace) -> Option<&Buffer> {
        Some(match place {
            VectorPlace::Final => &self.norm,
            VectorPlace::Input(l) => &self.layers[l].input_norm,
            VectorPlace::Query(l) => &self.layers[l].q_norm,
            VectorPlace::Key(l) => &self.layers[l].k_norm,
            VectorPlace::Mlp(l) => &self.layers[l].mlp_norm,
            VectorPlace::Bias(projection, l) => {
                let biases = self.layers[l].biases.as_ref()?;
                match projection {
                    Projection::Query => &biases.q,
                    Projection::Key => &biases.k,
                    Projection::Value => &biases.v,
                    Projection::Output => &biases.o,
                }
            }
        })
    }
}
