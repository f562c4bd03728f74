//! A piece of memory full of rows.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::device::DeviceRows;
use super::rows::{HostRows, IndexLayout, RowBatch, RowLayout};
use crate::backend::{Backend, Buffer};
use crate::error::{Error, Result};

/// HostRows in one piece of memory, the numbers here and the signs there.
pub(super) struct RowSegment {
    /// Segments have rising names.
    pub(super) name: u32,
    /// HostRows that there is room for.
    pub(super) capacity: u32,
    /// HostRows that are committed.
    pub(super) used: u32,
    /// HostRows that are there.
    pub(super) filled: u32,
    /// HostRows of removed items.
    pub(super) dead: u32,
    /// It is being made anew: nothing is added.
    pub(super) sealed: bool,
    pub(super) rows: RowStorage,
    pub(super) signs: Option<RowStorage>,
    /// See [`super::rows::RowBatch::squares`].
    pub(super) squares: Vec<u32>,
    /// The same of so many committed rows on the device, once a search has wanted them.
    squares_there: Mutex<Option<(u32, Buffer)>>,
}

/// Where the rows of a segment are.
pub(super) enum RowStorage {
    Host(HostRows),
    Device(DeviceRows),
}

impl RowSegment {
    /// An empty one; rows that are not given a place on the device go to host memory.
    pub(super) fn new(name: u32, capacity: u32, layout: &IndexLayout, [rows, signs]: [Option<DeviceRows>; 2]) -> Self {
        let storage = |device: Option<DeviceRows>, layout: &RowLayout| match device {
            Some(rows) => RowStorage::Device(rows),
            None => RowStorage::Host(layout.empty()),
        };
        let rows = storage(rows, &layout.rows);
        let signs = layout.signs.as_ref().map(|layout| storage(signs, layout));
        Self {
            name,
            capacity,
            used: 0,
            filled: 0,
            dead: 0,
            sealed: false,
            rows,
            signs,
            squares: Vec::new(),
            squares_there: Mutex::default(),
        }
    }

    /// Bytes in host memory and on the device.
    pub(super) fn bytes(&self, layout: &IndexLayout) -> (u64, u64) {
        let there = self.squares_there.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = (size_of_val(&self.squares[..]) as u64, there.as_ref().map_or(0, |(_, buffer)| buffer.size()));
        for (storage, layout) in self.storages().zip(std::iter::once(&layout.rows).chain(&layout.signs)) {
            match storage {
                RowStorage::Host(rows) => bytes.0 += rows.memory(),
                RowStorage::Device(rows) => {
                    bytes.0 += rows.spare_bytes();
                    bytes.1 += u64::from(self.capacity) * DeviceRows::cost(layout);
                }
            }
        }
        bytes
    }

    /// Calls `work` with the squares of the committed rows on the device.
    ///
    /// # Errors
    /// As [`Backend::buffer`], and those of `work`.
    pub(super) fn with_squares(&self, backend: &Backend, work: impl FnOnce(&Buffer) -> Result<()>) -> Result<()> {
        let mut there = self.squares_there.lock().unwrap_or_else(PoisonError::into_inner);
        // Committed rows stay what they are.
        let (_, buffer) = match there.take() {
            Some(same) if same.0 == self.used => there.insert(same),
            _ => {
                let squares = &self.squares[..(self.used as usize).min(self.squares.len())];
                there.insert((self.used, backend.buffer_of("squares of rows", squares)?))
            }
        };
        work(buffer)
    }

    /// Where the numbers are, and where the signs.
    pub(super) fn storages(&self) -> impl Iterator<Item = &RowStorage> {
        std::iter::once(&self.rows).chain(&self.signs)
    }

    /// The same, to be written.
    pub(super) fn storages_mut(&mut self) -> impl Iterator<Item = &mut RowStorage> {
        std::iter::once(&mut self.rows).chain(&mut self.signs)
    }

    /// Puts rows to row `at` and on, as far as they belong in host memory.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub(super) fn write_host(&mut self, at: u32, batch: &RowBatch) -> Result<()> {
        self.rows.write(at, &batch.rows, 0..batch.len())?;
        match (&mut self.signs, &batch.signs) {
            (Some(storage), Some(signs)) => storage.write(at, signs, 0..batch.len()),
            _ => Ok(()),
        }
    }

    /// Takes its rows to another device, or, if that has no room for them, to host memory.
    ///
    /// # Errors
    /// [`Error::DeviceLost`] if there are rows on the device only, which stay where they are; faults of the other device.
    pub(super) async fn move_to(&mut self, backend: &Backend, layout: &IndexLayout) -> Result<()> {
        *self.squares_there.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        for (storage, layout) in std::iter::once(&mut self.rows)
            .chain(&mut self.signs)
            .zip(std::iter::once(&layout.rows).chain(&layout.signs))
        {
            let RowStorage::Device(device) = storage else { continue };
            let spare = match device.take_spare() {
                Some(spare) => spare,
                // Nothing takes the processor's memory away.
                None => {
                    let mut rows = layout.empty();
                    device.read(0..self.used, &mut rows).await?;
                    rows
                }
            };
            let room = || DeviceRows::new(backend, layout, self.capacity);
            *storage = match backend.allocate(room).await {
                Ok(mut rows) => {
                    rows.write(0, &spare, 0..spare.len());
                    RowStorage::Device(rows)
                }
                Err(Error::OutOfMemory { .. }) => RowStorage::Host(spare),
                Err(error) => {
                    device.put_spare(spare);
                    return Err(error);
                }
            };
        }
        Ok(())
    }

    /// Whether it is mostly dead.
    pub(super) fn wasteful(&self) -> bool {
        u64::from(self.dead) * 2 > u64::from(self.used)
    }

    /// Forgets rows that are not committed.
    pub(super) fn roll_back(&mut self) {
        (self.filled, self.sealed) = (self.used, false);
        self.squares.truncate(self.used as usize);
        for storage in std::iter::once(&mut self.rows).chain(&mut self.signs) {
            match storage {
                RowStorage::Host(rows) => rows.truncate(self.used as usize),
                RowStorage::Device(rows) => rows.truncate(self.used),
            }
        }
    }
}

impl RowStorage {
    /// Puts the rows `range` of `rows` to row `at` and on, which in host memory is the end.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub(super) fn write(&mut self, at: u32, rows: &HostRows, range: Range<usize>) -> Result<()> {
        match self {
            Self::Host(own) => {
                own.reserve(range.len())?;
                own.append(rows, range);
            }
            Self::Device(own) => own.write(at, rows, range),
        }
        Ok(())
    }

    /// Appends the rows `range` to `into`.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn read(&self, range: Range<u32>, into: &mut HostRows) -> Result<()> {
        match self {
            Self::Host(own) => {
                into.reserve(range.len())?;
                into.append(own, range.start as usize..range.end as usize);
                Ok(())
            }
            Self::Device(own) => own.read(range, into).await,
        }
    }

    /// Puts each of `runs`, rows of `from` and the first row here, in order.
    ///
    /// # Errors
    /// As [`RowStorage::read`].
    pub(super) async fn copy(&mut self, layout: &RowLayout, from: &Self, runs: &[(Range<u32>, u32)]) -> Result<()> {
        if let (Self::Device(to), Self::Device(from)) = (&mut *self, from) {
            return to.copy(from, runs);
        }
        for (rows, at) in runs {
            let mut passing = layout.empty();
            from.read(rows.clone(), &mut passing).await?;
            self.write(*at, &passing, 0..passing.len())?;
        }
        Ok(())
    }
}
