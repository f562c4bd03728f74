//! Puts rows of weights where they belong.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Norm, Place, Plan};
use super::{Weights, meter::Meter};
use crate::checkpoint::{Number, Rows, Sink, Tensor};
use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// Bytes written before staging memory is given back.
const FLUSH: u64 = 16 << 20;

/// Fills weights that have room but no values.
pub(super) struct Fill<'a> {
    gpu: &'a Gpu,
    weights: &'a mut Weights,
    places: BTreeMap<String, Place>,
    norms: BTreeMap<String, Norm>,
    filled: BTreeSet<String>,
    pub(super) meter: Meter<'a>,
    unflushed: u64,
}

impl<'a> Fill<'a> {
    pub(super) fn new(gpu: &'a Gpu, plan: &Plan, weights: &'a mut Weights, meter: Meter<'a>) -> Self {
        let places = plan.matrices.iter().map(|m| (m.name.clone(), m.place)).collect();
        let norms = plan.norms.iter().map(|(name, norm, _)| (name.clone(), *norm)).collect();
        Self { gpu, weights, places, norms, filled: BTreeSet::new(), meter, unflushed: 0 }
    }

    /// Everything of the plan has come.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming what has not.
    pub(super) fn finish(&self) -> Result<()> {
        match self.places.keys().chain(self.norms.keys()).find(|name| !self.filled.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::checkpoint("model.safetensors", format!("{name} was not read to its end"))),
        }
    }
}

impl Sink for Fill<'_> {
    async fn plain(&mut self, name: &str, tensor: &Tensor, bytes: Vec<u8>) -> Result<()> {
        let (Some(&norm), Some(number)) = (self.norms.get(name), Number::parse(&tensor.dtype)) else { return Ok(()) };
        let mut values = Vec::new();
        number.widen(&bytes, &mut values);
        self.gpu.queue.write_buffer(self.weights.norm(norm), 0, bytemuck::cast_slice(&values));
        self.filled.insert(name.into());
        Ok(())
    }

    async fn rows(&mut self, name: &str, first: u64, rows: Rows) -> Result<()> {
        let Some(&place) = self.places.get(name) else { return Ok(()) };
        let Some((linear, matrix)) = self.weights.linear(place) else {
            self.weights.table.push(&rows);
            return Ok(());
        };
        linear.write(self.gpu, matrix, first as u32, &rows.values);
        if !rows.groups.is_empty() {
            linear.write_groups(self.gpu, matrix, first as u32, &rows.groups);
        }
        self.unflushed += (rows.values.len() + 8 * rows.groups.len()) as u64;
        if self.unflushed >= FLUSH {
            self.unflushed = 0;
            self.gpu.flush_writes().await?;
        }
        Ok(())
    }

    async fn complete(&mut self, name: &str) -> Result<()> {
        self.filled.insert(name.into());
        Ok(())
    }

    fn at(&mut self, position: u64) -> Result<()> {
        self.meter.at(position)
    }
}
