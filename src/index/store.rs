//! Where rows lie: segments, on the device while there is room.
//!
//! Rows are first added, which nobody sees, and then committed or rolled back. An item's rows lie in one segment, one
//! after another; when it is removed they are dead, and a segment that is mostly dead is made anew.

use super::SegmentSizes;
use super::catalogue::{Catalogue, RowPlace};
use super::device::DeviceRows;
use super::rows::{IndexLayout, RowBatch, RowLayout};
use super::segment::RowSegment;
use crate::backend::Backend;
use crate::error::{Error, Result};

/// All rows of an index.
pub(super) struct SegmentStore {
    pub(super) backend: Backend,
    pub(super) layout: IndexLayout,
    pub(super) sizes: SegmentSizes,
    /// Bytes that rows may take on the device.
    budget: u64,
    /// By rising name.
    segments: Vec<RowSegment>,
    next_name: u32,
}

impl SegmentStore {
    pub(super) fn new(backend: Backend, layout: IndexLayout, memory: Option<u64>, sizes: SegmentSizes) -> Self {
        let known = backend.memory_for_weights().map(|bytes| bytes / 2);
        let budget = memory.or(known).unwrap_or(u64::MAX);
        Self { backend, layout, sizes, budget, segments: Vec::new(), next_name: 0 }
    }

