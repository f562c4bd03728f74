//! AWQ in the "gemm" version (casper-hansen/AutoAWQ `utils/packing_utils.py`, `modules/linear/gemm.py`).
//!
//! `qweight` I32 `[K, N / 8]` and `qzeros` I32 `[K / group, N / 8]`, eight codes of 4 bits a word along the outputs in
//! an order of their own; `scales` `[K / group, N]`; `w = (code - zero) * scale`.

use serde_json::Value;

use super::StoredLayout;
use super::affine::{AffineCodes, Offset, Order};
use super::bits::{Packed, StoredCodes, Twist};
use super::grid::{Grid, Spread};
use super::module::StoredModule;
use super::settings::{self, GroupSize};
use crate::error::{Error, Result};

/// `quantization_config` of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct AwqSettings {
    group: GroupSize,
}

impl AwqSettings {
    pub(super) fn parse(settings: &Value) -> Result<Self> {
        for (field, allowed) in [("version", "gemm"), ("format", "gemm"), ("backend", "autoawq")] {
            let given = settings::text(settings, field)?.map(str::to_ascii_lowercase);
            let known = |g: &str| g == allowed || field == "backend" && g != "llm-awq";
            if let Some(other) = given.filter(|g| !known(g)) {
                return Err(Error::unsupported(format!("awq {field} {other}"), format!("allowed is {allowed}")));
            }
        }
        let bits = match settings::whole(settings, "bits")? {
            None => settings::whole(settings, "w_bit")?,
            given => given,
        };
        if let Some(bits) = bits.filter(|&b| b != 4) {
            return Err(Error::unsupported(format!("awq with bits {bits}"), "allowed is 4"));
        }
        let group = match settings::group(settings, "group_size")? {
            None => settings::group(settings, "q_group_size")?,
            given => given,
        };
        Ok(Self { group: group.unwrap_or(GroupSize::Columns(128)) })
    }
}

pub(super) fn find(settings: &AwqSettings, module: &mut StoredModule<'_>) -> Result<Option<StoredLayout>> {
    if module.get("qweight").is_none() {
        return Ok(None);
    }
    let [rows, columns] = module.shape;
    let group = settings.group.columns(columns);
    if rows % 8 != 0 || columns % group != 0 {
        let message = format!("[{rows}, {columns}] is not whole words of 8 rows and whole groups of {group} columns");
        return Err(module.wrong("qweight", message));
    }
    let (words, groups) = (rows / 8, columns / group);
    let packed = |part| Packed { part, bits: 4, lane_stride: words as usize, word_stride: 1, twist: Twist::Awq };
    let codes = packed(module.part("qweight", &["I32"], &[&[columns, words]])?);
    let zeros = packed(module.part("qzeros", &["I32"], &[&[groups, words]])?);
    let scale = Grid::of(module.numbers("scales", &[&[groups, rows]])?, Spread::transposed(rows));
    Ok(Some(StoredLayout::Affine(AffineCodes {
        codes: StoredCodes::Columns(codes),
        scale,
        unit: 1.0,
        offset: Offset::Zeros(zeros),
        group: settings.group,
        order: Order::Plain,
    })))
}
