//! What a helper of texts is told, as bytes: eight words, then more words, whose number of bytes the eighth says, then data.

use crate::backend::Precision;
use crate::error::{Error, Result};
use crate::model::encoder::{OutputForm, Sequence};
use crate::model::shape::Shape;
use crate::numbers::{Dtype, MatrixFormat};

/// The forms of vectors; messages say which by its place.
const DTYPES: [Dtype; 4] = [Dtype::Float32, Dtype::Int8, Dtype::Binary, Dtype::Ubinary];

/// A linear layer behind the encoder, or what stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinearStep {
    /// Nothing.
    Nothing,
    /// Vectors are scaled to unit length.
    Normalize,
    /// A linear layer with or without a bias, and a hyperbolic tangent after it.
    Dense { bias: bool, tanh: bool, outputs: u32 },
}

impl LinearStep {
    fn to_words(self) -> [u32; 2] {
        match self {
            Self::Nothing => [0, 0],
            Self::Normalize => [1, 0],
            Self::Dense { bias, tanh, outputs } => [2 | u32::from(bias) << 2 | u32::from(tanh) << 3, outputs],
        }
    }

    fn of_words([code, outputs]: [u32; 2]) -> Self {
        match code & 3 {
            0 => Self::Nothing,
            1 => Self::Normalize,
            _ => Self::Dense { bias: code & 4 != 0, tanh: code & 8 != 0, outputs },
        }
    }
}

/// A message to a helper of texts.
pub(super) enum Message<'a> {
    /// Keep the next matrix: its shape, and its bytes as the processor holds them.
    Weight { shape: [u32; 3], format: MatrixFormat, precision: Precision, groups: &'a [u8], values: &'a [u8] },
    /// Keep the next norm or bias.
    Vector(&'a [u8]),
    /// All are there; this is how they go together: the projection of tokens, then the steps after pooling.
    Model { shape: Shape, steps: Vec<LinearStep> },
    /// Answer with the vectors of these texts, as [`crate::model::encoder::Encoder::embed`] leaves them. `rows` are the
    /// embeddings of their tokens, `[T, H]` float32.
    Encode { output: OutputForm, sequences: Vec<Sequence>, rows: &'a [u8] },
}

/// The beginning of [`Message::Weight`]; its values follow.
pub(super) fn weight(shape: [usize; 3], format: MatrixFormat, precision: Precision, groups: &[u8]) -> Vec<u8> {
    let ([matrices, n, k], [name, group]) = (shape.map(|n| n as u32), format.to_words());
    beginning([0, matrices, n, k, name, group, u32::from(precision == Precision::Fast)], groups)
}

/// The beginning of [`Message::Vector`]; its bytes follow.
pub(super) fn vector() -> Vec<u8> {
    beginning([1, 0, 0, 0, 0, 0, 0], &[])
}

/// All of [`Message::Model`].
pub(super) fn model(shape: &Shape, steps: &[LinearStep]) -> Vec<u8> {
    let mut words: Vec<u32> = steps.iter().flat_map(|step| step.to_words()).collect();
    words.extend(shape.to_words());
    beginning([2, steps.len() as u32, 0, 0, 0, 0, 0], bytemuck::cast_slice(&words))
}

/// The beginning of [`Message::Encode`]; the embeddings of its tokens follow.
pub(in crate::model) fn encode(output: OutputForm, sequences: &[Sequence]) -> Vec<u8> {
    let mut words = Vec::new();
    for Sequence { ids, attended, spans, .. } in sequences {
        words.extend([ids.len() as u32, *attended, spans.len() as u32]);
        words.extend(spans.iter().flat_map(|span| [span.start, span.end]));
    }
    let dtype = DTYPES.iter().position(|dtype| *dtype == output.dtype).unwrap_or_default() as u32;
    let normalize = u32::from(output.normalize);
    beginning([3, dtype, output.dimensions, normalize, 0, 0, 0], bytemuck::cast_slice(&words))
}

fn beginning(words: [u32; 7], more: &[u8]) -> Vec<u8> {
    [bytemuck::bytes_of(&words), bytemuck::bytes_of(&(more.len() as u32)), more].concat()
}

impl<'a> Message<'a> {
    /// # Errors
    /// [`Error::Gpu`] for what no function here writes.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self> {
        Self::read(bytes).ok_or_else(|| Error::Gpu { message: "a helper does not understand a message".into() })
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(32)?;
        let [kind, words @ .., length]: [u32; 8] = bytemuck::pod_read_unaligned(header);
        let (more, data) = rest.split_at_checked(length as usize)?;
        Some(match (kind, words) {
            (0, [matrices, n, k, name, group, fast]) => {
                let format = MatrixFormat::of_words([name, group])?;
                let precision = if fast == 1 { Precision::Fast } else { Precision::Exact };
                Self::Weight { shape: [matrices, n, k], format, precision, groups: more, values: data }
            }
            (1, _) => Self::Vector(data),
            (2, [count, ..]) => {
                let words: Vec<u32> = bytemuck::pod_collect_to_vec(more);
                let (steps, shape) = words.split_at_checked(count as usize * 2)?;
                let steps = steps.as_chunks().0.iter().map(|step| LinearStep::of_words(*step)).collect();
                Self::Model { shape: Shape::of_words(shape)?, steps }
            }
            (3, [dtype, dimensions, normalize, ..]) => {
                let dtype = *DTYPES.get(dtype as usize)?;
                let output = OutputForm { dtype, dimensions, normalize: normalize == 1 };
                let words: Vec<u32> = bytemuck::pod_collect_to_vec(more);
                Self::Encode { output, sequences: sequences(&words)?, rows: data }
            }
            _ => return None,
        })
    }
}

