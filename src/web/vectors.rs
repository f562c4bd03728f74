//! Token vectors that come from JavaScript.

use half::f16;
use js_sys::{Float32Array, Int8Array, Uint8Array, Uint16Array, Uint32Array};
use wasm_bindgen::JsValue;

use super::convert::{object, option, string, whole};
use crate::error::{Error, Result};
use crate::maxsim::TokenVectors;
use crate::numbers::{RowBuf, RowFormat};

/// Token vectors, copied from JavaScript: `data`, `dtype`, `offsets` (Uint32Array), `dim`, and for int8 optionally
/// `scales`.
pub(super) struct WebVectors {
    rows: RowBuf,
    offsets: Vec<u64>,
    dim: usize,
}

impl WebVectors {
    /// The argument `name` of `request`.
    pub(super) fn of(request: &JsValue, name: &str) -> Result<Self> {
        let given = option(request, name)?.ok_or_else(|| Error::argument(name, "is missing"))?;
        let missing = |field: &str| Error::argument(format!("{name}.{field}"), "is missing");
        let dtype = string(&given, "dtype")?.ok_or_else(|| missing("dtype"))?;
        let data = || missing("data");
        let format: RowFormat = dtype.parse().map_err(|error| match error {
            Error::InvalidArgument { message, .. } => Error::argument(format!("{name}.dtype"), message),
            other => other,
        })?;
        let rows = match format {
            RowFormat::Float32 => RowBuf::Float32(
                object(&given, "data", "a Float32Array")?.map(|a: Float32Array| a.to_vec()).ok_or_else(data)?,
            ),
            RowFormat::Float16 => {
                let bits: Uint16Array = object(&given, "data", "a Uint16Array")?.ok_or_else(data)?;
                RowBuf::Float16(bits.to_vec().into_iter().map(f16::from_bits).collect())
            }
            RowFormat::Int8 => RowBuf::Int8 {
                codes: object(&given, "data", "an Int8Array")?.map(|a: Int8Array| a.to_vec()).ok_or_else(data)?,
                scales: object(&given, "scales", "a Float32Array")?.map(|a: Float32Array| a.to_vec()),
            },
            RowFormat::Binary => RowBuf::Binary(
                object(&given, "data", "a Uint8Array")?.map(|a: Uint8Array| a.to_vec()).ok_or_else(data)?,
            ),
        };
        let offsets: Uint32Array = object(&given, "offsets", "a Uint32Array")?.ok_or_else(|| missing("offsets"))?;
        let dim = whole(&given, "dim")?.ok_or_else(|| missing("dim"))? as usize;
        Ok(Self { rows, offsets: offsets.to_vec().into_iter().map(u64::from).collect(), dim })
    }

    pub(super) fn tokens(&self) -> TokenVectors<'_> {
        TokenVectors { data: self.rows.as_data(), offsets: &self.offsets, dim: self.dim }
    }
}
