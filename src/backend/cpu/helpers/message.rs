//! What a helper is told, as bytes: eight words, then the data.

use crate::backend::Precision;
use crate::backend::ops::Heads;
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// Words before the data.
const HEADER: usize = 8;
/// Weights that one message can ask for the products of.
pub(in crate::backend::cpu) const MOST_PRODUCTS: usize = 3;

/// A message to a helper. Weights go by number.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::backend::cpu) enum Message<'a> {
    /// Take room for its share of a weight: matrices, outputs, inputs.
    Weight { id: u32, shape: [u32; 3], format: MatrixFormat, precision: Precision },
    /// Keep rows of it.
    Rows { id: u32, matrix: u32, row: u32, values: &'a [u8] },
    /// Keep scales and biases of it.
    Groups { id: u32, matrix: u32, row: u32, groups: &'a [u8] },
    /// Answer with the products of `rows` rows `x` of float32 with each of these weights, one after another, of a pair after
    /// SwiGLU. All take rows in the same form.
    Products { ids: Vec<u32>, rows: u32, x: &'a [u8] },
    /// Answer with attention: `rows` query rows, `keys` key rows; then the bytes of `tiles` tiles, of q, k and v.
    Attention { tiles: u32, rows: u32, keys: u32, heads: Heads, data: &'a [u8] },
    /// Give a weight back.
    Free { id: u32 },
    /// Answer when all before is done.
    Sync,
}

impl<'a> Message<'a> {
    /// The header and the data.
    pub(super) fn encode(&self) -> ([u32; HEADER], &'a [u8]) {
        match self.clone() {
            Self::Weight { id, shape: [matrices, n, k], format, precision } => {
                let ([name, group], fast) = (format.to_words(), u32::from(precision == Precision::Fast));
                ([0, id, matrices, n, k, name, group, fast], &[])
            }
            Self::Rows { id, matrix, row, values } => ([1, id, matrix, row, 0, 0, 0, 0], values),
            Self::Groups { id, matrix, row, groups } => ([2, id, matrix, row, 0, 0, 0, 0], groups),
            Self::Products { ids, rows, x } => {
                let id = |i: usize| ids.get(i).copied().unwrap_or(0);
                ([3, rows, ids.len() as u32, id(0), id(1), id(2), 0, 0], x)
            }
            Self::Attention { tiles, rows, keys, heads, data } => {
                let Heads { query, key, dim, causal, window } = heads;
                // A window is at least 1, so that 0 can say that there is none.
                let mask = window.unwrap_or(0) << 1 | u32::from(causal);
                ([4, tiles, rows, keys, query, key, dim, mask], data)
            }
            Self::Free { id } => ([5, id, 0, 0, 0, 0, 0, 0], &[]),
            Self::Sync => ([6, 0, 0, 0, 0, 0, 0, 0], &[]),
        }
    }

    /// Whether it wants an answer.
    pub(super) fn asks(&self) -> bool {
        match self {
            Self::Products { .. } | Self::Attention { .. } | Self::Sync => true,
            Self::Weight { .. } | Self::Rows { .. } | Self::Groups { .. } | Self::Free { .. } => false,
        }
    }

    /// # Errors
    /// [`Error::Gpu`] for what [`Message::encode`] does not write.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self> {
        let unknown = || Error::Gpu { message: "a helper does not understand a message".into() };
        let (header, data) = bytes.split_at_checked(4 * HEADER).ok_or_else(unknown)?;
        let words: [u32; HEADER] = bytemuck::pod_read_unaligned(header);
        Ok(match words {
            [0, id, matrices, n, k, name, group, fast] => {
                let format = MatrixFormat::of_words([name, group]).ok_or_else(unknown)?;
                let precision = if fast == 1 { Precision::Fast } else { Precision::Exact };
                Self::Weight { id, shape: [matrices, n, k], format, precision }
            }
            [1, id, matrix, row, ..] => Self::Rows { id, matrix, row, values: data },
            [2, id, matrix, row, ..] => Self::Groups { id, matrix, row, groups: data },
            [3, rows, count, ref ids @ ..] => {
                let ids = ids.get(..(count as usize).min(MOST_PRODUCTS)).unwrap_or_default().to_vec();
                Self::Products { ids, rows, x: data }
            }
            [4, tiles, rows, keys, query, key, dim, mask] => {
                let window = Some(mask >> 1).filter(|n| *n > 0);
                let heads = Heads { query, key, dim, causal: mask & 1 == 1, window };
                Self::Attention { tiles, rows, keys, heads, data }
            }
            [5, id, ..] => Self::Free { id },
            [6, ..] => Self::Sync,
            _ => return Err(unknown()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Heads, Message, Precision};
    use crate::numbers::MatrixFormat;

    const HEADS: Heads = Heads { query: 4, key: 2, dim: 8, causal: true, window: None };

    #[test]
    fn what_is_encoded_is_decoded() {
        let format = MatrixFormat::Q4 { group: 64 };
        for message in [
            Message::Weight { id: 7, shape: [2, 3, 4], format, precision: Precision::Fast },
            Message::Weight { id: 7, shape: [2, 3, 4], format: MatrixFormat::Bf16, precision: Precision::Exact },
            Message::Rows { id: 7, matrix: 1, row: 5, values: &[1, 2, 3] },
            Message::Groups { id: 7, matrix: 1, row: 5, groups: &[1, 2, 3] },
            Message::Products { ids: vec![7, 8, 9], rows: 9, x: &[4; 12] },
            Message::Products { ids: vec![7], rows: 0, x: &[] },
            Message::Attention { tiles: 1, rows: 2, keys: 3, heads: HEADS, data: &[5; 9] },
            Message::Attention { tiles: 1, rows: 2, keys: 3, heads: Heads { window: Some(7), ..HEADS }, data: &[] },
            Message::Free { id: 7 },
            Message::Sync,
        ] {
            let (header, data) = message.encode();
            let bytes = [bytemuck::bytes_of(&header), data].concat();
            assert_eq!(Message::decode(&bytes).unwrap(), message);
        }
        for wrong in [&[0u8; 31][..], &[9; 40]] {
            assert_eq!(Message::decode(wrong).unwrap_err().code(), "gpu");
        }
    }
}
