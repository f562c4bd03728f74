//! Writing an index.

use super::Index;
use super::catalogue::RowPlace;
use super::file_format::{FileBlock, IndexHeader, Items, SavedItem};
use super::rows::RowLayout;
use crate::error::{Error, Result};
use crate::progress::{Progress, Watch};

/// Where bytes go, in order.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait IndexSink {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// What kept them from being written.
    async fn write(&mut self, bytes: &[u8]) -> Result<()>;
}

impl IndexSink for Vec<u8> {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl Index {
    /// Writes the index in the form that `file_format.rs` describes: the same bytes for the same items, added in the
    /// same order.
    ///
    /// # Errors
    /// What `sink` returns; [`crate::Error::Aborted`]; faults of the device.
    pub async fn save(&self, sink: &mut impl IndexSink, watch: &dyn Watch) -> Result<()> {
        let header = IndexHeader::of(self).bytes().map_err(|e| Error::io("index", e))?;
        sink.write(&header).await?;
        let mut done = 0;
        while done < self.len() {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            let block = self.block(done).await?;
            done += block.items.len();
            sink.write(&FileBlock::Items(block).bytes()).await?;
            watch.progress(Progress::Index { done, total: self.len() });
        }
        sink.write(&FileBlock::End(done as u64).bytes()).await
    }

    /// The items from `first` on, as many as go into a block.
    async fn block(&self, first: usize) -> Result<Items> {
        let layout = &self.store.layout;
        let streams = || std::iter::once(&layout.rows).chain(layout.signs.iter().filter(|_| !layout.dense));
        let row: usize = streams().map(|s| s.row_bytes() + if s.scaled { 4 } else { 0 }).sum();
        let (mut items, mut bytes) = (Vec::new(), 0);
        // Rows that lie together are read together.
        let mut runs: Vec<RowPlace> = Vec::new();
        for entry in (first..).map_while(|i| self.items.get(i)) {
            let RowPlace { segment, first, rows } = entry.place;
            let (data, ranges) = (entry.data.as_deref(), entry.ranges.as_deref());
            bytes += 16 + entry.id.len() + data.map_or(0, str::len) + ranges.map_or(0, size_of_val);
            bytes += rows as usize * row;
            if bytes > self.store.sizes.block && !items.is_empty() {
                break;
            }
            items.push(SavedItem {
                id: entry.id.to_string(),
                data: data.map(Into::into),
                ranges: ranges.map(Into::into),
                rows,
            });
            match runs.last_mut() {
                Some(run) if run.segment == segment && run.first + run.rows == first => run.rows += rows,
                _ => runs.push(entry.place),
            }
        }
        let mut rows = layout.rows.empty();
        let mut signs = layout.signs.as_ref().filter(|_| !layout.dense).map(RowLayout::empty);
        for run in runs {
            let Some(at) = self.store.at(run) else { continue };
            let segment = &self.store.segments()[at];
            let range = run.first..run.first + run.rows;
            segment.rows.read(range.clone(), &mut rows).await?;
            if let (Some(into), Some(storage)) = (&mut signs, &segment.signs) {
                storage.read(range, into).await?;
            }
        }
        Ok(Items { items, rows, signs })
    }
}
