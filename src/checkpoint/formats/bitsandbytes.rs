//! bitsandbytes (`functional.py` `QuantState`, `backends/default/ops.py`, `nn/modules.py`).
//!
//! 4 bits: `weight` holds `ceil(N * K / 2)` bytes, two codes each, the first in the high half; the number of each code
//! is in `weight.quant_map` F32 `[16]`, `weight.absmax` has a factor for each block of the flattened matrix, and
//! `weight.quant_state.bitsandbytes__nf4` or `__fp4` is JSON with the rest. Factors quantized a second time are codes
//! U8 into `weight.nested_quant_map` F32 `[256]`, times `weight.nested_absmax` F32 of their own block, plus
//! `nested_offset`. `w = quant_map[code] * factor` in f32, rounded to the dtype in the JSON.
//!
//! 8 bits: `weight` I8 `[N, K]`, `SCB` F32 `[N]`; `w = weight * SCB / 127`.

use std::ops::Range;

use half::{bf16, f16};
use serde_json::Value;

use super::affine::{AffineCodes, Offset, Order};
use super::bits::StoredCodes;
use super::grid::{self, Grid, Spread};
use super::module::{Parts, StoredModule};
use super::settings::{self, GroupSize};
use super::{MatrixRows, StoredLayout};
use crate::error::{Error, Result};
use crate::numbers::Float;

/// bitsandbytes' own words for 1 / 127.
const UNIT: f32 = 7.874_016e-3;
/// The block sizes it knows.
const BLOCKS: [u64; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
/// Longest state, in bytes of JSON.
const MAX_STATE: u64 = 4096;

/// `quantization_config` of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct BitsAndBytesSettings {
    /// What the model's weights were before, and are rounded to again.
    number: Float,
}

/// Whether settings without `quant_method` are those of bitsandbytes, as old ones are.
pub(super) fn is_unnamed(settings: &Value) -> bool {
    ["load_in_4bit", "load_in_8bit"].iter().any(|field| settings.get(field) == Some(&Value::Bool(true)))
}

impl BitsAndBytesSettings {
    pub(super) fn parse(settings: &Value, config: &Value) -> Result<Self> {
        if !settings.is_object() {
            return Err(settings::invalid("quantization_config", "is not an object"));
        }
        let dtype = match settings::text(config, "dtype")? {
            None => settings::text(config, "torch_dtype")?,
            given => given,
        };
        Ok(Self { number: dtype.and_then(number).unwrap_or(Float::F32) })
    }
}

/// The number that torch calls `dtype`.
fn number(dtype: &str) -> Option<Float> {
    match dtype.strip_prefix("torch.").unwrap_or(dtype) {
        "float32" => Some(Float::F32),
        "float16" => Some(Float::F16),
        "bfloat16" => Some(Float::Bf16),
        _ => None,
    }
}

/// A matrix of 4-bit codes.
#[derive(Clone, Debug)]
pub(super) struct FourBit {
    number: Float,
    weight: usize,
    absmax: usize,
    quant_map: usize,
    state: usize,
    nested: Option<Nested>,
}

/// Where the factors' own factors are.
#[derive(Clone, Debug)]
struct Nested {
    absmax: usize,
    quant_map: usize,
}

pub(super) fn find(settings: &BitsAndBytesSettings, module: &mut StoredModule<'_>) -> Result<Option<StoredLayout>> {
    if module.get("weight.absmax").is_some() {
        return four_bit(settings, module).map(Some);
    }
    if module.get("SCB").is_none() {
        return Ok(None);
    }
    let [rows, columns] = module.shape;
    let weight = module.part("weight", &["I8"], &[&[rows, columns]])?;
    let scale = Grid::of(module.numbers("SCB", &[&[rows], &[rows, 1]])?, Spread::ROWS);
    Ok(Some(StoredLayout::Affine(AffineCodes {
        codes: StoredCodes::Signed(weight),
        scale,
        unit: UNIT,
        offset: Offset::Middle(128),
        group: GroupSize::Row,
        order: Order::Plain,
    })))
}

fn four_bit(settings: &BitsAndBytesSettings, module: &mut StoredModule<'_>) -> Result<StoredLayout> {
    let numbers = module.shape[0] * module.shape[1];
    // Codes may be stored as another dtype; the bytes are the same.
    let stored = module.need("weight")?;
    if stored.bytes != numbers.div_ceil(2) || stored.shape.len() != 2 || stored.shape[1] != 1 {
        let message =
            format!("shape {:?} of {} is not a column of {} bytes", stored.shape, stored.dtype, numbers.div_ceil(2));
        return Err(module.wrong("weight", message));
    }
    let weight = module.part("weight", &["U8", "I8", "F16", "BF16", "F32", "F64"], &[&stored.shape])?;
    let factors = match module.need("weight.absmax")?.shape.as_slice() {
        [factors] => *factors,
        _ => 0,
    };
    if !BLOCKS.iter().any(|block| numbers.div_ceil(*block) == factors) {
        return Err(module.wrong("weight.absmax", format!("is not a factor for each block of {numbers} numbers")));
    }
    let nested = module.need("weight.absmax")?.dtype == "U8";
    let absmax = module.part("weight.absmax", &["U8", "F32"], &[&[factors]])?;
    let quant_map = module.part("weight.quant_map", &["F32"], &[&[16]])?;
    let kinds = ["weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4"];
    let kind = kinds.into_iter().find(|kind| module.get(kind).is_some()).unwrap_or(kinds[0]);
    let length = module.need(kind)?.bytes;
    if length > MAX_STATE {
        return Err(module.wrong(kind, format!("is {length} bytes long, at most {MAX_STATE} are allowed")));
    }
    let state = module.part(kind, &["U8"], &[&[length]])?;
    let nested = match nested {
        false => None,
        true => {
            let shape = module.need("weight.nested_absmax")?.shape.clone();
            if shape.len() != 1 || shape[0] == 0 || shape[0] > factors {
                return Err(
                    module.wrong("weight.nested_absmax", format!("shape {shape:?} is not one of {factors} or less"))
                );
            }
            let absmax = module.part("weight.nested_absmax", &["F32"], &[&shape])?;
            Some(Nested { absmax, quant_map: module.part("weight.nested_quant_map", &["F32"], &[&[256]])? })
        }
    };
    Ok(StoredLayout::FourBit(FourBit { number: settings.number, weight, absmax, quant_map, state, nested }))
}

