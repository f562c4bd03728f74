//! What an index is made with.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::maxsim::MAX_DIM;
use crate::model::{self, Dtype, ModelInfo};

/// What a row is, and how items are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A row is the vector of a text, or of a chunk of one; a score is the highest cosine.
    Dense,
    /// A row is the vector of a token; a score is the sum of the best dot products, as [`crate::maxsim`] says.
    Late,
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "dense" => Ok(Self::Dense),
            "late" => Ok(Self::Late),
            _ => Err(Error::argument("kind", format!("{name:?}, allowed are dense, late"))),
        }
    }
}

/// The form that rows are kept in. Vectors may come in any form, and are turned into this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowType {
    /// Codes of 8 bits. Late rows have a scale each; dense ones need none, since a cosine does not see lengths. Floats
    /// become codes by the scale that makes the largest of a row 127.
    Int8,
    /// Dense: int8 rows stay in host memory, and on the device there is a bit a dimension, 1 where the code is not
    /// negative. The bits choose candidates by Hamming distance, the codes score them. Late: bits alone.
    Binary,
    /// float32. Dense rows are brought to unit length.
    Float32,
    /// float16; late only.
    Float16,
}

impl RowType {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Binary => "binary",
            Self::Float32 => "float32",
            Self::Float16 => "float16",
        }
    }
}

impl FromStr for RowType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Int8, Self::Binary, Self::Float32, Self::Float16];
        let found = all.into_iter().find(|r| r.name() == name);
        found.ok_or_else(|| {
            Error::argument("dtype", format!("{name:?}, allowed are int8, binary, float32 and, for late, float16"))
        })
    }
}

/// How an index is made.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    /// What a row is.
    pub kind: Kind,
    /// The form rows are kept in.
    pub rows: RowType,
    /// D, dimensions of a vector: 1 to [`MAX_DIM`].
    pub dim: usize,
    /// Bytes that rows may take on the device; by default half of [`crate::gpu::Gpu::memory_for_weights`], where that is
    /// known. Rows beyond stay in host memory.
    pub memory: Option<u64>,
    /// The name of the model that makes the vectors, remembered when the index is saved.
    pub model: Option<String>,
    /// Late only: keep the signs of each row too, a bit a dimension. A search then takes the
    /// [`super::SearchOptions::candidates`] best items by those, and scores them exactly.
    pub first_pass: bool,
    /// Sizes of the pieces rows are held in.
    pub limits: Limits,
}

impl IndexOptions {
    /// An index of `kind` with rows of `dim` dimensions: int8 if dense, float16 if late.
    pub fn new(kind: Kind, dim: usize) -> Self {
        let rows = if kind == Kind::Dense { RowType::Int8 } else { RowType::Float16 };
        Self { kind, rows, dim, memory: None, model: None, first_pass: false, limits: Limits::default() }
    }

    /// An index for the vectors of a model, unless said otherwise: of its kind and dimensions, and with float32 rows if it
    /// makes vectors of texts in another form than int8.
    pub fn of_model(info: &ModelInfo, kind: Option<Kind>, dim: Option<usize>) -> Self {
        let own = if info.kind == model::Kind::Late { Kind::Late } else { Kind::Dense };
        let mut options = Self::new(kind.unwrap_or(own), dim.unwrap_or(info.dimensions as usize));
        if options.kind == Kind::Dense && info.default_dtype != Dtype::Int8 {
            options.rows = RowType::Float32;
        }
        options
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MAX_DIM).contains(&self.dim) {
            return Err(Error::argument("dimensions", format!("{}, allowed are 1 to {MAX_DIM}", self.dim)));
        }
        if self.kind == Kind::Dense && self.rows == RowType::Float16 {
            return Err(Error::argument("dtype", "float16, allowed for a dense index are int8, binary, float32"));
        }
        if self.first_pass && (self.kind == Kind::Dense || self.rows == RowType::Binary) {
            let message = "true, allowed only for a late index whose rows are not binary themselves";
            return Err(Error::argument("firstPass", message));
        }
        Ok(())
    }
}

/// Sizes of the pieces; the defaults are what memory is bounded by, and smaller ones are for tests of the seams.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the first segment; each is as large as all before it together, until `segment_most`.
    pub segment_least: u64,
    /// Most bytes of a segment; never more than the device's largest binding.
    pub segment_most: u64,
    /// Bytes of the buffer that rows in host memory pass through.
    pub staging: u64,
    /// Scores that are made before the best are chosen of them.
    pub scores: usize,
    /// Bytes of a block of a saved index, beyond which it ends with the item at hand.
    pub block: usize,
}

impl Default for Limits {
    /// Segments of 1 to 128 MiB, 32 MiB of staging, 4 MiB of scores, blocks of 4 MiB.
    fn default() -> Self {
        Self { segment_least: 1 << 20, segment_most: 128 << 20, staging: 32 << 20, scores: 1 << 20, block: 4 << 20 }
    }
}
