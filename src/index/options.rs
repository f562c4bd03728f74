//! What an index is made with.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::maxsim::MAX_DIM;
use crate::model::{ModelInfo, ModelKind};
use crate::numbers::{Dtype, RowFormat, parse_name};

/// What a row is, and how items are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// A row is the vector of a text, or of a chunk of one; a score is the highest cosine.
    Dense,
    /// A row is the vector of a token; a score is the sum of the best dot products, as [`crate::maxsim`] says.
    Late,
}

impl FromStr for IndexKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("kind", name, &[("dense", Self::Dense), ("late", Self::Late)])
    }
}

/// How an index is made.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// What a row is.
    pub kind: IndexKind,
    /// The format rows are kept in; vectors of any format are converted to it. float32 rows of a dense index are brought
    /// to unit length. With [`RowFormat::Binary`] a dense index keeps int8 rows in host memory and, on the device, a bit
    /// a dimension, 1 where the code is not negative: the bits choose candidates by Hamming distance, the codes score
    /// them. A late index with it keeps bits alone. float16 is for late indexes only.
    pub rows: RowFormat,
    /// D, dimensions of a vector: 1 to [`MAX_DIM`].
    pub dim: usize,
    /// Bytes that rows may take on the device; by default half of [`crate::backend::Backend::memory_for_weights`], where that is
    /// known. Rows beyond stay in host memory.
    pub memory: Option<u64>,
    /// The name of the model that makes the vectors, remembered when the index is saved.
    pub model: Option<String>,
    /// Late only: keep the signs of each row too, a bit a dimension. A search then takes the
    /// [`super::SearchOptions::candidates`] best items by those, and scores them exactly.
    pub first_pass: bool,
    /// Sizes of the pieces rows are held in.
    pub sizes: SegmentSizes,
}

impl IndexOptions {
    /// An index of `kind` with rows of `dim` dimensions: int8 if dense, float16 if late.
    pub fn new(kind: IndexKind, dim: usize) -> Self {
        let rows = if kind == IndexKind::Dense { RowFormat::Int8 } else { RowFormat::Float16 };
        Self { kind, rows, dim, memory: None, model: None, first_pass: false, sizes: SegmentSizes::default() }
    }

    /// An index for the vectors of a model, unless said otherwise: of its kind and dimensions, and with float32 rows if it
    /// makes vectors of texts in another form than int8.
    pub fn of_model(info: &ModelInfo, kind: Option<IndexKind>, dim: Option<usize>) -> Self {
        let own = if info.kind == ModelKind::Late { IndexKind::Late } else { IndexKind::Dense };
        let kind = kind.unwrap_or(own);
        let all = if kind == IndexKind::Late { info.dimensions } else { info.default_dimensions };
        let mut options = Self::new(kind, dim.unwrap_or(all as usize));
        if options.kind == IndexKind::Dense && info.default_dtype != Dtype::Int8 {
            options.rows = RowFormat::Float32;
        }
        options
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MAX_DIM).contains(&self.dim) {
            return Err(Error::argument("dimensions", format!("{}, allowed are 1 to {MAX_DIM}", self.dim)));
        }
        if self.kind == IndexKind::Dense && self.rows == RowFormat::Float16 {
            return Err(Error::argument("dtype", "float16, allowed for a dense index are int8, binary, float32"));
        }
        if self.first_pass && (self.kind == IndexKind::Dense || self.rows == RowFormat::Binary) {
            let message = "true, allowed only for a late index whose rows are not binary themselves";
            return Err(Error::argument("firstPass", message));
        }
        Ok(())
    }
}

/// Sizes of the pieces; the defaults are what memory is bounded by, and smaller ones are for tests of the seams.
#[derive(Clone, Copy, Debug)]
pub struct SegmentSizes {
    /// Bytes of the first segment; each is as large as all before it together, until `max_segment`.
    pub min_segment: u64,
    /// Most bytes of a segment; never more than the device's largest binding.
    pub max_segment: u64,
    /// Bytes of the buffer that rows in host memory pass through.
    pub staging: u64,
    /// Scores that are made before the best are chosen of them.
    pub scores: usize,
    /// Bytes of a block of a saved index, beyond which it ends with the item at hand.
    pub block: usize,
}

impl Default for SegmentSizes {
    /// Segments of 1 to 128 MiB, 32 MiB of staging, 4 MiB of scores, blocks of 4 MiB.
    fn default() -> Self {
        Self { min_segment: 1 << 20, max_segment: 128 << 20, staging: 32 << 20, scores: 1 << 20, block: 4 << 20 }
    }
}
