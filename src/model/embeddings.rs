//! What `embed` takes and gives.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::gpu::Form;

/// The form of embeddings, with the names sentence-transformers uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// `round(127 tanh x)` in -127..=127. Compare with cosine.
    Int8,
    /// The pooled vector itself.
    Float32,
    /// +1 where `x >= 0`, else -1. Compare with Hamming distance.
    Binary,
    /// The bits `x >= 0`, eight a byte, most significant first.
    Ubinary,
}

impl Dtype {
    pub(super) fn form(self) -> Form {
        match self {
            Self::Int8 => Form::Int8,
            Self::Float32 => Form::Float32,
            Self::Binary => Form::Binary,
            Self::Ubinary => Form::Ubinary,
        }
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "int8" => Ok(Self::Int8),
            "float32" => Ok(Self::Float32),
            "binary" => Ok(Self::Binary),
            "ubinary" => Ok(Self::Ubinary),
            _ => Err(Error::argument("dtype", format!("{name:?}, allowed are int8, float32, binary, ubinary"))),
        }
    }
}

/// How texts are to be embedded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbedOptions {
    /// The form; `None` is the model's own: int8 for pplx-embed, float32 for others.
    pub dtype: Option<Dtype>,
    /// D, how many of the leading dimensions to keep; `None` keeps all H.
    pub dimensions: Option<u32>,
    /// Scale float32 vectors to unit length; `None` is the model's own: no for pplx-embed.
    pub normalize: Option<bool>,
}

/// The numbers of [`Embeddings`], row after row.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `[n, D]` codes
    Int8(Vec<i8>),
    /// `[n, D]`
    Float32(Vec<f32>),
    /// `[n, D]` of +1 and -1
    Binary(Vec<i8>),
    /// `[n, ceil(D/8)]`
    Ubinary(Vec<u8>),
}

/// What embedding cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Tokens that went through the model.
    pub tokens: usize,
    /// Indices of texts that were longer than the model's limit and lost their end.
    pub truncated: Vec<usize>,
}

/// The vectors of a list of texts, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// The numbers.
    pub data: Data,
    /// n, texts.
    pub rows: usize,
    /// D, dimensions.
    pub dimensions: usize,
    /// What it cost.
    pub usage: Usage,
}

impl Embeddings {
    /// From the bytes of `rows` rows as the GPU packs them: each padded to whole words.
    pub(super) fn unpack(bytes: &[u8], rows: usize, dimensions: u32, dtype: Dtype, usage: Usage) -> Self {
        let form = dtype.form();
        let (stride, width) = (form.row_words(dimensions) as usize * 4, form.row_bytes(dimensions) as usize);
        let packed: Vec<u8> = bytes.chunks_exact(stride).flat_map(|row| &row[..width]).copied().collect();
        let data = match dtype {
            Dtype::Int8 => Data::Int8(bytemuck::pod_collect_to_vec(&packed)),
            Dtype::Float32 => Data::Float32(bytemuck::pod_collect_to_vec(&packed)),
            Dtype::Binary => Data::Binary(bytemuck::pod_collect_to_vec(&packed)),
            Dtype::Ubinary => Data::Ubinary(packed),
        };
        Self { data, rows, dimensions: dimensions as usize, usage }
    }

    /// Numbers in a row of the data: D, or ceil(D/8) for packed bits.
    pub fn row_len(&self) -> usize {
        match self.data {
            Data::Ubinary(_) => self.dimensions.div_ceil(8),
            _ => self.dimensions,
        }
    }

    /// The form.
    pub fn dtype(&self) -> Dtype {
        match self.data {
            Data::Int8(_) => Dtype::Int8,
            Data::Float32(_) => Dtype::Float32,
            Data::Binary(_) => Dtype::Binary,
            Data::Ubinary(_) => Dtype::Ubinary,
        }
    }
}
