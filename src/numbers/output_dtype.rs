use std::str::FromStr;

use super::parse_name;
use crate::error::{Error, Result};

/// The form in which `embed` returns vectors, with the names sentence-transformers uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// The pooled vector itself.
    Float32,
    /// `round(127 tanh x)` in -127..=127. Compare with cosine.
    Int8,
    /// +1 where `x >= 0`, else -1. Compare with Hamming distance.
    Binary,
    /// The bits `x >= 0`, eight a byte, most significant first.
    Ubinary,
}

impl Dtype {
    const NAMES: [(&str, Self); 4] =
        [("int8", Self::Int8), ("float32", Self::Float32), ("binary", Self::Binary), ("ubinary", Self::Ubinary)];

    /// Bytes of a vector of `d` dimensions.
    pub fn row_bytes(self, d: u32) -> u32 {
        match self {
            Self::Float32 => d * 4,
            Self::Int8 | Self::Binary => d,
            Self::Ubinary => d.div_ceil(8),
        }
    }

    /// 32-bit words of a vector as a backend returns it: [`Dtype::row_bytes`] rounded up.
    pub fn row_words(self, d: u32) -> u32 {
        self.row_bytes(d).div_ceil(4)
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("dtype", name, &Self::NAMES)
    }
}
