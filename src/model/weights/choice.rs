//! In which format weights are held: what the caller chose, or what there is memory for.

use std::str::FromStr;

use super::plan::MatrixPlace;
use crate::checkpoint::StoredMatrix;
use crate::error::{Error, Result};
use crate::numbers::{MatrixFormat, parse_name};

/// Weights that share a scale and a bias when this package quantizes.
const GROUP: u32 = 64;

/// How weights are to be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightChoice {
    /// As the checkpoint stores them if there is memory for it, else the largest of the others that fits.
    #[default]
    Auto,
    /// As float32; exact for every format.
    F32,
    /// As float16; rounds wider weights.
    F16,
    /// Quantized to 8 bits as they stream in.
    Q8,
    /// Quantized to 4 bits as they stream in.
    Q4,
}

impl WeightChoice {
    const NAMES: [(&str, Self); 5] =
        [("auto", Self::Auto), ("f32", Self::F32), ("f16", Self::F16), ("q8", Self::Q8), ("q4", Self::Q4)];
}

impl FromStr for WeightChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("weights", name, &Self::NAMES)
    }
}

/// A rule that gives each matrix of a model its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormatRule {
    AsStored,
    F32,
    F16,
    Q8,
    Q4,
}

impl FormatRule {
    /// The rules to try, in order: the first that fits is taken.
    pub(super) fn candidates(choice: WeightChoice) -> &'static [Self] {
        match choice {
            WeightChoice::Auto => &[Self::AsStored, Self::F16, Self::Q8, Self::Q4],
            WeightChoice::F32 => &[Self::F32],
            WeightChoice::F16 => &[Self::F16],
            WeightChoice::Q8 => &[Self::Q8],
            WeightChoice::Q4 => &[Self::Q4],
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AsStored => "stored",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// The name under which files are cached once they have these formats; `None` if it is not worth caching them:
    /// where nothing gets smaller, and where the checkpoint is quantized already. The number at the end goes up when the
    /// quantizer changes.
    pub(super) fn derived_name(self, stored: &[StoredMatrix], formats: &[MatrixFormat]) -> Option<&'static str> {
        let plain = stored.iter().all(StoredMatrix::is_plain);
        let smaller = stored.iter().zip(formats).any(|(m, format)| format.bits() < m.format().bits());
        match self {
            _ if !plain || !smaller => None,
            Self::AsStored | Self::F32 => None,
            Self::F16 => Some("f16-1"),
            Self::Q8 => Some("q8-g64-1"),
            Self::Q4 => Some("q4-g64-1"),
        }
    }

    /// The format of a matrix at `place` that is stored as `stored`, with rows of `columns`.
    ///
    /// A matrix that is stored smaller already stays as it is, and so does one whose rows are not whole groups, as in
    /// mlx-lm. At 4 bits the embedding table has 8: it takes no arithmetic, and its loss cannot be made good later.
    pub(super) fn format(self, place: MatrixPlace, stored: MatrixFormat, columns: u64) -> MatrixFormat {
        let wanted = match self {
            Self::AsStored => return stored,
            Self::F32 => return MatrixFormat::F32,
            Self::F16 => MatrixFormat::F16,
            Self::Q4 if place != MatrixPlace::Embedding => MatrixFormat::Q4 { group: GROUP },
            Self::Q8 | Self::Q4 => MatrixFormat::Q8 { group: GROUP },
        };
        let whole = wanted.group().is_none_or(|group| columns.is_multiple_of(u64::from(group)));
        // bfloat16 is as wide as float16, and becomes it; codes of the same width stay.
        let narrower = wanted.bits() < stored.bits() || stored == MatrixFormat::Bf16;
        if whole && narrower { wanted } else { stored }
    }
}
