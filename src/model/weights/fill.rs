//! Puts rows of weights where they belong.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{MatrixPlace, Plan, VectorPlace};
use super::{Table, Weights};
use crate::backend::{Backend, Flush};
use crate::checkpoint::{Loss, MatrixRows, Rewrite, Tensor, WeightSink};
use crate::collect::inserted;
use crate::download_rate::Meter;
use crate::error::{Error, Result};
use crate::numbers::{Float, MatrixFormat};

/// Bytes written before they are handed to the device. It may still be taking as many while others are written, and staging
/// memory has both.
const FLUSH: u64 = 8 << 20;

/// Fills weights that have room but no values.
pub(super) struct Fill<'a> {
    backend: &'a Backend,
    weights: &'a mut Weights,
    places: BTreeMap<String, MatrixPlace>,
    vectors: BTreeMap<String, VectorPlace>,
    filled: BTreeSet<String>,
    pub(super) meter: Meter<'a>,
    unflushed: u64,
    flushing: Option<Flush>,
}

impl<'a> Fill<'a> {
    pub(super) fn new(backend: &'a Backend, plan: &Plan, weights: &'a mut Weights, meter: Meter<'a>) -> Self {
        let places = inserted(plan.matrices.iter().map(|m| (m.name.clone(), m.place)));
        let vectors = inserted(plan.vectors.iter().map(|(name, place, _)| (name.clone(), *place)));
        Self { backend, weights, places, vectors, filled: BTreeSet::new(), meter, unflushed: 0, flushing: None }
    }

    /// Takes the embedding table, which was read apart.
    pub(super) fn take_table(&mut self, table: Table) {
        self.weights.table = table;
        let names = self.places.iter().filter(|(_, place)| **place == MatrixPlace::Embedding);
        self.filled.extend(names.map(|(name, _)| name.clone()));
    }

    /// Everything of the plan has come.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming what has not.
    pub(super) fn finish(&self) -> Result<()> {
        match self.places.keys().chain(self.vectors.keys()).find(|name| !self.filled.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::checkpoint("model.safetensors", format!("{name} was not read to its end"))),
        }
    }
}

impl Fill<'_> {
    fn plain(&mut self, name: &str, tensor: &Tensor, bytes: &[u8]) {
        let (Some(&place), Some(number)) = (self.vectors.get(name), Float::parse(&tensor.dtype)) else { return };
        let Some(vector) = self.weights.vector(place) else { return };
        let mut values = Vec::new();
        number.widen(bytes, &mut values);
        vector.write(0, &values);
        self.filled.insert(name.into());
    }

    async fn rows(&mut self, name: &str, first: u64, rows: &MatrixRows) -> Result<()> {
        let Some(&place) = self.places.get(name) else { return Ok(()) };
        let Some((weight, matrix)) = self.weights.matrix(place) else {
            self.weights.table.push(rows);
            return Ok(());
        };
        weight.write(matrix, first as u32, &rows.values);
        if !rows.groups.is_empty() {
            weight.write_groups(matrix, first as u32, &rows.groups);
        }
        self.unflushed += (rows.values.len() + 8 * rows.groups.len()) as u64;
        if self.unflushed >= FLUSH {
            self.unflushed = 0;
            if let Some(before) = self.flushing.replace(self.backend.begin_flush()) {
                self.backend.finish_flush(before).await?;
            }
        }
        Ok(())
    }
}

/// The meter hears instead.
pub(super) type Unheard = fn(u64) -> Result<()>;

/// Fills weights, and writes them down too, where there is something to write them to.
pub(super) struct Tee<'f, 'a, A> {
    fill: &'f mut Fill<'a>,
    rewrite: Option<Result<Rewrite<A, Unheard>>>,
}

impl<'f, 'a, A: AsyncFnMut(&[u8]) -> Result<()>> Tee<'f, 'a, A> {
    pub(super) fn without(fill: &'f mut Fill<'a>) -> Self {
        Self { fill, rewrite: None }
    }

    pub(super) fn with(fill: &'f mut Fill<'a>, rewrite: Result<Rewrite<A, Unheard>>) -> Self {
        Self { fill, rewrite: Some(rewrite) }
    }

    /// A file of `size` bytes begins; `cached` if it lies on this machine.
    pub(super) fn begin(&mut self, file: &str, size: Option<u64>, cached: bool) {
        self.fill.meter.begin(file, size, cached);
    }

    /// Whether all was written down.
    ///
    /// # Errors
    /// What kept it from being.
    pub(super) fn finish(self) -> Result<()> {
        self.rewrite.map_or(Ok(()), |rewrite| rewrite?.finish().map(drop))
    }

    /// Writes on, unless that has failed before: weights are filled all the same.
    async fn write(&mut self, write: impl AsyncFnOnce(&mut Rewrite<A, Unheard>) -> Result<()>) {
        if let Some(Ok(rewrite)) = &mut self.rewrite
            && let Err(error) = write(rewrite).await
        {
            self.rewrite = Some(Err(error));
        }
    }
}

impl<A: AsyncFnMut(&[u8]) -> Result<()>> WeightSink for Tee<'_, '_, A> {
    async fn plain(&mut self, name: &str, tensor: &Tensor, bytes: &[u8]) -> Result<()> {
        self.fill.plain(name, tensor, bytes);
        self.write(async |rewrite| rewrite.plain(name, tensor, bytes).await).await;
        Ok(())
    }

    async fn rows(&mut self, name: &str, first: u64, rows: &MatrixRows) -> Result<()> {
        self.write(async |rewrite| rewrite.rows(name, first, rows).await).await;
        self.fill.rows(name, first, rows).await
    }

    async fn complete(&mut self, name: &str, form: MatrixFormat, loss: Loss) -> Result<()> {
        self.fill.filled.insert(name.into());
        self.write(async |rewrite| rewrite.complete(name, form, loss).await).await;
        Ok(())
    }

    fn at(&mut self, position: u64) -> Result<()> {
        self.fill.meter.at(position)
    }
}
