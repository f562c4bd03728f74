//! Where the documents of a call are: in host memory, or on the device already.

use super::ragged::Ragged;
use super::{MAX_DIM, TokenVectors};
use crate::backend::Buffer;
use crate::error::{Error, Result};
use crate::numbers::RowFormat;

/// The token vectors of several documents that are on the device, end to end: those of document `i` are the rows
/// `offsets[i]..offsets[i + 1]` of a buffer.
#[derive(Clone, Copy)]
pub struct Resident<'a> {
    /// What the rows are made of.
    pub format: RowFormat,
    /// D, dimensions of a vector: 1 to [`MAX_DIM`].
    pub dim: usize,
    /// `[documents + 1]`: starts with 0 and never falls.
    pub offsets: &'a [u64],
    /// Rows of [`RowFormat::padded_bytes`], padded with zeros: as many as the offsets end with, and any more.
    pub data: &'a Buffer,
    /// A float32 for each row, which its similarities are multiplied by; `None` where all are 1.
    pub scales: Option<&'a Buffer>,
    /// The largest absolute number of a vector, or more: [`TokenVectors::peak`] of what was written. 1 for unit vectors.
    pub peak: f64,
}

impl Resident<'_> {
    fn check(&self, name: &str) -> Result<()> {
        let refuse = |field: &str, message: String| Err(Error::argument(format!("{name}.{field}"), message));
        if !(1..=MAX_DIM).contains(&self.dim) {
            return refuse("dim", format!("{}, allowed are 1 to {MAX_DIM}", self.dim));
        }
        let end = Ragged(self.offsets).check(name)?;
        let row = u64::from(self.format.padded_bytes(self.dim as u32));
        for (field, buffer, row) in [("data", Some(self.data), row), ("scales", self.scales, 4)] {
            if let Some(size) = buffer.map(Buffer::size).filter(|size| size / row < end) {
                return refuse(field, format!("has {size} bytes, the offsets end with {end} rows of {row}"));
            }
        }
        if !(0.0..=f64::from(f32::MAX)).contains(&self.peak) {
            return refuse("peak", format!("{}, allowed are finite numbers from 0 on", self.peak));
        }
        Ok(())
    }
}

/// The documents of a call.
#[derive(Clone, Copy)]
pub(super) enum Documents<'a> {
    Host(TokenVectors<'a>),
    Device(Resident<'a>),
}

impl<'a> Documents<'a> {
    pub(super) fn ragged(&self) -> Ragged<'a> {
        match self {
            Self::Host(tokens) => Ragged(tokens.offsets),
            Self::Device(resident) => Ragged(resident.offsets),
        }
    }

    pub(super) fn dim(&self) -> usize {
        match self {
            Self::Host(tokens) => tokens.dim,
            Self::Device(resident) => resident.dim,
        }
    }

    pub(super) fn format(&self) -> RowFormat {
        match self {
            Self::Host(tokens) => tokens.format(),
            Self::Device(resident) => resident.format,
        }
    }

    /// Checks shapes, and numbers where they can be seen; `name` is what errors call the documents. Gives their largest
    /// absolute number, and the largest factor it comes with.
    pub(super) fn check(&self, name: &str) -> Result<[f64; 2]> {
        match self {
            Self::Host(tokens) => tokens.check(name),
            Self::Device(resident) => resident.check(name).map(|()| [resident.peak, 1.0]),
        }
    }
}
