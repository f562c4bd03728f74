//! What encoding for late interaction takes and gives.

use std::ops::Range;
use std::str::FromStr;

use half::f16;

use super::pool;
use crate::cpu;
use crate::error::{Error, Result};
use crate::model::Usage;
use crate::watch::Watch;

/// What a text is: the model marks queries and documents apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What is searched for.
    Query,
    /// What is found.
    Document,
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "query" => Ok(Self::Query),
            "document" => Ok(Self::Document),
            _ => Err(Error::argument("role", format!("{name:?}, allowed are query, document"))),
        }
    }
}

/// Where the marker stands among a text's tokens. Both are in use for the same models, and they score alike, but not
/// the same: documents and queries have to agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MarkerPosition {
    /// Place 0, before the text: sentence-transformers, and the model card.
    #[default]
    First,
    /// Place 1, after the text's first token: PyLate, which also strips the spaces around a text.
    Second,
}

impl TryFrom<u32> for MarkerPosition {
    type Error = Error;

    fn try_from(place: u32) -> Result<Self> {
        match place {
            0 => Ok(Self::First),
            1 => Ok(Self::Second),
            _ => Err(Error::argument("markerPosition", format!("{place}, allowed are 0 and 1"))),
        }
    }
}

/// The form of token vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenDtype {
    /// The vectors themselves.
    #[default]
    Float32,
    /// Rounded to float16, half to even.
    Float16,
    /// `round(x / s)` with a scale `s = max |x| / 127` for each vector, half to even; the vector is `s` times its codes.
    Int8,
    /// The bits `x >= 0`, eight a byte, most significant first.
    Binary,
}

impl FromStr for TokenDtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "float32" => Ok(Self::Float32),
            "float16" => Ok(Self::Float16),
            "int8" => Ok(Self::Int8),
            "binary" => Ok(Self::Binary),
            _ => Err(Error::argument("dtype", format!("{name:?}, allowed are float32, float16, int8, binary"))),
        }
    }
}

/// How texts are to be encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The form of the vectors.
    pub dtype: TokenDtype,
    /// Where the marker stands.
    pub marker_position: MarkerPosition,
    /// Of a document's vectors keep one in this many, each the mean of vectors that are alike (see [`pool`]); `None`
    /// and 1 keep all.
    pub pool_factor: Option<u32>,
}

impl EncodeOptions {
    /// The factor, where there is something to pool.
    pub(super) fn check(&self, role: Role) -> Result<Option<u32>> {
        match self.pool_factor {
            Some(0) => Err(Error::argument("poolFactor", "0, allowed is 1 or more")),
            Some(factor) if role == Role::Query && factor > 1 => {
                Err(Error::argument("poolFactor", format!("{factor}, which only documents can have; allowed is 1")))
            }
            factor => Ok(factor.filter(|&f| f > 1)),
        }
    }
}

/// The numbers of [`TokenEmbeddings`], vector after vector.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenData {
    /// `[N, D]`
    Float32(Vec<f32>),
    /// `[N, D]`
    Float16(Vec<f16>),
    /// Vector `i` is `scales[i]` times its codes.
    Int8 {
        /// `[N, D]`
        codes: Vec<i8>,
        /// `[N]`
        scales: Vec<f32>,
    },
    /// `[N, ceil(D/8)]`, a bit a dimension, the first in the highest bit; what is left of a row's last byte is zeros.
    Binary(Vec<u8>),
}

impl TokenData {
    /// Float32 vectors `[N, dim]`, in the form `dtype`.
    pub(super) fn of(vectors: Vec<f32>, dim: usize, dtype: TokenDtype) -> Self {
        let rows = || vectors.chunks_exact(dim);
        match dtype {
            TokenDtype::Float16 => Self::Float16(cpu::float16(&vectors)),
            TokenDtype::Int8 => {
                let (mut codes, mut scales) = (Vec::with_capacity(vectors.len()), Vec::new());
                for (row, scale) in rows().map(cpu::scaled_int8) {
                    codes.extend(row);
                    scales.push(scale);
                }
                Self::Int8 { codes, scales }
            }
            TokenDtype::Binary => Self::Binary(rows().flat_map(cpu::pack_bits).collect()),
            TokenDtype::Float32 => Self::Float32(vectors),
        }
    }

    /// Bits in rows of `stride` bytes, of which the first ceil(dim/8) count.
    pub(super) fn of_bits(bytes: &[u8], dim: usize, stride: usize) -> Self {
        let width = dim.div_ceil(8);
        Self::Binary(bytes.chunks_exact(stride).flat_map(|row| &row[..width]).copied().collect())
    }
}

