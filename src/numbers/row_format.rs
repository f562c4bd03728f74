//! What rows of vectors are made of.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::parse_name;
use crate::error::{Error, Result};

/// Rows on a device begin at multiples of this many bytes, so that kernels read 16 bytes at a time.
const ALIGNMENT: u32 = 16;

/// What rows of vectors are made of: token vectors, the rows of an index, documents to be scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// float32
    #[default]
    Float32,
    /// float16, rounded half to even.
    Float16,
    /// Codes of 8 bits. Token vectors have a scale each, `max |x| / 127`, and are it times their codes; the vectors of a
    /// dense index need none, because a cosine does not depend on lengths.
    Int8,
    /// A bit a dimension, `x >= 0`, eight a byte, most significant first. It stands for +1 or -1.
    Binary,
}

impl RowFormat {
    const NAMES: [(&str, Self); 4] =
        [("float32", Self::Float32), ("float16", Self::Float16), ("int8", Self::Int8), ("binary", Self::Binary)];

    /// Its name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
            Self::Binary => "binary",
        }
    }

    /// Elements of a row of `dim` dimensions in host memory: D, or bytes of bits.
    pub fn row_len(self, dim: usize) -> usize {
        match self {
            Self::Float32 | Self::Float16 | Self::Int8 => dim,
            Self::Binary => dim.div_ceil(8),
        }
    }

    /// Bytes of a row of `dim` dimensions in host memory and in files, without its scale.
    pub fn row_bytes(self, dim: u32) -> u32 {
        match self {
            Self::Float32 => dim * 4,
            Self::Float16 => dim * 2,
            Self::Int8 => dim,
            Self::Binary => dim.div_ceil(8),
        }
    }

    /// Bytes of a row of `dim` dimensions on a device: padded with zeros to a multiple of 16.
    pub fn padded_bytes(self, dim: u32) -> u32 {
        self.row_bytes(dim).next_multiple_of(ALIGNMENT)
    }

    /// Appends rows `[n]` of [`RowFormat::row_bytes`] each, padded to [`RowFormat::padded_bytes`]. Bits beyond D become
    /// zeros.
    pub fn pad_rows(self, rows: &[u8], dim: u32, into: &mut Vec<u8>) {
        let (host, device) = (self.row_bytes(dim) as usize, self.padded_bytes(dim) as usize);
        into.reserve(rows.len() / host * device);
        for row in rows.chunks_exact(host) {
            into.extend_from_slice(row);
            if let (Self::Binary, Some(last)) = (self, into.last_mut()) {
                *last &= 0xff << ((8 - dim % 8) % 8);
            }
            into.resize(into.len() + device - host, 0);
        }
    }
}

impl FromStr for RowFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("dtype", name, &Self::NAMES)
    }
}
