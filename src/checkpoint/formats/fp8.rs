//! FP8 weights (huggingface/transformers `integrations/finegrained_fp8.py`, as DeepSeek publishes them).
//!
//! `weight` F8_E4M3 `[N, K]`; `weight_scale_inv`, by another tool `weight_scale`, one number for a block of rows and
//! columns; `w = weight * scale` in f32. The scale is a factor, whatever its name says.

use std::ops::Range;

use serde_json::Value;

use super::grid::{Grid, Spread};
use super::module::{Parts, StoredModule};
use super::settings;
use super::{MatrixRows, StoredLayout};
use crate::error::{Error, Result};

/// `quantization_config` of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct Fp8Settings {
    /// Rows and columns of a block.
    block: [u64; 2],
}

impl Fp8Settings {
    pub(super) fn parse(settings: &Value) -> Result<Self> {
        if let Some(other) = settings::text(settings, "fmt")?.filter(|f| *f != "e4m3" && *f != "float8_e4m3fn") {
            return Err(Error::unsupported(format!("fp8 fmt {other}"), "allowed is e4m3"));
        }
        if let Some(other) = settings::text(settings, "scale_fmt")?.filter(|f| *f != "float") {
            return Err(Error::unsupported(format!("fp8 scale_fmt {other}"), "allowed is float"));
        }
        // Those who leave it out mean transformers' default; a scale for the whole matrix is seen by its shape.
        Ok(Self { block: settings::block(settings, "weight_block_size")?.unwrap_or([128, 128]) })
    }
}

/// A matrix of scaled 8-bit floats.
#[derive(Clone, Debug)]
pub(super) struct Fp8 {
    weight: usize,
    scale: Grid,
    /// Columns that share a scale.
    group: usize,
}

pub(super) fn find(settings: &Fp8Settings, module: &mut StoredModule<'_>) -> Result<Option<StoredLayout>> {
    let suffix = match ["weight_scale_inv", "weight_scale"].into_iter().find(|s| module.get(s).is_some()) {
        Some(suffix) => suffix,
        None => return Ok(None),
    };
    layout(module, suffix, settings.block).map(Some)
}

/// FP8 with scales in tensor `suffix`: one for all, one a row, or one a block.
pub(super) fn layout(module: &mut StoredModule<'_>, suffix: &str, block: [u64; 2]) -> Result<StoredLayout> {
    let [rows, columns] = module.shape;
    let [block_rows, block_columns] = [block[0].min(rows), block[1].min(columns)];
    let weight = module.part("weight", &["F8_E4M3"], &[&[rows, columns]])?;
    let blocks: [u64; 2] = [rows.div_ceil(block_rows), columns.div_ceil(block_columns)];
    let found = module.numbers(suffix, &[&blocks, &[rows, 1], &[1, 1], &[1], &[]])?;
    let shape = &module.need(suffix)?.shape;
    let (spread, group) = match shape.as_slice() {
        [] | [1] | [1, 1] => (Spread::ONE, columns),
        shape if *shape == blocks => (Spread::blocks(block_rows, blocks[1]), block_columns),
        _ => (Spread::ROWS, columns),
    };
    Ok(StoredLayout::Fp8(Fp8 { weight, scale: Grid::of(found, spread), group: group as usize }))
}

impl Fp8 {
    pub(super) fn decode(
        &self,
        parts: &Parts<'_>,
        rows: Range<usize>,
        columns: usize,
        out: &mut MatrixRows,
    ) -> Result<()> {
        let table = table();
        out.values.reserve(4 * rows.len() * columns);
        for row in rows {
            let weights = &parts.bytes[self.weight][row * columns..(row + 1) * columns];
            for (group, weights) in weights.chunks(self.group).enumerate() {
                let scale = self.scale.at(parts, row, group);
                for &weight in weights {
                    let value = table[usize::from(weight)] * scale;
                    if !value.is_finite() {
                        let message = format!("row {row}, block {group}: code {weight:#04x} times {scale} is {value}");
                        return Err(parts.wrong(self.scale.part, message));
                    }
                    out.values.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

/// The number of each code of E4M3 (OCP 8-bit floating point specification): a sign, 4 bits of exponent with bias 7, 3
/// of mantissa, no infinities, NaN where exponent and mantissa are all ones.
fn table() -> [f32; 256] {
    std::array::from_fn(|code| {
        let (exponent, mantissa) = (code >> 3 & 15, (code & 7) as f32 / 8.0);
        let size = match (exponent, code & 7) {
            (0, _) => mantissa * 2f32.powi(-6),
            (15, 7) => f32::NAN,
            _ => (1.0 + mantissa) * 2f32.powi(exponent as i32 - 7),
        };
        if code < 128 { size } else { -size }
    })
}
