//! How a weight matrix `[N, K]` is held.

use super::Float;

/// How a weight matrix `[N, K]` is held, in a file, in host memory or on a device.
///
/// A plain matrix is its numbers, row by row. A quantized one is unsigned codes `q`, and for each group of consecutive
/// inputs of a row a scale and a bias, both f32: `w = q * scale + bias` (MLX's affine mode). Code `i` of a row is bits
/// `i * bits .. (i + 1) * bits` of the row's little-endian bit stream, which is MLX's packing too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatrixFormat {
    /// float32
    F32,
    /// float16
    F16,
    /// bfloat16
    Bf16,
    /// Codes of 8 bits.
    Q8 {
        /// Inputs that share a scale and a bias; at least K for one group a row. The last group may be shorter.
        group: u32,
    },
    /// Codes of 4 bits; K is a multiple of 8.
    Q4 {
        /// As in [`MatrixFormat::Q8`].
        group: u32,
    },
}

impl From<Float> for MatrixFormat {
    fn from(number: Float) -> Self {
        match number {
            Float::F32 => Self::F32,
            Float::F16 => Self::F16,
            Float::Bf16 => Self::Bf16,
        }
    }
}

impl serde::Serialize for MatrixFormat {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl MatrixFormat {
    /// Its name without the group, which is also the suffix of the shaders that read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 { .. } => "q8",
            Self::Q4 { .. } => "q4",
        }
    }

    /// Bits of a number or code.
    pub fn bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::Q8 { .. } => 8,
            Self::Q4 { .. } => 4,
        }
    }

    /// The element type of a plain matrix; `None` for codes.
    pub fn float(self) -> Option<Float> {
        match self {
            Self::F32 => Some(Float::F32),
            Self::F16 => Some(Float::F16),
            Self::Bf16 => Some(Float::Bf16),
            Self::Q8 { .. } | Self::Q4 { .. } => None,
        }
    }

    /// Inputs that share a scale and a bias; `None` for a plain matrix.
    pub fn group(self) -> Option<u32> {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => None,
            Self::Q8 { group } | Self::Q4 { group } => Some(group),
        }
    }

    /// The format as two words, for messages between threads: which it is, and its group.
    pub(crate) fn to_words(self) -> [u32; 2] {
        match self {
            Self::F32 => [0, 0],
            Self::F16 => [1, 0],
            Self::Bf16 => [2, 0],
            Self::Q8 { group } => [3, group],
            Self::Q4 { group } => [4, group],
        }
    }

    /// What [`MatrixFormat::to_words`] made; `None` for other words.
    pub(crate) fn of_words([name, group]: [u32; 2]) -> Option<Self> {
        Some(match name {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Bf16,
            3 => Self::Q8 { group },
            4 => Self::Q4 { group },
            _ => return None,
        })
    }

    /// Bytes of the numbers or codes of a row of `k`, padded to whole 32-bit words for codes.
    pub fn value_bytes(self, k: u64) -> u64 {
        let bits = k * u64::from(self.bits());
        if self.group().is_some() { bits.div_ceil(32) * 4 } else { bits / 8 }
    }

    /// Groups of a row of `k`; 0 for a plain matrix.
    pub fn row_groups(self, k: u64) -> u64 {
        self.group().map_or(0, |group| k.div_ceil(u64::from(group)))
    }

    /// Bytes of a row of `k` in memory: its values, and 8 for the scale and bias of each group.
    pub fn row_bytes(self, k: u64) -> u64 {
        self.value_bytes(k) + 8 * self.row_groups(k)
    }

    /// Appends a row of `k` numbers or codes, with the scale and bias of each of its groups, as f32. Plain numbers are
    /// exact; `q * scale + bias` is rounded twice.
    pub fn widen_row(self, values: &[u8], groups: &[[f32; 2]], k: usize, into: &mut Vec<f32>) {
        let codes = |group: u32, into: &mut Vec<f32>, code: fn(&[u8], usize) -> u8| {
            for (first, [scale, bias]) in (0..k).step_by(group as usize).zip(groups) {
                let end = first.saturating_add(group as usize).min(k);
                into.extend((first..end).map(|i| f32::from(code(values, i)) * scale + bias));
            }
        };
        match self {
            Self::F32 => Float::F32.widen(values, into),
            Self::F16 => Float::F16.widen(values, into),
            Self::Bf16 => Float::Bf16.widen(values, into),
            Self::Q8 { group } => codes(group, into, |values, i| values[i]),
            Self::Q4 { group } => codes(group, into, |values, i| values[i / 2] >> (4 * (i % 2)) & 15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MatrixFormat;

    #[test]
    fn bytes_and_groups_of_a_row() {
        let sizes = |format: MatrixFormat| (format.value_bytes(200), format.row_groups(200), format.row_bytes(200));
        assert_eq!(sizes(MatrixFormat::Q4 { group: 64 }), (100, 4, 132));
        assert_eq!(sizes(MatrixFormat::Q8 { group: u32::MAX }), (200, 1, 208));
        assert_eq!(sizes(MatrixFormat::F16), (400, 0, 400));
    }

    #[test]
    fn a_row_of_codes_with_a_shorter_last_group() {
        let mut row = Vec::new();
        MatrixFormat::Q4 { group: 4 }.widen_row(&[0x21, 0x43, 0xf0], &[[1.0, 0.0], [10.0, 0.5]], 6, &mut row);
        MatrixFormat::Q8 { group: u32::MAX }.widen_row(&[0, 255], &[[-1.0, 1.0]], 2, &mut row);
        assert_eq!(row, [1.0, 2.0, 3.0, 4.0, 0.5, 150.5, 1.0, -254.0]);
    }
}
