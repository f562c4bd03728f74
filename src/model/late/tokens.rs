//! What encoding for late interaction takes and gives.

use std::ops::Range;
use std::str::FromStr;

use super::pool;
use crate::error::{Error, Result};
use crate::model::Usage;
use crate::numbers::{RowBuf, RowFormat, parse_name};
use crate::progress::Watch;

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
        parse_name("role", name, &[("query", Self::Query), ("document", Self::Document)])
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

/// How texts are to be encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// The form of the vectors.
    pub dtype: RowFormat,
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
    /// The rows of text `i`.
    pub fn rows(&self, i: usize) -> Range<usize> {
        self.offsets[i]..self.offsets[i + 1]
    }

    /// How many texts these are the tokens of.
    pub fn texts(&self) -> usize {
        self.offsets.len() - 1
    }

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
}

/// The token vectors of a list of texts, end to end: those of text `i` are the rows
/// `tokens.offsets[i]..tokens.offsets[i + 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbeddings {
    /// `[N]` rows; int8 ones have scales.
    pub data: RowBuf,
    /// What the rows are of. Pooled vectors have the id and range of the first token they are the mean of.
    pub tokens: TokenRows,
}
