//! How exactly activations are multiplied.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::numbers::parse_name;

/// How exactly linear layers whose weights are codes take their activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As float32, or, on the processor, rounded to 16 bits.
    #[default]
    Exact,
    /// Rounded to 8 bits, or to halves, where the device has instructions for that; elsewhere as [`Precision::Exact`].
    Fast,
}

impl Precision {
    const NAMES: [(&str, Self); 2] = [("exact", Self::Exact), ("fast", Self::Fast)];

    /// `exact` or `fast`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fast => "fast",
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("precision", name, &Self::NAMES)
    }
}
