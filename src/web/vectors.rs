//! Token vectors that come from JavaScript.

use js_sys::{Float32Array, Int8Array, Uint8Array, Uint16Array, Uint32Array};
use wasm_bindgen::JsValue;

use super::convert::{object, option, string, whole};
use crate::error::{Error, Result};
use crate::maxsim::{TokenData, Tokens};

/// Token vectors, copied from JavaScript: `data`, `dtype`, `offsets` (Uint32Array), `dim`, and for int8 optionally
/// `scales`.
pub(super) struct Vectors {
    numbers: Numbers,
    offsets: Vec<u64>,
    dim: usize,
}

enum Numbers {
    Float32(Vec<f32>),
    Float16(Vec<u16>),
    Int8(Vec<i8>, Option<Vec<f32>>),
    Binary(Vec<u8>),
}

impl Vectors {
    /// The argument `name` of `request`.
    pub(super) fn of(request: &JsValue, name: &str) -> Result<Self> {
        let given = option(request, name)?.ok_or_else(|| Error::argument(name, "is missing"))?;
        let missing = |field: &str| Error::argument(format!("{name}.{field}"), "is missing");
        let dtype = string(&given, "dtype")?.ok_or_else(|| missing("dtype"))?;
        let data = || missing("data");
        let numbers = match dtype.as_str() {
            "float32" => Numbers::Float32(
                object(&given, "data", "a Float32Array")?.map(|a: Float32Array| a.to_vec()).ok_or_else(data)?,
            ),
            "float16" => Numbers::Float16(
                object(&given, "data", "a Uint16Array")?.map(|a: Uint16Array| a.to_vec()).ok_or_else(data)?,
            ),
            "int8" => Numbers::Int8(
                object(&given, "data", "an Int8Array")?.map(|a: Int8Array| a.to_vec()).ok_or_else(data)?,
                object(&given, "scales", "a Float32Array")?.map(|a: Float32Array| a.to_vec()),
            ),
            "binary" => Numbers::Binary(
                object(&given, "data", "a Uint8Array")?.map(|a: Uint8Array| a.to_vec()).ok_or_else(data)?,
            ),
            _ => {
                return Err(Error::argument(
                    format!("{name}.dtype"),
                    format!("{dtype:?}, allowed are float32, float16, int8, binary"),
                ));
            }
        };
        let offsets: Uint32Array = object(&given, "offsets", "a Uint32Array")?.ok_or_else(|| missing("offsets"))?;
        let dim = whole(&given, "dim")?.ok_or_else(|| missing("dim"))? as usize;
        Ok(Self { numbers, offsets: offsets.to_vec().into_iter().map(u64::from).collect(), dim })
    }

    pub(super) fn tokens(&self) -> Tokens<'_> {
        let data = match &self.numbers {
            Numbers::Float32(data) => TokenData::Float32(data),
            Numbers::Float16(data) => TokenData::Float16(bytemuck::cast_slice(data)),
            Numbers::Int8(codes, scales) => TokenData::Int8 { codes, scales: scales.as_deref() },
            Numbers::Binary(data) => TokenData::Binary(data),
        };
        Tokens { data, offsets: &self.offsets, dim: self.dim }
    }
}
