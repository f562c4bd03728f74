//! What `embed` takes and gives.

use super::Prompt;
use crate::numbers::Dtype;

/// How texts are to be embedded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbedOptions {
    /// The form; `None` is the model's own: int8 for pplx-embed, float32 for others.
    pub dtype: Option<Dtype>,
    /// D, how many of the leading dimensions to keep; `None` is the model's own: all, for pplx-embed.
    pub dimensions: Option<u32>,
    /// Scale float32 vectors to unit length; `None` is the model's own: no for pplx-embed.
    pub normalize: Option<bool>,
    /// What is put before each text.
    pub prompt: Prompt,
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
    /// Tokens that went through the model, with those of prompts.
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
    /// From the bytes of `rows` rows as a backend returns them: each padded to whole words.
    pub(super) fn unpack(bytes: &[u8], rows: usize, dimensions: u32, dtype: Dtype, usage: Usage) -> Self {
        let (stride, width) = (dtype.row_words(dimensions) as usize * 4, dtype.row_bytes(dimensions) as usize);
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
