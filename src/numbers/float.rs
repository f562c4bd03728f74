//! Floating-point element types of stored tensors.

use std::borrow::Cow;

use half::{bf16, f16};

/// Element type of a tensor of plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// float32
    F32,
    /// float16
    F16,
    /// bfloat16
    Bf16,
}

impl Float {
    /// The format that safetensors calls `dtype`, if it is one of these.
    pub fn parse(dtype: &str) -> Option<Self> {
        match dtype {
            "F32" => Some(Self::F32),
            "F16" => Some(Self::F16),
            "BF16" => Some(Self::Bf16),
            _ => None,
        }
    }

    /// What safetensors calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Little-endian `bytes` of this format, as numbers, appended to `into`. Exact.
    pub fn widen(self, bytes: &[u8], into: &mut Vec<f32>) {
        let pair = |b: &[u8]| [b[0], b[1]];
        match self {
            Self::F32 => into.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
            Self::F16 => into.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes(pair(b)).to_f32())),
            Self::Bf16 => into.extend(bytes.chunks_exact(2).map(|b| bf16::from_le_bytes(pair(b)).to_f32())),
        }
    }

    /// The first of little-endian `bytes` of this format that is infinite or not a number: its index and value. Looks at
    /// whole blocks before it looks for the place, since weights are many and hardly ever wrong.
    pub fn first_not_finite(self, bytes: &[u8]) -> Option<(usize, f32)> {
        const BLOCK: usize = 4096;
        let exponent = match self {
            Self::F32 => 0x7f80_0000u32,
            Self::F16 => 0x7c00,
            Self::Bf16 => 0x7f80,
        };
        let halves = |b: &[u8; 2]| u32::from(u16::from_le_bytes(*b)) & exponent == exponent;
        let words = |b: &[u8; 4]| u32::from_le_bytes(*b) & exponent == exponent;
        bytes.chunks(BLOCK).enumerate().find_map(|(block, bytes)| {
            let any = match self {
                Self::F32 => bytes.as_chunks().0.iter().fold(false, |any, b| any | words(b)),
                Self::F16 | Self::Bf16 => bytes.as_chunks().0.iter().fold(false, |any, b| any | halves(b)),
            };
            if !any {
                return None;
            }
            let mut values = Vec::new();
            self.widen(bytes, &mut values);
            let at = values.iter().position(|value| !value.is_finite())?;
            Some((block * BLOCK / self.bytes() + at, values[at]))
        })
    }

    /// `bytes` of this format in the format `to`, rounded half to even where `to` is narrower; `None` if a number is
    /// beyond the range of `to`.
    pub fn convert<'a>(self, bytes: &'a [u8], to: Self) -> Option<Cow<'a, [u8]>> {
        if self == to {
            return Some(Cow::Borrowed(bytes));
        }
        let mut wide = Vec::with_capacity(bytes.len() / self.bytes());
        self.widen(bytes, &mut wide);
        let mut out = Vec::with_capacity(wide.len() * to.bytes());
        for value in wide {
            let finite = match to {
                Self::F32 => {
                    out.extend_from_slice(&value.to_le_bytes());
                    true
                }
                Self::F16 => {
                    let half = f16::from_f32(value);
                    out.extend_from_slice(&half.to_le_bytes());
                    half.is_finite() || !value.is_finite()
                }
                Self::Bf16 => {
                    let half = bf16::from_f32(value);
                    out.extend_from_slice(&half.to_le_bytes());
                    half.is_finite() || !value.is_finite()
                }
            };
            if !finite {
                return None;
            }
        }
        Some(Cow::Owned(out))
    }
}

#[cfg(test)]
mod tests {
    use super::Float;

    #[test]
    fn every_half_survives_the_way_to_f32_and_back() {
        for (number, skip_nan) in [(Float::F16, 0x7c00u16), (Float::Bf16, 0x7f80)] {
            let all: Vec<u8> = (0..=u16::MAX)
                .filter(|b| b & skip_nan != skip_nan || b & !(skip_nan | 0x8000) == 0)
                .flat_map(u16::to_le_bytes)
                .collect();
            let wide = number.convert(&all, Float::F32).unwrap();
            assert_eq!(Float::F32.convert(&wide, number).unwrap(), all);
        }
    }

    #[test]
    fn what_is_not_finite_is_found_with_its_place() {
        for number in [Float::F32, Float::F16, Float::Bf16] {
            for (at, wrong) in [(0, f32::NAN), (2047, f32::INFINITY), (2048, f32::NEG_INFINITY), (4999, f32::NAN)] {
                let mut values = vec![-1.5f32; 5000];
                assert_eq!(number.first_not_finite(&bytes(&values, number)), None);
                values[at] = wrong;
                let (found, value) = number.first_not_finite(&bytes(&values, number)).unwrap();
                assert!(found == at && (value == wrong || value.is_nan() && wrong.is_nan()), "{number:?} {found}");
            }
        }
    }

    fn bytes(values: &[f32], number: Float) -> Vec<u8> {
        let wide: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Float::F32.convert(&wide, number).unwrap().into_owned()
    }

    #[test]
    fn f16_refuses_what_it_cannot_hold() {
        let fits = 65504f32.to_le_bytes();
        assert_eq!(Float::F32.convert(&fits, Float::F16).unwrap().as_ref(), [0xff, 0x7b]);
        assert!(Float::F32.convert(&65520f32.to_le_bytes(), Float::F16).is_none());
    }
}