    /// Bytes in host memory and on the device.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let each = self.segments.iter().map(|s| s.bytes(&self.layout));
        each.fold((0, 0), |sum, bytes| (sum.0 + bytes.0, sum.1 + bytes.1))
    }

    /// All segments.
    pub(super) fn segments(&self) -> &[RowSegment] {
        &self.segments
    }

    /// One of them.
    pub(super) fn segment_mut(&mut self, at: usize) -> &mut RowSegment {
        &mut self.segments[at]
    }

    /// Where in [`RowSegmentStore::segments`] the rows of `place` are; `None` for no rows.
    pub(super) fn at(&self, place: RowPlace) -> Option<usize> {
        let found = || self.segments.binary_search_by_key(&place.segment, |s| s.name).ok();
        (place.rows > 0).then(found).flatten()
    }

    /// Appends an item of `rows` rows, those of `batch` from `from` on, for nobody to see yet. `name` is what errors call
    /// it.
    ///
    /// # Errors
    /// [`Error::AdapterTooSmall`], [`Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn add(&mut self, batch: &RowBatch, from: usize, rows: u32, name: &str) -> Result<RowPlace> {
        let place = self.place(rows, name).await?;
        let range = from..from + rows as usize;
        if let Some(at) = self.at(place) {
            let segment = &mut self.segments[at];
            segment.rows.write(place.first, &batch.rows, range.clone())?;
            if let (Some(storage), Some(signs)) = (&mut segment.signs, &batch.signs) {
                storage.write(place.first, signs, range.clone())?;
            }
            segment.squares.extend(batch.squares.get(range).into_iter().flatten());
        }
        Ok(place)
    }

    /// Room for an item of `rows` rows, which are yet to be written.
    ///
    /// # Errors
    /// As [`RowSegmentStore::add`].
    pub(super) async fn place(&mut self, rows: u32, name: &str) -> Result<RowPlace> {
        if rows == 0 {
            return Ok(RowPlace::NOWHERE);
        }
        let fits = |s: &RowSegment| !s.sealed && s.capacity - s.filled >= rows;
        if !self.segments.last().is_some_and(fits) {
            let segment = self.segment_for(rows, name).await?;
            self.segments.push(segment);
        }
        let Some(segment) = self.segments.last_mut() else { return Ok(RowPlace::NOWHERE) };
        let first = segment.filled;
        segment.filled += rows;
        Ok(RowPlace { segment: segment.name, first, rows })
    }

    /// An empty segment with room for `rows` at least: as large as what there is, within the limits.
    async fn segment_for(&mut self, rows: u32, name: &str) -> Result<RowSegment> {
        let stride = self.layout.rows.padded_bytes() as u64;
        let SegmentSizes { min_segment: least, max_segment, .. } = self.sizes;
        let largest = max_segment.min(self.backend.limits().buffer_bytes);
        let most = largest / stride;
        if u64::from(rows) > most {
            let message = format!("{name} has {rows} rows of {stride} bytes, {most} fit one buffer");
            return Err(Error::AdapterTooSmall { adapter: self.backend.adapter().name.clone(), message });
        }
        let live: u64 = self.segments.iter().map(|s| u64::from(s.filled - s.dead)).sum();
        let wanted = live.saturating_mul(stride).max(least).min(largest) / stride;
        let wanted = wanted.max(rows.into()).min(most) as u32;
        let least = u64::from(wanted).min(least / stride).max(rows.into()) as u32;
        let (capacity, device) = self.on_device(least, wanted).await?;
        let segment = RowSegment::new(self.next_name, capacity, &self.layout, device);
        self.next_name += 1;
        Ok(segment)
    }

    /// Room on the device for `wanted` rows, or as many as the budget allows but `least` of them; of what the budget has
    /// no room for, nothing.
    async fn on_device(&mut self, least: u32, wanted: u32) -> Result<(u32, [Option<DeviceRows>; 2])> {
        let IndexLayout { rows, signs, dense } = self.layout;
        // Dense numbers with signs beside them are looked up only where the signs are best.
        let rows = (!dense || signs.is_none()).then_some(rows);
        // Signs, which all searches read, come before numbers, of which those of candidates are read.
        let choices = [[rows, signs], [None, signs]];
        for choice in &choices[..if rows.is_some() && signs.is_some() { 2 } else { 1 }] {
            let backend = self.backend.clone();
            let resident = self.segments.iter().filter(|s| !s.sealed).map(|s| s.bytes(&self.layout).1).sum::<u64>();
            let cost = choice.iter().flatten().map(DeviceRows::cost).sum::<u64>().max(1);
            let room = self.budget.saturating_sub(resident) / cost;
            if room < u64::from(least) {
                continue;
            }
            let count = u64::from(wanted).min(room) as u32;
            let room_for = |layout: Option<RowLayout>| layout.map(|s| DeviceRows::new(&backend, &s, count)).transpose();
            match backend.allocate(|| Ok([room_for(choice[0])?, room_for(choice[1])?])).await {
                Ok(made) => return Ok((count, made)),
                // What did not fit now will not fit the next time.
                Err(Error::OutOfMemory { .. }) => self.budget = resident,
                Err(error) => return Err(error),
            }
        }
        Ok((wanted, [None, None]))
    }

    /// Takes all rows to another device, after this one was lost.
    ///
    /// # Errors
    /// As [`RowSegment::move_to`]. Rows that were not moved yet stay where they are.
    pub(super) async fn move_to(&mut self, backend: Backend) -> Result<()> {
        self.roll_back();
        for segment in &mut self.segments {
            segment.move_to(&backend, &self.layout).await?;
        }
        self.backend = backend;
        self.written().await
    }

    /// Waits until everything written is on the device.
    ///
    /// # Errors
    /// Faults of the device.
    pub(super) async fn written(&self) -> Result<()> {
        self.backend.flush_writes().await
    }

    /// What was added counts.
    pub(super) fn commit(&mut self) {
        self.segments.iter_mut().for_each(|s| s.used = s.filled);
    }

    /// What was added since the last commit is gone.
    pub(super) fn roll_back(&mut self) {
        self.segments.iter_mut().for_each(RowSegment::roll_back);
        self.free(std::iter::empty());
    }

    /// The rows of these committed items are dead.
    pub(super) fn free(&mut self, places: impl Iterator<Item = RowPlace>) {
        for place in places {
            if let Some(at) = self.at(place) {
                self.segments[at].dead += place.rows;
            }
        }
        self.segments.retain(|s| s.used > s.dead);
    }

    /// Makes segments anew that are mostly dead. There is nothing to roll back before; if there is no memory for it they
    /// stay as they are.
    ///
    /// # Errors
    /// Faults of the device.
    pub(super) async fn compact(&mut self, items: &mut Catalogue) -> Result<()> {
        let wasteful: Vec<u32> = self.segments.iter().filter(|s| s.wasteful()).map(|s| s.name).collect();
        for name in wasteful {
            let Ok(at) = self.segments.binary_search_by_key(&name, |s| s.name) else { continue };
            self.segments[at].sealed = true;
            match self.move_from(at, items).await {
                Ok(()) => drop(self.segments.remove(at)),
                Err(error) => {
                    self.roll_back();
                    return if matches!(error, Error::OutOfMemory { .. }) { Ok(()) } else { Err(error) };
                }
            }
        }
        Ok(())
    }

    /// Moves the living rows of segment `at` to other segments, and commits.
    async fn move_from(&mut self, at: usize, items: &mut Catalogue) -> Result<()> {
        let name = self.segments[at].name;
        let mut moves: Vec<(RowPlace, RowPlace)> =
            items.places().filter(|p| p.segment == name && p.rows > 0).map(|p| (p, p)).collect();
        moves.sort_unstable_by_key(|(from, _)| from.first);
        for (from, to) in &mut moves {
            *to = self.place(from.rows, "an item").await?;
        }
        for here in moves.chunk_by(|a, b| a.1.segment == b.1.segment) {
            let mut runs: Vec<(std::ops::Range<u32>, u32)> = Vec::new();
            for &(from, to) in here {
                match runs.last_mut() {
                    Some((rows, _)) if rows.end == from.first => rows.end += from.rows,
                    _ => runs.push((from.first..from.first + from.rows, to.first)),
                }
            }
            let Some(to) = self.at(here[0].1) else { continue };
            let (before, after) = self.segments.split_at_mut(to);
            let (from, to) = (&before[at], &mut after[0]);
            to.rows.copy(&self.layout.rows, &from.rows, &runs).await?;
            if let (Some(to), Some(from), Some(layout)) = (&mut to.signs, &from.signs, &self.layout.signs) {
                to.copy(layout, from, &runs).await?;
            }
            for (rows, _) in &runs {
                let range = rows.start as usize..rows.end as usize;
                to.squares.extend(from.squares.get(range).into_iter().flatten());
            }
        }
        self.written().await?;
        self.commit();
        for place in items.places_mut().filter(|p| p.segment == name && p.rows > 0) {
            if let Ok(i) = moves.binary_search_by_key(&place.first, |(from, _)| from.first) {
                *place = moves[i].1;
            }
        }
        Ok(())
    }
}
