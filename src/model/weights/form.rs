//! In which form weights are held: what the caller chose, or what there is memory for.

use std::str::FromStr;

use super::plan::Place;
use crate::checkpoint::{MatrixFormat, Matrix, Number};
use crate::error::{Error, Result};

/// Weights that share a scale and a bias when this package quantises.
pub(super) const GROUP: u32 = 64;

/// How weights are to be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// As the checkpoint stores them if there is memory for it, else the largest of the others that fits.
    #[default]
    Auto,
    /// As float32; exact for every format.
    F32,
    /// As float16; rounds wider weights.
    F16,
    /// Quantised to 8 bits as they stream in.
    Q8,
    /// Quantised to 4 bits as they stream in.
    Q4,
}

impl FromStr for Held {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "q8" => Ok(Self::Q8),
            "q4" => Ok(Self::Q4),
            _ => Err(Error::argument("weights", format!("{name:?}, allowed are auto, f32, f16, q8, q4"))),
        }
    }
}

/// One form for all matrices of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Stored,
    F32,
    F16,
    Q8,
    Q4,
}

impl Form {
    /// The forms to try, in order: the first that fits is taken.
    pub(super) fn candidates(held: Held) -> &'static [Self] {
        match held {
            Held::Auto => &[Self::Stored, Self::F16, Self::Q8, Self::Q4],
            Held::F32 => &[Self::F32],
            Held::F16 => &[Self::F16],
            Held::Q8 => &[Self::Q8],
            Held::Q4 => &[Self::Q4],
        }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }

    /// What files are kept as once they have this form; `None` if it is not worth keeping: where nothing gets smaller,
    /// and where the checkpoint is quantised, which this form then only undoes or changes a little. The number at the
    /// end goes up when the quantizer changes.
    pub(super) fn kept_as(self, stored: &[Matrix], kept: &[MatrixFormat]) -> Option<&'static str> {
        let dense = stored.iter().all(|matrix| matrix.is_plain());
        let smaller = stored.iter().zip(kept).any(|(matrix, kept)| kept.row_size(64).0 < matrix.kept().row_size(64).0);
        match self {
            _ if !dense || !smaller => None,
            Self::Stored | Self::F32 => None,
            Self::F16 => Some("f16-1"),
            Self::Q8 => Some("q8-g64-1"),
            Self::Q4 => Some("q4-g64-1"),
        }
    }

    /// How a matrix at `place` that is stored as `kept`, with rows of `columns`, is held.
    ///
    /// A matrix that is stored smaller already stays as it is, and so does one whose rows are not whole groups, as in
    /// mlx-lm. At 4 bits the embedding table has 8: it takes no arithmetic, and what is lost there is lost for good.
    pub(super) fn of(self, place: Place, kept: MatrixFormat, columns: u64) -> MatrixFormat {
        let bits = match self {
            Self::Stored => return kept,
            Self::F32 => return MatrixFormat::Dense(Float::F32),
            Self::F16 => {
                let wider = kept == MatrixFormat::Dense(Float::F32) || kept == MatrixFormat::Dense(Float::Bf16);
                return if wider { MatrixFormat::Dense(Float::F16) } else { kept };
            }
            Self::Q8 => 8,
            Self::Q4 if place == Place::Embedding => 8,
            Self::Q4 => 4,
        };
        let stored_smaller = matches!(kept, MatrixFormat::Affine { bits: stored, .. } if stored <= bits);
        if stored_smaller || !columns.is_multiple_of(u64::from(GROUP)) {
            return kept;
        }
        MatrixFormat::Affine { bits, group: GROUP }
    }
}
