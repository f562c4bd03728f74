//! From a checkpoint to weights on the device: room for all of them first, then their bytes as they stream in.

mod fill;
mod form;
mod plan;
mod room;
mod shard;
mod table;

use fill::Fill;
pub use form::Held;
use plan::{Norm, Place, Plan};
use room::Room;
use shard::Shards;
use table::Table;

use super::Config;
use crate::error::Result;
use crate::gpu::{Gpu, Linear, WeightType};
use crate::hub::Source;
use crate::meter::Meter;
use crate::watch::Watch;

/// One layer's weights.
pub(super) struct Layer {
    pub(super) input_norm: wgpu::Buffer,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) q_norm: wgpu::Buffer,
    pub(super) k_norm: wgpu::Buffer,
    pub(super) o: Linear,
    pub(super) mlp_norm: wgpu::Buffer,
    /// Gate and up.
    pub(super) mlp: Linear,
    pub(super) down: Linear,
}

/// A model's weights: the embedding table in host memory, the rest on the device.
pub(super) struct Weights {
    table: Table,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: wgpu::Buffer,
    /// Why they are held in another form than the checkpoint's, where nobody asked for it.
    pub(super) note: Option<String>,
}

/// How weights are to be held, and what there is room for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    pub(super) held: Held,
    /// Bytes that weights may take on the device, where that is known.
    pub(super) memory: Option<u64>,
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
        gpu: &Gpu,
        choice: Choice,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let plan = Plan::new(config);
        let mut shards = Shards::open(source).await?;
        let stored = shards.locate(&plan, &config.scheme)?;
        let Room { form, kept, mut weights } = Room::make(gpu, config, &plan, &stored, choice).await?;
        let name = form.kept_as(&stored, &kept);
        let stored = match name {
            None => stored,
            Some(name) => {
                shards.look(source, name).await?;
                shards.locate(&plan, &config.scheme)?
            }
        };
        let mut fill = Fill::new(gpu, &plan, &mut weights, Meter::new(watch, shards.bytes()));
        shards.read(source, &plan, stored, &kept, name, &mut fill).await?;
        fill.finish()?;
        gpu.flush_writes().await?;
        Ok(weights)
    }

    /// The rows of the embedding table for `ids` as f32, `[ids, H]`.
    pub(super) fn embedded(&self, ids: &[u32]) -> Vec<f32> {
        self.table.gather(ids)
    }

    /// Bytes in host memory and on the device.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let norms = self.layers.iter().flat_map(|l| [&l.input_norm, &l.q_norm, &l.k_norm, &l.mlp_norm]);
        let norms: u64 = norms.chain([&self.norm]).map(wgpu::Buffer::size).sum();
        (self.table.bytes(), self.linears().map(Linear::bytes).sum::<u64>() + norms)
    }

    /// The types of the matrices on the device, that of most bytes first.
    pub(super) fn types(&self) -> Vec<WeightType> {
        let mut bytes: Vec<(WeightType, u64)> = Vec::new();
        for linear in self.linears() {
            let kind = linear.storage().weight_type;
            match bytes.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, total)) => *total += linear.bytes(),
                None => bytes.push((kind, linear.bytes())),
            }
        }
        bytes.sort_by_key(|&(_, total)| std::cmp::Reverse(total));
        bytes.into_iter().map(|(kind, _)| kind).collect()
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.mlp, &l.down])
    }

    /// The matrix on the device for a place, and which of a pair it is; `None` for the embedding table.
    fn linear(&self, place: Place) -> Option<(&Linear, usize)> {
        Some(match place {
            Place::Embedding => return None,
            Place::Query(l) => (&self.layers[l].q, 0),
            Place::Key(l) => (&self.layers[l].k, 0),
            Place::Value(l) => (&self.layers[l].v, 0),
            Place::Output(l) => (&self.layers[l].o, 0),
            Place::Gate(l) => (&self.layers[l].mlp, 0),
            Place::Up(l) => (&self.layers[l].mlp, 1),
            Place::Down(l) => (&self.layers[l].down, 0),
        })
    }

    fn norm(&self, norm: Norm) -> &wgpu::Buffer {
        match norm {
            Norm::Final => &self.norm,
            Norm::Input(l) => &self.layers[l].input_norm,
            Norm::Query(l) => &self.layers[l].q_norm,
            Norm::Key(l) => &self.layers[l].k_norm,
            Norm::Mlp(l) => &self.layers[l].mlp_norm,
        }
    }

    /// Gives the device's memory back now: in a browser a dropped buffer waits for the garbage collector.
    fn destroy(self) {
        for layer in self.layers {
            for linear in [layer.q, layer.k, layer.v, layer.o, layer.mlp, layer.down] {
                linear.destroy();
            }
        }
    }
}
