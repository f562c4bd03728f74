//! Codes of a few bits: packed in words one way or another when they come, always the same way when they go.

use super::module::Parts;
use crate::numbers::MatrixFormat;

/// Lanes of unsigned codes in 32-bit words. Within a lane they lie densely, the first in the lowest bits, across word
/// borders where the width does not divide 32; word `w` of lane `l` is at `l * lane_stride + w * word_stride`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    pub(super) part: usize,
    /// Of a code, 1 to 8.
    pub(super) bits: u32,
    pub(super) lane_stride: usize,
    pub(super) word_stride: usize,
    pub(super) twist: Twist,
}

/// What is odd about the codes of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twist {
    None,
    /// Stored one too low, modulo the code's range.
    OneLow,
    /// Code `j` of a word's eight is in nibble `AWQ_ORDER[j]`.
    Awq,
}

/// AutoAWQ's `AWQ_REVERSE_ORDER`.
const AWQ_ORDER: [u32; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// Words that `codes` codes of `bits` bits take.
pub(super) fn words(codes: u64, bits: u32) -> u64 {
    (codes * u64::from(bits)).div_ceil(32)
}

impl Packed {
    /// Code `index` of a lane.
    pub(super) fn code(&self, parts: &Parts<'_>, lane: usize, index: usize) -> u8 {
        let bits = self.bits as usize;
        let (at, shift) = match self.twist {
            Twist::Awq => (index / 8, 4 * AWQ_ORDER[index % 8]),
            _ => (index * bits / 32, (index * bits % 32) as u32),
        };
        let word = |at: usize| self.word(parts, lane, at);
        let low = word(at) >> shift;
        let straddles = shift + self.bits > 32;
        let code = if straddles { low | word(at + 1) << (32 - shift) } else { low };
        let mask = (1 << self.bits) - 1;
        match self.twist {
            Twist::OneLow if 32 % bits != 0 => (code & mask).wrapping_add(1) as u8 & mask as u8,
            _ => (code & mask) as u8,
        }
    }

    fn word(&self, parts: &Parts<'_>, lane: usize, at: usize) -> u32 {
        let word = parts.word(self.part, lane * self.lane_stride + at * self.word_stride);
        match self.twist {
            // One is added to all codes of a word at once, and carries: GPTQModel subtracts it so when it writes.
            Twist::OneLow if 32 % self.bits == 0 => word.wrapping_add(u32::MAX / ((1 << self.bits) - 1)),
            _ => word,
        }
    }

    /// The first `count` codes of a lane, in order.
    fn lane(&self, parts: &Parts<'_>, lane: usize, count: usize, codes: &mut Vec<u8>) {
        let mask = (1u64 << self.bits) - 1;
        let (mut window, mut held, mut at) = (0u64, 0, 0);
        for _ in 0..count {
            if held < self.bits {
                window |= u64::from(self.word(parts, lane, at)) << held;
                held += 32;
                at += 1;
            }
            codes.push((window & mask) as u8);
            window >>= self.bits;
            held -= self.bits;
        }
    }
}

/// The codes of a matrix.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoredCodes {
    /// Packed, a lane for each row.
    Rows(Packed),
    /// Packed, a lane for each column.
    Columns(Packed),
    /// Signed bytes `[N, K]` in this part. As codes they are 128 higher.
    Signed(usize),
}

impl StoredCodes {
    /// The smallest format that holds every code, for rows of `columns` in groups of `group`.
    pub(super) fn format(&self, columns: u64, group: u32) -> MatrixFormat {
        match self {
            Self::Rows(packed) | Self::Columns(packed) if packed.bits <= 4 && columns.is_multiple_of(8) => {
                MatrixFormat::Q4 { group }
            }
            Self::Rows(_) | Self::Columns(_) | Self::Signed(_) => MatrixFormat::Q8 { group },
        }
    }

    /// The codes of some rows `[rows, K]`, a byte each.
    pub(super) fn unpack(&self, parts: &Parts<'_>, rows: std::ops::Range<usize>, columns: usize) -> Vec<u8> {
        let mut codes = Vec::with_capacity(rows.len() * columns);
        match self {
            Self::Rows(packed) => rows.for_each(|row| packed.lane(parts, row, columns, &mut codes)),
            Self::Columns(packed) => {
                for row in rows {
                    codes.extend((0..columns).map(|column| packed.code(parts, column, row)));
                }
            }
            Self::Signed(part) => {
                let signed = &parts.bytes[*part][rows.start * columns..rows.end * columns];
                codes.extend(signed.iter().map(|byte| byte ^ 0x80));
            }
        }
        codes
    }

    /// The rows as they are stored, if that is how [`pack`] would pack them.
    pub(super) fn packed<'a>(
        &self,
        parts: &Parts<'a>,
        rows: &std::ops::Range<usize>,
        columns: usize,
        bits: u32,
    ) -> Option<&'a [u8]> {
        let part = self.stored_packed(columns, bits)?;
        let row = columns * bits as usize / 8;
        Some(&parts.bytes[part][rows.start * row..rows.end * row])
    }

    /// The part that holds the rows as [`pack`] would pack them, if one does.
    pub(super) fn stored_packed(&self, columns: usize, bits: u32) -> Option<usize> {
        match self {
            Self::Rows(p) if p.bits == bits && p.word_stride == 1 && 32 * p.lane_stride == columns * bits as usize => {
                Some(p.part)
            }
            _ => None,
        }
    }
}

/// Appends rows of `columns` codes, packed in 4 or 8 bits, each row a whole number of words.
pub(super) fn pack(codes: &[u8], columns: usize, bits: u32, into: &mut Vec<u8>) {
    let row_bytes = 4 * (columns * bits as usize).div_ceil(32);
    into.reserve(codes.len() / columns * row_bytes);
    for row in codes.chunks_exact(columns) {
        let end = into.len() + row_bytes;
        match bits {
            4 => into.extend(row.chunks(2).map(|pair| pair[0] | pair.get(1).map_or(0, |high| high << 4))),
            _ => into.extend_from_slice(row),
        }
        into.resize(end, 0);
    }
}
