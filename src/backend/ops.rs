//! The operations of a backend as plain data: shapes and tables that both engines read. Symbols are those of
//! ARCHITECTURE.md.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::buffer::Buffer;
use crate::numbers::{MatrixFormat, RowData, RowFormat};

/// One of the operations that a backend offers, with the format of what it reads or writes. Groups of matrices do not
/// matter here: a kernel reads groups of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// RMSNorm of rows.
    RmsNorm,
    /// RMSNorm of each head and rotary embedding.
    HeadNormRope,
    /// Softmax attention over ragged texts with heads of this shape.
    Attention(Heads),
    /// A bias and an activation after a linear layer.
    Bias,
    /// Running sums of token vectors.
    Pool,
    /// Means of the sums, in any [`crate::numbers::Dtype`].
    Quantize,
    /// A linear layer with weights of this format.
    Matmul(MatrixFormat),
    /// The gated half of an MLP with weights of this format.
    Swiglu(MatrixFormat),
    /// Queries, keys and values of heads of 128 dimensions in one, with weights of this format. Only some kernels do it; the
    /// operations that it is made of do the same.
    Heads(MatrixFormat),
    /// Token vectors written as rows of this format.
    PackRows(RowFormat),
    /// Similarities of queries with rows of this format.
    Dense(RowFormat),
    /// The highest scores of blocks of similarities with rows of this format. Only a GPU that is no
    /// software does it: elsewhere memory is the host's, and similarities are read as they are.
    DenseBounds(RowFormat),
    /// Late interaction scores of documents of this format.
    MaxSim(RowFormat),
}

impl Operation {
    /// Its name, and that of the format it reads, empty where it has none. Kernels are called `<operation>.<family>` or
    /// `<operation>.<family>.<format>`.
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::RmsNorm => ("rms_norm", ""),
            Self::HeadNormRope => ("head_norm_rope", ""),
            Self::Attention(heads) => ("attention", heads.size()),
            Self::Bias => ("bias", ""),
            Self::Pool => ("pool", ""),
            Self::Quantize => ("quantize", ""),
            Self::Matmul(format) => ("matmul", format.name()),
            Self::Swiglu(format) => ("swiglu", format.name()),
            Self::Heads(format) => ("heads", format.name()),
            Self::PackRows(format) => ("pack_rows", format.name()),
            Self::Dense(format) => ("dense", format.name()),
            Self::DenseBounds(format) => ("dense_bounds", format.name()),
            Self::MaxSim(format) => ("maxsim", format.name()),
        }
    }

    /// The format of the weights of a linear layer.
    pub(in crate::backend) fn weights(self) -> Option<MatrixFormat> {
        match self {
            Self::Matmul(format) | Self::Swiglu(format) | Self::Heads(format) => Some(format),
            _ => None,
        }
    }

    /// Whether an engine need not have a kernel for it.
    pub(in crate::backend) fn is_optional(self) -> bool {
        matches!(self, Self::Heads(_) | Self::DenseBounds(_))
    }

    /// Those of an encoder with heads of this shape and weights of these formats.
    pub fn of_encoder(heads: Heads, formats: &[MatrixFormat]) -> Vec<Self> {
        let mut operations =
            vec![Self::RmsNorm, Self::HeadNormRope, Self::Attention(heads), Self::Pool, Self::Quantize];
        for &format in formats {
            let in_one = (heads.dim == HeadProducts::DIM).then_some(Self::Heads(format));
            for operation in [Self::Matmul(format), Self::Swiglu(format)].into_iter().chain(in_one) {
                if operations.iter().all(|o| o.name() != operation.name()) {
                    operations.push(operation);
                }
            }
        }
        operations
    }
}

/// What is known of the device that a backend runs on.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AdapterInfo {
    /// The driver's name for the adapter; browsers may keep it to themselves.
    pub name: String,
    /// `vulkan`, `metal`, `dx12`, `webgpu` or `cpu`.
    pub backend: String,
    /// A GPU that is emulated in software: right, but slow.
    pub software: bool,
}

/// The largest sizes that a backend can work on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a buffer.
    pub buffer_bytes: u64,
    /// Vectors that one call of `quantize` makes.
    pub vectors: u64,
    /// Tokens of a block. Everything but attention works on one token at a time, so a batch goes through a layer block
    /// by block and intermediate results need room for one block only.
    pub token_block: u32,
}

/// The shape of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heads {
    /// Hq, query heads.
    pub query: u32,
    /// Hkv, key and value heads; divides Hq.
    pub key: u32,
    /// Dh, dimensions of a head; a multiple of four.
    pub dim: u32,
    /// Tokens see only themselves and those before them.
    pub causal: bool,
    /// Tokens see only those fewer than this many places away, at least 1; `None` for all.
    pub window: Option<u32>,
}

impl Heads {
    /// G, query heads that share a key head.
    pub fn group(&self) -> u32 {
        self.query / self.key
    }

    /// The size that kernels are made for which is enough for these heads, as kernels name it: `64`, `128` or `256`
    /// dimensions, or `any` beyond that and where more query heads share a key head than such a kernel takes at a time.
    fn size(&self) -> &'static str {
        match (self.dim, self.group()) {
            (..=64, ..=32) => "64",
            (..=128, ..=32) => "128",
            (..=256, ..=32) => "256",
            _ => "any",
        }
    }

    /// Bytes of scratch memory that [`Tile`]s of this layer need, for each tile: running maximum and sum of four
    /// queries in each head.
    pub fn state_bytes(&self) -> u64 {
        u64::from(self.query) * 32
    }

    /// How far from itself a token sees, in places.
    pub(in crate::backend) fn reach(&self) -> u32 {
        self.window.map_or(MAX_REACH, |window| (window.max(1) - 1).min(MAX_REACH))
    }
}

