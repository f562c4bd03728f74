//! Late items from texts: the encoder's vectors become rows where they are, on the device.

use std::ops::Range;
use std::sync::Arc;

use super::catalogue::{Entry, Place};
use super::rows::{Batch, Layout};
use super::segment::Home;
use super::store::Store;
use super::{Index, Item, Mode};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Keep, KeepBuffers, Recorder};
use crate::maxsim::{TokenData, Tokens};
use crate::model::late::{self, EncodeOptions, MarkerPosition, Role, TokenRows};
use crate::model::{Model, Usage};
use crate::watch::Watch;

impl Index {
    /// Adds `items` with the token vectors of `texts`.
    pub(super) async fn encode(
        &mut self,
        model: &Model,
        items: &[Item<'_>],
        texts: &[&str],
        mode: Mode,
        watch: &dyn Watch,
    ) -> Result<Usage> {
        let Some(gpu) = self.store.gpu.clone().filter(|gpu| Arc::ptr_eq(gpu, model.gpu())) else {
            return self.encode_through_host(model, items, texts, mode, watch).await;
        };
        self.prepare().await?;
        let Layout { rows, signs, .. } = self.store.layout;
        for form in [Some(rows), signs].iter().flatten().map(|stream| stream.token_form()) {
            if self.keep.iter().all(|keep| keep.form() != form) {
                self.keep.push(Keep::new(&gpu, form).await?);
            }
        }
        let mut places = Vec::with_capacity(items.len());
        let (store, keep) = (&mut self.store, &self.keep);
        let take = async |batch: late::Batch<'_>| {
            let first = places.len();
            for i in batch.texts.clone() {
                let rows = batch.tokens.offsets[i + 1] - batch.tokens.offsets[i];
                places.push(store.place(rows as u32, &format!("items[{i}]")).await?);
            }
            let passage = Passage { gpu: &gpu, keep, vectors: batch.vectors, watch };
            passage.write(store, &places[first..]).await
        };
        let tokens = model.encode_into(Role::Document, texts, MarkerPosition::default(), take, watch).await;
        let tokens = tokens.inspect_err(|_| self.store.roll_back())?;
        let written = self.store.written().await;
        let ranges = ranges(&tokens);
        let entry = |(i, (item, place)): (usize, (&Item<'_>, Place))| {
            Entry::new(item, Some(ranges[tokens.offsets[i]..tokens.offsets[i + 1]].into()), place)
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
        mode: Mode,
        watch: &dyn Watch,
    ) -> Result<Usage> {
        let encoded = model.encode(Role::Document, texts, EncodeOptions::default(), watch).await?;
        let offsets: Vec<u64> = encoded.offsets.iter().map(|&o| o as u64).collect();
        let vectors = Tokens { data: TokenData::Float32(float32(&encoded)?), offsets: &offsets, dim: encoded.dim };
        let ranges: Vec<_> = encoded.ranges.iter().map(range).collect();
        self.add(items, vectors, Some(&ranges), mode, watch).await?;
        Ok(encoded.usage)
    }
}

/// The numbers of vectors that were asked for as float32.
pub(super) fn float32(encoded: &late::TokenEmbeddings) -> Result<&[f32]> {
    match &encoded.data {
        late::TokenData::Float32(numbers) => Ok(numbers),
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
    gpu: &'a Gpu,
    keep: &'a [Keep],
    vectors: &'a wgpu::Buffer,
    watch: &'a dyn Watch,
}

/// Vectors that become consecutive rows of a segment.
struct Run {
    vectors: Range<u32>,
    segment: usize,
    first: u32,
}

impl Passage<'_> {
    /// Writes all vectors to `places`, one item's after another's.
    async fn write(&self, store: &mut Store, places: &[Place]) -> Result<()> {
        let mut runs: Vec<Run> = Vec::new();
        let mut next = 0;
        for place in places {
            let vectors = next..next + place.rows;
            next = vectors.end;
            let Some(segment) = store.at(*place) else { continue };
            match runs.last_mut() {
                // Items that were placed one after another lie so, too.
                Some(run) if run.segment == segment => run.vectors.end = vectors.end,
                _ => runs.push(Run { vectors, segment, first: place.first }),
            }
        }
        let layout = store.layout;
        for run in &runs {
            let segment = store.segment_mut(run.segment);
            if segment.homes().any(|home| matches!(home, Home::Host(_))) {
                let batch = self.read(&layout, run).await?;
                segment.write_host(run.first, &batch)?;
            }
            let streams = std::iter::once(&layout.rows).chain(&layout.signs);
            for (home, stream) in segment.homes().zip(streams) {
                let Home::Device(rows) = home else { continue };
                let Some(keep) = self.keep.iter().find(|keep| keep.form() == stream.token_form()) else { continue };
                let mut recorder = Recorder::for_keep(self.gpu, keep, self.watch);
                let buffers = KeepBuffers { vectors: self.vectors, data: &rows.data, scales: rows.scales.as_ref() };
                recorder.keep(buffers, run.vectors.clone(), run.first, stream.dim as u32);
                recorder.flush().await?;
            }
        }
        Ok(())
    }

    /// The vectors of a run as rows in host memory.
    async fn read(&self, layout: &Layout, run: &Run) -> Result<Batch> {
        let (dim, count) = (layout.rows.dim, run.vectors.len());
        let at = u64::from(run.vectors.start) * dim as u64 * 4;
        let bytes = self.gpu.read_at(self.vectors, at, (count * dim * 4) as u64).await?;
        let numbers: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let tokens = Tokens { data: TokenData::Float32(&numbers), offsets: &[0, count as u64], dim };
        let wrong = |row| Error::Gpu { message: format!("the model gave a token vector, {row}, that is not finite") };
        Batch::of(layout, &tokens, 0..count, wrong)
    }
}
