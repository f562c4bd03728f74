//! torchao's integer tensors (pytorch/ao `prototype/safetensors`, `quantize_/workflows`).
//!
//! The file's metadata has an entry for each tensor, `M.weight`, with its class and block size; its data are
//! `M._weight_qdata` I8 `[N, K]`, `M._weight_scale` and perhaps `M._weight_zero_point`, both `[N / b0, K / b1]`;
//! `w = (qdata - zero_point) * scale`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::StoredLayout;
use super::affine::{AffineCodes, Offset, Order};
use super::bits::StoredCodes;
use super::grid::{Cell, Grid, Spread};
use super::module::StoredModule;
use super::settings::GroupSize;
use crate::error::{Error, Result};

const QDATA: &str = "_weight_qdata";
const SCALE: &str = "_weight_scale";
const ZERO_POINT: &str = "_weight_zero_point";

pub(super) fn find(module: &mut StoredModule<'_>, metadata: &BTreeMap<String, String>) -> Result<Option<StoredLayout>> {
    let key = format!("{}.weight", module.name);
    let Some(entry) = metadata.get(&key).or_else(|| metadata.get(&format!("model.{key}"))) else {
        return match module.get(QDATA) {
            Some(_) => Err(module.wrong(QDATA, format!("the file's metadata has no entry {key}"))),
            None => Ok(None),
        };
    };
    let entry: Value =
        serde_json::from_str(entry).map_err(|e| module.wrong(QDATA, format!("metadata entry {key}: {e}")))?;
    match entry.get("_type").and_then(Value::as_str) {
        Some("Tensor") => return Ok(None),
        Some("Int8Tensor" | "IntxUnpackedToInt8Tensor") => {}
        other => {
            let what = format!("torchao tensor {} of module {}", other.unwrap_or("without _type"), module.name);
            return Err(Error::unsupported(what, "allowed are Int8Tensor and IntxUnpackedToInt8Tensor"));
        }
    }
    if module.get("_weight_act_pre_scale").is_some() {
        let what = format!("tensor {}._weight_act_pre_scale", module.name);
        return Err(Error::unsupported(what, "activations may not be scaled"));
    }
    let [rows, columns] = module.shape;
    let size = entry.get("_data").and_then(|data| data.get("block_size")).and_then(Value::as_array);
    let size = size.filter(|s| s.len() == 2).map(|s| [s[0].as_u64(), s[1].as_u64()]);
    let Some([Some(block_rows @ 1..), Some(block_columns @ 1..)]) = size else {
        return Err(module.wrong(QDATA, format!("metadata entry {key}: block_size is not two numbers above 0")));
    };
    if rows % block_rows != 0 || columns % block_columns != 0 {
        let message = format!("[{rows}, {columns}] is not whole blocks of [{block_rows}, {block_columns}]");
        return Err(module.wrong(QDATA, message));
    }
    let blocks: [u64; 2] = [rows / block_rows, columns / block_columns];
    let spread = Spread::blocks(block_rows, blocks[1]);
    let weight = module.part(QDATA, &["I8"], &[&[rows, columns]])?;
    let scale = Grid::of(module.numbers(SCALE, &[&blocks])?, spread);
    let offset = match module.get(ZERO_POINT).map(|tensor| tensor.dtype.as_str()) {
        None => Offset::Middle(128),
        Some("I8") => {
            let part = module.part(ZERO_POINT, &["I8"], &[&blocks])?;
            Offset::Points(Grid { part, cell: Cell::I8, spread }, 128)
        }
        Some(_) => Offset::Points(Grid::of(module.numbers(ZERO_POINT, &[&blocks])?, spread), 128),
    };
    Ok(Some(StoredLayout::Affine(AffineCodes {
        codes: StoredCodes::Signed(weight),
        scale,
        unit: 1.0,
        offset,
        group: GroupSize::Columns(block_columns),
        order: Order::Plain,
    })))
}