/// What the JSON says.
struct QuantState {
    number: Float,
    block: usize,
    nested_block: usize,
    nested_offset: f32,
}

impl FourBit {
    /// What the numbers are rounded to.
    pub(super) fn number(&self) -> Float {
        self.number
    }

    pub(super) fn decode(
        &self,
        parts: &Parts<'_>,
        rows: Range<usize>,
        shape: [u64; 2],
        out: &mut MatrixRows,
    ) -> Result<()> {
        let state = self.state(parts, shape)?;
        let columns = shape[1] as usize;
        let map = |part: usize, code: u8| grid::read(Float::F32, parts.bytes[part], usize::from(code));
        let factor = |block: usize| match &self.nested {
            None => grid::read(Float::F32, parts.bytes[self.absmax], block),
            Some(nested) => {
                let code = map(nested.quant_map, parts.bytes[self.absmax][block]);
                let outer = grid::read(Float::F32, parts.bytes[nested.absmax], block / state.nested_block);
                code * outer + state.nested_offset
            }
        };
        let (mut at, end) = (rows.start * columns, rows.end * columns);
        out.values.reserve((end - at) * state.number.bytes());
        while at < end {
            let block = at / state.block;
            let factor = factor(block);
            for i in at..end.min((block + 1) * state.block) {
                let byte = parts.bytes[self.weight][i / 2];
                let value = map(self.quant_map, if i % 2 == 0 { byte >> 4 } else { byte & 15 }) * factor;
                let finite = match state.number {
                    Float::F32 => push(out, value.to_le_bytes(), value.is_finite()),
                    Float::F16 => push(out, f16::from_f32(value).to_le_bytes(), f16::from_f32(value).is_finite()),
                    Float::Bf16 => push(out, bf16::from_f32(value).to_le_bytes(), bf16::from_f32(value).is_finite()),
                };
                if !finite {
                    return Err(parts.wrong(self.absmax, format!("block {block}: factor {factor} makes {value}")));
                }
            }
            at = end.min((block + 1) * state.block);
        }
        Ok(())
    }

    fn state(&self, parts: &Parts<'_>, shape: [u64; 2]) -> Result<QuantState> {
        let wrong = |message: String| parts.wrong(self.state, message);
        let json: Value = serde_json::from_slice(parts.bytes[self.state]).map_err(|e| wrong(e.to_string()))?;
        let dtype = json.get("dtype").and_then(Value::as_str).unwrap_or("missing");
        if number(dtype) != Some(self.number) {
            let what = format!("dtype {dtype} in tensor {}", parts.names[self.state]);
            return Err(Error::unsupported(
                what,
                format!("config.json's dtype says {:?}, and both must agree", self.number),
            ));
        }
        let said: Option<Vec<u64>> =
            json.get("shape").and_then(Value::as_array).map(|s| s.iter().filter_map(Value::as_u64).collect());
        if said.as_deref() != Some(&shape) {
            return Err(wrong(format!("shape is {said:?}, config.json asks for {shape:?}")));
        }
        let block = json.get("blocksize").and_then(Value::as_u64).unwrap_or(0);
        let factors = parts.bytes[self.absmax].len() as u64 / if self.nested.is_some() { 1 } else { 4 };
        if !BLOCKS.contains(&block) || (shape[0] * shape[1]).div_ceil(block) != factors {
            return Err(wrong(format!("blocksize is {block}, there are {factors} factors for {shape:?}")));
        }
        let mut state = QuantState { number: self.number, block: block as usize, nested_block: 1, nested_offset: 0.0 };
        if let Some(nested) = &self.nested {
            let block = json.get("nested_blocksize").and_then(Value::as_u64).unwrap_or(0);
            let outer = parts.bytes[nested.absmax].len() as u64 / 4;
            if block == 0 || factors.div_ceil(block) != outer {
                return Err(wrong(format!("nested_blocksize is {block}, there are {outer} for {factors} factors")));
            }
            state.nested_block = block.min(factors) as usize;
            let offset = json.get("nested_offset").and_then(Value::as_f64);
            state.nested_offset = offset.ok_or_else(|| wrong("nested_offset is missing".into()))? as f32;
        }
        Ok(state)
    }
}

fn push<const N: usize>(out: &mut MatrixRows, bytes: [u8; N], finite: bool) -> bool {
    out.values.extend_from_slice(&bytes);
    finite
}
