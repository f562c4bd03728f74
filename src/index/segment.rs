//! A piece of memory full of rows.

use std::ops::Range;

use super::device::DeviceRows;
use super::rows::{Batch, Layout, Rows, Stream};
use crate::error::Result;
use crate::gpu::Gpu;

/// Rows in one piece of memory, the numbers here and the signs there.
pub(super) struct Segment {
    /// Segments have rising names.
    pub(super) name: u32,
    /// Rows that there is room for.
    pub(super) capacity: u32,
    /// Rows that are committed.
    pub(super) used: u32,
    /// Rows that are there.
    pub(super) filled: u32,
    /// Rows of removed items.
    pub(super) dead: u32,
    /// It is being made anew: nothing is added.
    pub(super) sealed: bool,
    pub(super) rows: Home,
    pub(super) signs: Option<Home>,
    /// See [`super::rows::Batch::squares`].
    pub(super) squares: Vec<u32>,
}

/// Where the rows of a segment lie.
pub(super) enum Home {
    Host(Rows),
    Device(DeviceRows),
}

impl Segment {
    /// An empty one; rows that are not given a place on the device go to host memory.
    pub(super) fn new(name: u32, capacity: u32, layout: &Layout, [rows, signs]: [Option<DeviceRows>; 2]) -> Self {
        let home = |device: Option<DeviceRows>, stream: &Stream| match device {
            Some(rows) => Home::Device(rows),
            None => Home::Host(Rows::new(stream)),
        };
        let rows = home(rows, &layout.rows);
        let signs = layout.signs.as_ref().map(|stream| home(signs, stream));
        Self { name, capacity, used: 0, filled: 0, dead: 0, sealed: false, rows, signs, squares: Vec::new() }
    }

    /// Bytes in host memory and on the device.
    pub(super) fn bytes(&self, layout: &Layout) -> (u64, u64) {
        let mut bytes = (size_of_val(&self.squares[..]) as u64, 0);
        for (home, stream) in self.homes().zip(std::iter::once(&layout.rows).chain(&layout.signs)) {
            match home {
                Home::Host(rows) => bytes.0 += rows.memory(),
                Home::Device(_) => bytes.1 += u64::from(self.capacity) * DeviceRows::cost(stream),
            }
        }
        bytes
    }

    /// Where the numbers are, and where the signs.
    pub(super) fn homes(&self) -> impl Iterator<Item = &Home> {
        std::iter::once(&self.rows).chain(&self.signs)
    }

    /// Puts rows to row `at` and on, as far as they belong in host memory.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub(super) fn write_host(&mut self, at: u32, batch: &Batch) -> Result<()> {
        self.rows.write(None, at, &batch.rows, 0..batch.len())?;
        match (&mut self.signs, &batch.signs) {
            (Some(home), Some(signs)) => home.write(None, at, signs, 0..batch.len()),
            _ => Ok(()),
        }
    }

    /// Whether it is mostly dead.
    pub(super) fn wasteful(&self) -> bool {
        u64::from(self.dead) * 2 > u64::from(self.used)
    }

    /// Forgets rows that are not committed.
    pub(super) fn roll_back(&mut self) {
        (self.filled, self.sealed) = (self.used, false);
        self.squares.truncate(self.used as usize);
        for home in std::iter::once(&mut self.rows).chain(&mut self.signs) {
            if let Home::Host(rows) = home {
                rows.truncate(self.used as usize);
            }
        }
    }
}

impl Home {
    /// Puts the rows `range` of `rows` to row `at` and on, which in host memory is the end.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub(super) fn write(&mut self, gpu: Option<&Gpu>, at: u32, rows: &Rows, range: Range<usize>) -> Result<()> {
        match (self, gpu) {
            (Self::Host(own), _) => {
                own.reserve(range.len())?;
                own.append(rows, range);
            }
            (Self::Device(own), Some(gpu)) => own.write(gpu, at, rows, range),
            (Self::Device(_), None) => {}
        }
        Ok(())
    }

    /// Appends the rows `range` to `into`.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn read(&self, gpu: Option<&Gpu>, range: Range<u32>, into: &mut Rows) -> Result<()> {
        match (self, gpu) {
            (Self::Host(own), _) => {
                into.reserve(range.len())?;
                into.append(own, range.start as usize..range.end as usize);
                Ok(())
            }
            (Self::Device(own), Some(gpu)) => own.read(gpu, range, into).await,
            (Self::Device(_), None) => Ok(()),
        }
    }

    /// Puts each of `runs`, rows of `from` and the first row here, in order.
    ///
    /// # Errors
    /// As [`Home::read`].
    pub(super) async fn copy(
        &mut self,
        gpu: Option<&Gpu>,
        stream: &Stream,
        from: &Self,
        runs: &[(Range<u32>, u32)],
    ) -> Result<()> {
        if let (Self::Device(to), Self::Device(from), Some(gpu)) = (&*self, from, gpu) {
            to.copy(gpu, from, runs);
            return Ok(());
        }
        for (rows, at) in runs {
            let mut passing = Rows::new(stream);
            from.read(gpu, rows.clone(), &mut passing).await?;
            self.write(gpu, *at, &passing, 0..passing.len())?;
        }
        Ok(())
    }
}
