//! Adding, replacing and removing items.

use std::collections::HashSet;

use super::catalogue::CatalogueEntry;
use super::rows::{MAX_NUMBER, RowBatch};
use super::{Index, IndexKind};
use crate::error::{Error, Result};
use crate::maxsim::TokenVectors;
use crate::numbers::RowData;
use crate::progress::{Progress, Watch};

/// Most bytes of an id.
pub const MAX_ID: usize = 1024;
/// Most bytes of an item's data.
pub const MAX_DATA: usize = 64 << 10;

/// What an item is called, and what is to be kept with it.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// 1 to [`MAX_ID`] bytes, and no other item's.
    pub id: &'a str,
    /// JSON text of at most [`MAX_DATA`] bytes.
    pub data: Option<&'a str>,
}

/// What becomes of an item whose id is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddMode {
    /// It is an error, and nothing is added.
    #[default]
    Add,
    /// The new one takes its place, at the end of the order.
    Upsert,
}

impl Index {
    /// Adds `items` with the rows `vectors.offsets[i]..vectors.offsets[i + 1]` each. `vectors` may be in any form and is
    /// turned into the format of [`super::IndexOptions::rows`]; dense ones may not have scales, which a cosine has no use for. `ranges` `[T]` are
    /// the bytes `(start, end)` of a late item's text that its rows stand for, `(0, 0)` for none. All or nothing.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] naming the item: an id that is empty, too long, given twice, or, with
    /// [`AddMode::Add`], already there; data that is too long or no JSON; vectors or ranges of another shape; a number that
    /// is not finite in the form rows are kept in. [`crate::Error::AdapterTooSmall`] for an item that is larger than a
    /// segment; [`crate::Error::OutOfMemory`]; [`crate::Error::Aborted`]; faults of the device.
    pub async fn add(
        &mut self,
        items: &[Item<'_>],
        vectors: TokenVectors<'_>,
        ranges: Option<&[(u32, u32)]>,
        mode: AddMode,
        watch: &dyn Watch,
    ) -> Result<()> {
        self.check_items(items, mode)?;
        self.check_vectors(items.len(), &vectors, ranges)?;
        let prepared = self.prepare().await;
        self.store.backend.settled(prepared).await?;
        let added = self.add_vectors(items, &vectors, ranges, watch).await;
        let added = self.store.backend.settled(added).await;
        self.settle(added, watch)
    }

    /// Takes out the items with these ids, and gives how many there were; unknown ids are passed over. Segments with more
    /// dead rows than living ones are made anew, smaller.
    ///
    /// # Errors
    /// Faults of the device. The items are gone all the same.
    pub async fn remove(&mut self, ids: &[&str]) -> Result<usize> {
        self.store.roll_back();
        let removed = self.items.remove(ids.iter().copied());
        self.store.free(removed.iter().map(|entry| entry.place));
        let compacted = self.store.compact(&mut self.items).await;
        self.store.backend.settled(compacted).await?;
        Ok(removed.len())
    }

    /// Forgets what a call left that was dropped while it ran, and takes memory back.
    pub(super) async fn prepare(&mut self) -> Result<()> {
        self.store.roll_back();
        self.store.compact(&mut self.items).await
    }

    /// Writes the rows of `items`, and gives what is to be entered in the catalogue.
    async fn add_vectors(
        &mut self,
        items: &[Item<'_>],
        vectors: &TokenVectors<'_>,
        ranges: Option<&[(u32, u32)]>,
        watch: &dyn Watch,
    ) -> Result<Vec<CatalogueEntry>> {
        let row_bytes = self.store.layout.rows.row_bytes();
        let most = (self.store.sizes.block / row_bytes).max(1) as u64;
        let mut entries = Vec::with_capacity(items.len());
        while entries.len() < items.len() {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            let (first, start) = (entries.len(), vectors.offsets[entries.len()]);
            // As many items as make a piece of some MiB, but one at least.
            let end = vectors.offsets[first + 1..].partition_point(|&end| end - start <= most).max(1) + first;
            let rows = vectors.rows(first).start..vectors.rows(end - 1).end;
            let batch = RowBatch::of(&self.store.layout, vectors, rows.clone(), |row| {
                let item = vectors.offsets.partition_point(|&o| o <= (rows.start + row) as u64) - 1;
                let message =
                    format!("row {} has a number beyond {MAX_NUMBER:e}", rows.start + row - vectors.rows(item).start);
                Error::argument(format!("vectors[{item}]"), message)
            })?;
            for (i, item) in (first..end).zip(&items[first..end]) {
                let own = vectors.rows(i);
                let place =
                    self.store.add(&batch, own.start - rows.start, own.len() as u32, &format!("items[{i}]")).await?;
                entries.push(CatalogueEntry::new(item, ranges.map(|ranges| ranges[own].into()), place));
            }
            self.store.written().await?;
            watch.progress(Progress::Index { done: entries.len(), total: items.len() });
        }
        Ok(entries)
    }

    /// The end of adding: all of it, or none.
    pub(super) fn settle(&mut self, added: Result<Vec<CatalogueEntry>>, watch: &dyn Watch) -> Result<()> {
        let added = added.and_then(|entries| if watch.cancelled() { Err(Error::Aborted) } else { Ok(entries) });
        let entries = added.inspect_err(|_| self.store.roll_back())?;
        self.store.commit();
        let replaced = self.items.remove(entries.iter().map(|entry| &*entry.id));
        entries.into_iter().for_each(|entry| self.items.push(entry));
        self.store.free(replaced.iter().map(|entry| entry.place));
        Ok(())
    }

    pub(super) fn check_items(&self, items: &[Item<'_>], mode: AddMode) -> Result<()> {
        let mut seen = HashSet::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let refuse = |field: &str, message: String| Err(Error::argument(format!("items[{i}].{field}"), message));
            let Item { id, data } = *item;
            if id.is_empty() || id.len() > MAX_ID {
                return refuse("id", format!("has {} bytes, allowed are 1 to {MAX_ID}", id.len()));
            }
            if !seen.insert(id) {
                return refuse("id", format!("{id:?} is given twice"));
            }
            if mode == AddMode::Add && self.items.position(id).is_some() {
                return refuse("id", format!("{id:?} is in the index already; upsert replaces"));
            }
            let Some(data) = data else { continue };
            if data.len() > MAX_DATA {
                return refuse("data", format!("has {} bytes as JSON, allowed are {MAX_DATA}", data.len()));
            }
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(data) {
                return refuse("data", format!("is not JSON: {error}"));
            }
        }
        Ok(())
    }

    fn check_vectors(&self, items: usize, vectors: &TokenVectors<'_>, ranges: Option<&[(u32, u32)]>) -> Result<()> {
        self.check_rows("vectors", vectors)?;
        if vectors.items() != items {
            let message = format!("are of {} items, allowed is {items}, as there are items", vectors.items());
            return Err(Error::argument("vectors", message));
        }
        if let Some(i) = (0..items).find(|&i| u32::try_from(vectors.rows(i).len()).is_err()) {
            let message = format!("has {} rows, allowed are {}", vectors.rows(i).len(), u32::MAX);
            return Err(Error::argument(format!("vectors[{i}]"), message));
        }
        let Some(ranges) = ranges else { return Ok(()) };
        if self.options.kind == IndexKind::Dense {
            return Err(Error::argument("ranges", "are given, which only a late index keeps"));
        }
        if ranges.len() != vectors.count() {
            let message = format!("has {}, allowed is one for each of {} rows", ranges.len(), vectors.count());
            return Err(Error::argument("ranges", message));
        }
        match ranges.iter().position(|(start, end)| start > end) {
            Some(i) => {
                Err(Error::argument(format!("ranges[{i}]"), format!("{:?}, which ends before it starts", ranges[i])))
            }
            None => Ok(()),
        }
    }

    /// Vectors of the index's shape and without wrong numbers; `name` is what errors call them.
    pub(super) fn check_rows(&self, name: &str, vectors: &TokenVectors<'_>) -> Result<()> {
        vectors.check(name)?;
        if vectors.dim != self.options.dim {
            let message = format!("{}, allowed is {}, as the index has", vectors.dim, self.options.dim);
            return Err(Error::argument(format!("{name}.dim"), message));
        }
        match vectors.data {
            RowData::Int8 { scales: Some(_), .. } if self.options.kind == IndexKind::Dense => {
                Err(Error::argument(format!("{name}.scales"), "are given, of which a cosine takes no notice"))
            }
            _ => Ok(()),
        }
    }
}
