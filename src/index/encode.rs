//! Late items from texts: the encoder's vectors become rows where they are, on the device.

use std::ops::Range;

use super::catalogue::{CatalogueEntry, RowPlace};
use super::rows::{IndexLayout, RowBatch};
use super::segment::RowStorage;
use super::store::SegmentStore;
use super::{AddMode, Index, Item};
use crate::backend::{Buffer, Kernels, Operation};
use crate::error::{Error, Result};
use crate::maxsim::TokenVectors;
use crate::model::late::{self, EncodeOptions, MarkerPosition, Role, TokenRows};
use crate::model::{Model, Usage};
use crate::numbers::{RowBuf, RowData};
use crate::progress::Watch;

impl Index {
    /// Adds `items` with the token vectors of `texts`.
    pub(super) async fn encode(
        &mut self,
        model: &Model,
        items: &[Item<'_>],
        texts: &[&str],
        mode: AddMode,
        watch: &dyn Watch,
    ) -> Result<Usage> {
        let backend = self.store.backend.clone();
        if !backend.is_same(model.backend()) {
            return self.encode_through_host(model, items, texts, mode, watch).await;
        }
        self.prepare().await?;
        let IndexLayout { rows, signs, .. } = self.store.layout;
        let packing: Vec<Operation> =
            std::iter::once(rows).chain(signs).map(|layout| Operation::PackRows(layout.format)).collect();
        let kernels = backend.kernels(&packing).await?;
        let mut places = Vec::with_capacity(items.len());
        let store = &mut self.store;
        let take = async |batch: late::EncodedBatch<'_>| {
            let first = places.len();
            for i in batch.texts.clone() {
                let rows = batch.tokens.offsets[i + 1] - batch.tokens.offsets[i];
                places.push(store.place(rows as u32, &format!("items[{i}]")).await?);
            }
            let passage = Passage { kernels: &kernels, vectors: batch.vectors, watch };
            passage.write(store, &places[first..]).await
        };
        let tokens = model.encode_into(Role::Document, texts, MarkerPosition::default(), take, watch).await;
        let tokens = tokens.inspect_err(|_| self.store.roll_back())?;
        let written = self.store.written().await;
        let ranges = ranges(&tokens);
        let entry = |(i, (item, place)): (usize, (&Item<'_>, RowPlace))| {
            CatalogueEntry::new(item, Some(ranges[tokens.offsets[i]..tokens.offsets[i + 1]].into()), place)
        };
        let entries = written.map(|()| items.iter().zip(places).enumerate().map(entry).collect());
        self.settle(entries, watch)?;
        Ok(tokens.usage)
    }

    /// The same where the model is on another device than the index.
    async fn encode_through_host(
        &mut self,
        model: &Model,
        items: &[Item<'_>],
        texts: &[&str],
        mode: AddMode,
        watch: &dyn Watch,
    ) -> Result<Usage> {
        let encoded = model.encode(Role::Document, texts, EncodeOptions::default(), watch).await?;
        let offsets: Vec<u64> = encoded.tokens.offsets.iter().map(|&o| o as u64).collect();
        let vectors =
            TokenVectors { data: RowData::Float32(float32(&encoded)?), offsets: &offsets, dim: encoded.tokens.dim };
        let ranges: Vec<_> = encoded.tokens.ranges.iter().map(range).collect();
        self.add(items, vectors, Some(&ranges), mode, watch).await?;
        Ok(encoded.tokens.usage)
    }
}

/// The numbers of vectors that were asked for as float32.
pub(super) fn float32(encoded: &late::TokenEmbeddings) -> Result<&[f32]> {
    match &encoded.data {
        RowBuf::Float32(numbers) => Ok(numbers),
        _ => Err(Error::unsupported("another form of token vectors", "float32 was asked for")),
    }
}

fn ranges(tokens: &TokenRows) -> Vec<(u32, u32)> {
    tokens.ranges.iter().map(range).collect()
}

fn range(range: &Option<(usize, usize)>) -> (u32, u32) {
    range.map_or((0, 0), |(start, end)| (start as u32, end as u32))
}

/// Vectors `[n, D]` of float32 on the device, on their way to segments.
struct Passage<'a> {
    kernels: &'a Kernels,
    vectors: &'a Buffer,
    watch: &'a dyn Watch,
}

/// Vectors that become consecutive rows of a segment.
struct VectorRun {
    vectors: Range<u32>,
    segment: usize,
    first: u32,
}

impl Passage<'_> {
    /// Writes all vectors to `places`, one item's after another's.
    async fn write(&self, store: &mut SegmentStore, places: &[RowPlace]) -> Result<()> {
        let mut runs: Vec<VectorRun> = Vec::new();
        let mut next = 0;
        for place in places {
            let vectors = next..next + place.rows;
            next = vectors.end;
            let Some(segment) = store.at(*place) else { continue };
            match runs.last_mut() {
                // Items that were placed one after another lie so, too.
                Some(run) if run.segment == segment => run.vectors.end = vectors.end,
                _ => runs.push(VectorRun { vectors, segment, first: place.first }),
            }
        }
        let (layout, backend) = (store.layout, store.backend.clone());
        for run in &runs {
            let segment = store.segment_mut(run.segment);
            if segment.storages().any(|storage| matches!(storage, RowStorage::Host(_))) {
                let batch = self.read(&layout, run).await?;
                segment.write_host(run.first, &batch)?;
            }
            let layouts = std::iter::once(&layout.rows).chain(&layout.signs);
            for (storage, layout) in segment.storages_mut().zip(layouts) {
                let RowStorage::Device(rows) = storage else { continue };
                let made = run.first..run.first + run.vectors.len() as u32;
                let mut packing = backend.run(self.kernels, self.watch)?;
                let into = (&rows.data, rows.scales.as_ref());
                packing.pack_rows(
                    layout.format,
                    self.vectors,
                    into,
                    run.vectors.clone(),
                    run.first,
                    layout.dim as u32,
                )?;
                packing.finish().await?;
                rows.keep_made(made).await?;
            }
        }
        Ok(())
    }

    /// The vectors of a run as rows in host memory.
    async fn read(&self, layout: &IndexLayout, run: &VectorRun) -> Result<RowBatch> {
        let (dim, count) = (layout.rows.dim, run.vectors.len());
        let at = u64::from(run.vectors.start) * dim as u64 * 4;
        let bytes = self.vectors.read(at, (count * dim * 4) as u64).await?;
        let numbers: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let tokens = TokenVectors { data: RowData::Float32(&numbers), offsets: &[0, count as u64], dim };
        let wrong = |row| Error::Gpu { message: format!("the model gave a token vector, {row}, that is not finite") };
        RowBatch::of(layout, &tokens, 0..count, wrong)
    }
}