/// The tokens that a list of texts has vectors of, end to end: those of text `i` are the rows
/// `offsets[i]..offsets[i + 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRows {
    /// `[n + 1]` for n texts; from 0 to N.
    pub offsets: Vec<usize>,
    /// D, dimensions of a vector.
    pub dim: usize,
    /// `[N]`, the id of each vector's token.
    pub ids: Vec<u32>,
    /// `[N]`, the bytes of the text that each vector's token stands for; `None` for markers and filling. Several tokens
    /// of one character all have its bytes.
    pub ranges: Vec<Option<(usize, usize)>>,
    /// What it cost.
    pub usage: Usage,
}

impl TokenRows {
    pub(super) fn empty(dim: usize) -> Self {
        Self { offsets: vec![0], dim, ids: Vec::new(), ranges: Vec::new(), usage: Usage::default() }
    }

    /// Adds the next text's tokens.
    pub(super) fn add(&mut self, tokens: impl Iterator<Item = (u32, Option<(usize, usize)>)>) {
        for (id, range) in tokens {
            self.ids.push(id);
            self.ranges.push(range);
        }
        self.offsets.push(self.ids.len());
    }

    /// Pools each text's `vectors` `[N, D]` by `factor`; what is left takes the place of ids, ranges and offsets.
    pub(super) fn pool(&mut self, vectors: &[f32], factor: u32, watch: &dyn Watch) -> Result<Vec<f32>> {
        let mut pooled = Self::empty(self.dim);
        let mut left = Vec::new();
        for ends in self.offsets.windows(2) {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            let (means, first) = pool(&vectors[ends[0] * self.dim..ends[1] * self.dim], self.dim, factor);
            left.extend(means);
            pooled.add(first.iter().map(|&i| (self.ids[ends[0] + i], self.ranges[ends[0] + i])));
        }
        pooled.usage = std::mem::take(&mut self.usage);
        *self = pooled;
        Ok(left)
    }

    /// With their vectors.
    pub(super) fn with(self, data: TokenData) -> TokenEmbeddings {
        let Self { offsets, dim, ids, ranges, usage } = self;
        TokenEmbeddings { data, offsets, dim, ids, ranges, usage }
    }
}

/// The token vectors of a list of texts, end to end: those of text `i` are the rows `offsets[i]..offsets[i + 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbeddings {
    /// The numbers.
    pub data: TokenData,
    /// `[n + 1]` for n texts; from 0 to N.
    pub offsets: Vec<usize>,
    /// D, dimensions of a vector.
    pub dim: usize,
    /// `[N]`, the id of each vector's token; of pooled vectors, that of the first token.
    pub ids: Vec<u32>,
    /// `[N]`, as [`TokenRows::ranges`]; of pooled vectors, the first token's.
    pub ranges: Vec<Option<(usize, usize)>>,
    /// What it cost.
    pub usage: Usage,
}

impl TokenEmbeddings {
    /// The rows of text `i`.
    pub fn rows(&self, i: usize) -> Range<usize> {
        self.offsets[i]..self.offsets[i + 1]
    }

    /// How many texts these are the vectors of.
    pub fn texts(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Numbers in a row of the data: D, or ceil(D/8) for bits.
    pub fn row_len(&self) -> usize {
        match self.data {
            TokenData::Binary(_) => self.dim.div_ceil(8),
            _ => self.dim,
        }
    }

    /// The form.
    pub fn dtype(&self) -> TokenDtype {
        match self.data {
            TokenData::Float32(_) => TokenDtype::Float32,
            TokenData::Float16(_) => TokenDtype::Float16,
            TokenData::Int8 { .. } => TokenDtype::Int8,
            TokenData::Binary(_) => TokenDtype::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TokenData, TokenDtype};

    #[test]
    fn int8_has_a_scale_a_token_and_is_within_half_of_it() {
        let vectors = vec![0.5, -1.0, 0.25, 0.0, 0.0, 0.0, 1e-30, -3e-30, 2e-30];
        let TokenData::Int8 { codes, scales } = TokenData::of(vectors.clone(), 3, TokenDtype::Int8) else {
            panic!("not int8")
        };
        assert_eq!(scales.len(), 3);
        assert_eq!(codes[..6], [64, -127, 32, 0, 0, 0]); // 63.5 and 31.75
        assert_eq!(codes[6..], [42, -127, 85]);
        for (i, v) in vectors.iter().enumerate() {
            let scale = scales[i / 3];
            assert!((f32::from(codes[i]) * scale - v).abs() <= scale * 0.5001, "{i}");
        }
    }
}