/// The texts of a message. Their tokens are numbered, because the embeddings come with them.
fn sequences(mut words: &[u32]) -> Option<Vec<Sequence>> {
    let (mut sequences, mut first) = (Vec::new(), 0u32);
    while let Some((&[length, attended, count], rest)) = words.split_first_chunk() {
        let (spans, rest) = rest.split_at_checked(count as usize * 2)?;
        let end = first.checked_add(length)?;
        let spans = spans.as_chunks().0.iter().map(|&[start, end]| start..end).collect();
        sequences.push(Sequence { item: sequences.len(), ids: (first..end).collect(), attended, spans });
        (words, first) = (rest, end);
    }
    Some(sequences).filter(|all| {
        let inside =
            |s: &Sequence| s.spans.iter().all(|span| span.start <= span.end && span.end as usize <= s.ids.len());
        words.is_empty() && all.iter().all(|s| s.attended as usize <= s.ids.len() && inside(s))
    })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::{LinearStep, Message, encode, sequences, weight};
    use crate::backend::Precision;
    use crate::model::encoder::{OutputForm, Sequence};
    use crate::numbers::{Dtype, MatrixFormat};

    #[test]
    fn what_is_written_is_read() {
        let format = MatrixFormat::Q8 { group: 64 };
        let bytes = [weight([2, 3, 4], format, Precision::Fast, &[1; 8]), vec![2; 12]].concat();
        let read = Message::decode(&bytes).unwrap();
        assert!(
            matches!(read, Message::Weight { shape: [2, 3, 4], format: f, precision: Precision::Fast, groups: [1, 1, ..], values } if f == format && values == [2; 12])
        );

        let output = OutputForm { dtype: Dtype::Ubinary, dimensions: 7, normalize: true };
        let text = |item, ids, attended, spans| Sequence { item, ids, attended, spans };
        let spans = |span: Option<Range<u32>>| span.into_iter().collect::<Vec<_>>();
        let texts = [
            text(4, vec![9, 9], 2, spans(Some(0..2))),
            text(5, vec![], 0, spans(Some(0..0))),
            text(6, vec![7], 1, spans(None)),
        ];
        let bytes = [encode(output, &texts), vec![3; 4]].concat();
        let Message::Encode { output, sequences, rows: &[3, 3, 3, 3] } = Message::decode(&bytes).unwrap() else {
            panic!("another message");
        };
        assert_eq!((output.dtype, output.dimensions, output.normalize), (Dtype::Ubinary, 7, true));
        let got: Vec<_> = sequences.into_iter().map(|s| (s.ids, s.attended, s.spans)).collect();
        let want = [(vec![0, 1], 2, spans(Some(0..2))), (vec![], 0, spans(Some(0..0))), (vec![2], 1, spans(None))];
        assert_eq!(got, want);

        for step in
            [LinearStep::Nothing, LinearStep::Normalize, LinearStep::Dense { bias: true, tanh: false, outputs: 9 }]
        {
            assert_eq!(LinearStep::of_words(step.to_words()), step);
        }
    }

    #[test]
    fn what_nobody_writes_is_refused() {
        for wrong in [&[0; 31][..], &[9; 40], &[0xff; 64]] {
            assert!(Message::decode(wrong).is_err());
        }
        // A span beyond the text, more attended tokens than there are, and words that are missing.
        for wrong in [&[2, 2, 1, 0, 3][..], &[2, 2, 1, 2, 1], &[2, 3, 0], &[2, 2, 2, 0, 1], &[2, 2]] {
            assert!(sequences(wrong).is_none(), "{wrong:?}");
        }
    }
}