/// More places than a text has, with room to add two of them.
const MAX_REACH: u32 = 1 << 30;

/// A few consecutive tokens of one text, and the keys they attend to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Tile {
    /// First query row in `q` and `y`.
    pub row: u32,
    /// Query rows, 1 to as many as [`crate::backend::Kernels::tile_rows`] says.
    pub count: u32,
    /// Row of the text's first key in `k` and `v`.
    pub key: u32,
    /// Keys that there are for it, windows aside: the whole text, or, where attention is causal, up to the tile's last
    /// token.
    pub keys: u32,
    /// Place of the first token within its text.
    pub start: u32,
}

impl Tile {
    /// Most query rows in a tile, unless kernels want more.
    pub const ROWS: u32 = 4;

    /// The tiles, of at most `most` rows, of tokens `start..start + count` of a text of `length` tokens: its first key is
    /// row `key` of `k`, its token `start` is row `row` of `q`.
    pub fn cover(
        most: u32,
        row: u32,
        key: u32,
        start: u32,
        count: u32,
        length: u32,
        causal: bool,
    ) -> impl Iterator<Item = Self> {
        (0..count).step_by(most.max(1) as usize).map(move |at| {
            let rows = most.min(count - at);
            let start = start + at;
            Self { row: row + at, count: rows, key, keys: if causal { start + rows } else { length }, start }
        })
    }

    /// The keys that the tile's row `row` sees, counted from the text's first.
    pub(in crate::backend) fn seen(&self, row: u32, heads: Heads) -> Range<u32> {
        let (place, reach) = (self.start + row, heads.reach());
        let last = if heads.causal { place } else { place + reach };
        place.saturating_sub(reach)..self.keys.min(last + 1)
    }
}

/// Consecutive rows that belong to one pooled vector. The row at place `i` of the vector's rows, from 0, counts
/// `weight + i * slope` times.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Segment {
    /// First row in `x`.
    pub row: u32,
    /// Rows.
    pub count: u32,
    /// Rows of this vector that came in earlier calls; 0 starts its sum anew.
    pub start: u32,
    /// The vector's row in the sums.
    pub vector: u32,
    /// Weight of the first of the vector's rows.
    pub weight: f32,
    /// What each row weighs more than the one before.
    pub slope: f32,
}

/// What follows a linear layer's bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// The hyperbolic tangent.
    Tanh,
}

/// Which rows of which heads `head_norm_rope` works on, and the norm's epsilon.
#[derive(Clone, Copy, Debug)]
pub struct HeadRows {
    /// Tokens.
    pub rows: u32,
    /// Hq or Hkv.
    pub heads: u32,
    /// Dh, even.
    pub dim: u32,
    /// The first token's row of `x`.
    pub x_row: u32,
    /// The first token's row of the table of positions.
    pub position_row: u32,
    /// RMSNorm's epsilon.
    pub eps: f32,
}

/// Which tokens and heads [`crate::backend::Run::heads`] makes.
#[derive(Clone, Debug)]
pub struct HeadProducts {
    /// Tokens.
    pub rows: u32,
    /// The first token's row of keys and values, and of the table of positions. Its query is row 0.
    pub first_row: u32,
    /// Hq, query heads.
    pub query: u32,
    /// Hkv, key and value heads.
    pub key: u32,
    /// Which of all heads: those of queries, then of keys, then of values.
    pub heads: Range<u32>,
    /// The epsilon of all norms.
    pub eps: f32,
}

impl HeadProducts {
    /// Dimensions of a head.
    pub const DIM: u32 = 128;
}

/// Rows of a block of [`crate::backend::Run::dense_bounds`].
pub const BOUND_ROWS: u32 = 64;

/// Documents of one shard and the query rows they are scored against.
#[derive(Clone, Copy, Debug)]
pub struct MaxSimShard<'a> {
    /// D, dimensions of a vector.
    pub dim: u32,
    /// The tokens of each document as rows of the shard, in ascending order; none is empty. Between two
    /// documents there may be rows of others.
    pub documents: &'a [Range<u32>],
    /// What is scored against what.
    pub jobs: &'a [MaxSimJob],
}

/// Where the document tokens of a shard are, and the factors that their similarities are multiplied by, if they have any.
#[derive(Clone, Copy)]
pub enum MaxSimRows<'a> {
    /// On the device, rows of [`RowFormat::padded_bytes`].
    Device {
        /// The rows.
        data: &'a Buffer,
        /// A float32 a row.
        factors: Option<&'a Buffer>,
    },
    /// In host memory, as a caller has them: for an engine that [reads it](crate::backend::Backend::reads_host_memory).
    Host {
        /// The rows. Their own scales are not read.
        data: RowData<'a>,
        /// One a row.
        factors: Option<&'a [f32]>,
    },
}

/// Query rows against consecutive documents of a shard.
#[derive(Clone, Debug)]
pub struct MaxSimJob {
    /// Indices into [`MaxSimShard::documents`].
    pub documents: Range<usize>,
    /// First query row.
    pub query: u32,
    /// Query rows.
    pub rows: u32,
    /// Where in the maxima the first document's rows begin. Those of the next document follow.
    pub best: u32,
}

/// A sum of consecutive maxima: one score.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct MaximaSum {
    /// Where in the maxima they begin.
    pub best: u32,
    /// How many they are, 1 to 32,768.
    pub rows: u32,
}
