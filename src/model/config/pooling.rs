//! How token vectors become one vector a text.

use std::ops::Range;

/// How a text's token vectors become one vector: the modes of sentence-transformers' `Pooling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The last token's vector.
    Last,
    /// The first token's vector: `cls`.
    First,
    /// The mean with weights 1, 2, 3 and so on: `weightedmean`.
    WeightedMean,
    /// The sum divided by the square root of the number of tokens: `mean_sqrt_len_tokens`.
    MeanSqrtLength,
}

impl Pooling {
    /// All of them.
    pub(in crate::model) const ALL: [Self; 5] =
        [Self::Mean, Self::Last, Self::First, Self::WeightedMean, Self::MeanSqrtLength];

    /// The tokens of a text of `length` that count, of which the first `prompt` are a prompt's that does not.
    pub(in crate::model) fn span(self, length: u32, prompt: u32) -> Range<u32> {
        match self {
            Self::Mean | Self::WeightedMean | Self::MeanSqrtLength => prompt.min(length)..length,
            Self::Last if prompt < length => length - 1..length,
            Self::Last => length..length,
            // As sentence-transformers does, the first of all where none is left.
            Self::First if prompt < length => prompt..prompt + 1,
            Self::First => 0..length.min(1),
        }
    }

    /// What the tokens of `span` weigh, so that their sum over their number is the vector: the first, and how much more each
    /// weighs than the one before.
    pub(in crate::model) fn weights(self, span: &Range<u32>) -> [f32; 2] {
        let (first, count) = (f64::from(span.start) + 1.0, f64::from(span.end - span.start));
        match self {
            Self::Mean | Self::Last | Self::First => [1.0, 0.0],
            // first, first + 1 and so on, over their mean.
            Self::WeightedMean => {
                let mean = first + (count - 1.0) / 2.0;
                [(first / mean) as f32, (1.0 / mean) as f32]
            }
            Self::MeanSqrtLength => [count.sqrt() as f32, 0.0],
        }
    }
}
