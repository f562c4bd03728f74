//! Rows on the device.

use std::ops::Range;

use super::rows::{HostRows, MAX_NUMBER, RowLayout};
use crate::backend::{Backend, Buffer};
use crate::error::Result;
use crate::maxsim::Resident;

/// Bytes of rows that are padded before they are uploaded, or read back at a time.
const STAGING: usize = 4 << 20;

/// Room for rows of one layout.
pub(super) struct DeviceRows {
    layout: RowLayout,
    /// Rows of [`RowLayout::padded_bytes`].
    pub(super) data: Buffer,
    /// `[rows]` float32, where rows have scales.
    pub(super) scales: Option<Buffer>,
    /// The same rows in host memory, because a GPU may be taken away at any time and rows are not made twice. `None` on the
    /// processor, and once there was no room for them.
    spare: Option<HostRows>,
}

impl DeviceRows {
    /// Bytes that a row takes.
    pub(super) fn cost(layout: &RowLayout) -> u64 {
        (layout.padded_bytes() + if layout.scaled { 4 } else { 0 }) as u64
    }

    /// Room for `rows` of them.
    ///
    /// # Errors
    /// As [`Backend::buffer`].
    pub(super) fn new(backend: &Backend, layout: &RowLayout, rows: u32) -> Result<Self> {
        let data = backend.buffer("index rows", u64::from(rows) * layout.padded_bytes() as u64)?;
        let scales = layout.scaled.then(|| backend.buffer("index scales", u64::from(rows) * 4)).transpose()?;
        let spare = matches!(backend, Backend::Gpu(_)).then(|| layout.empty());
        Ok(Self { layout: *layout, data, scales, spare })
    }

    /// Bytes in host memory.
    pub(super) fn spare_bytes(&self) -> u64 {
        self.spare.as_ref().map_or(0, HostRows::memory)
    }

    /// Its rows in host memory, to be put elsewhere.
    pub(super) fn take_spare(&mut self) -> Option<HostRows> {
        self.spare.take()
    }

    /// Takes them back.
    pub(super) fn put_spare(&mut self, spare: HostRows) {
        self.spare = Some(spare);
    }

    /// Forgets rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: u32) {
        if let Some(spare) = &mut self.spare {
            spare.truncate(rows as usize);
        }
    }

    /// Keeps the rows `range` of `rows`, which are its rows from `at` on.
    fn keep(&mut self, at: u32, rows: &HostRows, range: Range<usize>) {
        let Some(spare) = &mut self.spare else { return };
        spare.truncate(at as usize);
        match spare.len() == at as usize && spare.reserve(range.len()).is_ok() {
            true => spare.append(rows, range),
            false => self.spare = None,
        }
    }

    /// Keeps the rows `range`, which were made on the device.
    ///
    /// # Errors
    /// As [`DeviceRows::read`].
    pub(super) async fn keep_made(&mut self, range: Range<u32>) -> Result<()> {
        if self.spare.is_none() {
            return Ok(());
        }
        let mut made = self.layout.empty();
        self.read_back(range.clone(), &mut made).await?;
        self.keep(range.start, &made, 0..made.len());
        Ok(())
    }

    /// Puts the rows `range` of `rows` to row `at` and on.
    pub(super) fn write(&mut self, at: u32, rows: &HostRows, range: Range<usize>) {
        self.keep(at, rows, range.clone());
        let (own, padded_row) = (self.layout.row_bytes(), self.layout.padded_bytes());
        let mut to = u64::from(at) * padded_row as u64;
        if own == padded_row {
            self.data.write(to, rows.bytes(range.clone()));
        } else {
            let mut padded = Vec::new();
            for some in rows.bytes(range.clone()).chunks((STAGING / padded_row).max(1) * own) {
                padded.clear();
                self.layout.format.pad_rows(some, self.layout.dim as u32, &mut padded);
                self.data.write(to, &padded);
                to += padded.len() as u64;
            }
        }
        if let (Some(buffer), Some(scales)) = (&self.scales, rows.scales().get(range)) {
            buffer.write(u64::from(at) * 4, scales);
        }
    }

    /// Appends the rows `range` to `into`.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn read(&self, range: Range<u32>, into: &mut HostRows) -> Result<()> {
        match self.spare.as_ref().filter(|spare| range.end as usize <= spare.len()) {
            Some(spare) => {
                into.reserve(range.len())?;
                into.append(spare, range.start as usize..range.end as usize);
                Ok(())
            }
            None => self.read_back(range, into).await,
        }
    }

    async fn read_back(&self, range: Range<u32>, into: &mut HostRows) -> Result<()> {
        let (own, padded) = (self.layout.row_bytes(), self.layout.padded_bytes());
        into.reserve(range.len())?;
        for first in range.clone().step_by((STAGING / padded).max(1)) {
            let count = ((STAGING / padded).max(1) as u32).min(range.end - first);
            let bytes = self.data.read(u64::from(first) * padded as u64, u64::from(count) * padded as u64).await?;
            bytes.chunks_exact(padded).for_each(|row| into.rows.extend_bytes(&row[..own]));
        }
        if let Some(scales) = &self.scales {
            let bytes = scales.read(u64::from(range.start) * 4, range.len() as u64 * 4).await?;
            into.rows.extend_scales(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
        }
        Ok(())
    }

    /// What MaxSim scores: items that end at `offsets`, from row 0 on.
    pub(super) fn resident<'a>(&'a self, offsets: &'a [u64]) -> Resident<'a> {
        let RowLayout { format, dim, .. } = self.layout;
        Resident { format, dim, offsets, data: &self.data, scales: self.scales.as_ref(), peak: MAX_NUMBER.into() }
    }

    /// Copies each of `runs`, rows of `from` and the first row here, on the device.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] if they are on different engines.
    pub(super) fn copy(&mut self, from: &Self, runs: &[(Range<u32>, u32)]) -> Result<()> {
        match &from.spare {
            Some(spare) => {
                for (rows, at) in runs {
                    self.keep(*at, spare, rows.start as usize..rows.end as usize);
                }
            }
            None => self.spare = None,
        }
        let bytes = |size: u64| {
            let run = move |(rows, at): &(Range<u32>, u32)| {
                (u64::from(rows.start) * size, u64::from(*at) * size, rows.len() as u64 * size)
            };
            runs.iter().map(run)
        };
        self.data.copy_from(&from.data, bytes(self.layout.padded_bytes() as u64))?;
        if let (Some(from), Some(to)) = (&from.scales, &self.scales) {
            to.copy_from(from, bytes(4))?;
        }
        Ok(())
    }
}
