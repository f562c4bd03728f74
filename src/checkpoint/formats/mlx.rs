//! MLX's affine quantization (ml-explore/mlx `ops.cpp`, `quantize`; ml-explore/mlx-lm `utils.py`).
//!
//! `weight` U32 `[N, K * bits / 32]`, each row a dense stream of codes; `scales` and `biases` `[N, K / group]`;
//! `w = code * scale + bias`. A module is quantized if it has `scales`, embeddings too. As in mlx-lm, a module that the
//! settings do not name has the bits and group that its shapes say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::StoredLayout;
use super::affine::{AffineCodes, Offset, Order};
use super::bits::{Packed, StoredCodes, Twist};
use super::grid::{Grid, Spread};
use super::module::StoredModule;
use super::settings::{self, GroupSize};
use crate::error::{Error, Result};

const BITS: [u64; 6] = [2, 3, 4, 5, 6, 8];
const GROUPS: [u64; 3] = [32, 64, 128];

/// `quantization` of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct MlxSettings {
    /// What it says of single modules, by path without `model.`.
    modules: BTreeMap<String, Override>,
    group: Option<u64>,
    bits: Option<u64>,
}

#[derive(Clone, Debug)]
enum Override {
    Plain,
    Quantized { mode: Option<String>, group: Option<u64>, bits: Option<u64> },
}

impl MlxSettings {
    pub(super) fn parse(settings: &Value) -> Result<Self> {
        let object = settings.as_object().ok_or_else(|| settings::invalid("quantization", "is not an object"))?;
        affine("config.json", settings::text(settings, "mode")?)?;
        let mut modules = BTreeMap::new();
        for (path, value) in object {
            let entry = match value {
                Value::Bool(false) => Override::Plain,
                Value::Bool(true) if path.contains('.') => Override::Quantized { mode: None, group: None, bits: None },
                Value::Object(_) => Override::Quantized {
                    mode: settings::text(value, "mode")?.map(String::from),
                    group: one_of(value, "group_size", &GROUPS)?,
                    bits: one_of(value, "bits", &BITS)?,
                },
                _ => continue,
            };
            modules.insert(path.strip_prefix("model.").unwrap_or(path).into(), entry);
        }
        let (group, bits) = (one_of(settings, "group_size", &GROUPS)?, one_of(settings, "bits", &BITS)?);
        Ok(Self { modules, group, bits })
    }
}

fn one_of(settings: &Value, field: &str, allowed: &[u64]) -> Result<Option<u64>> {
    match settings::whole(settings, field)? {
        None => Ok(None),
        Some(n) => match allowed.iter().find(|&&a| i64::try_from(a) == Ok(n)) {
            Some(&n) => Ok(Some(n)),
            None => Err(settings::invalid(field, format!("is {n}, allowed are {allowed:?}"))),
        },
    }
}

fn affine(what: &str, mode: Option<&str>) -> Result<()> {
    match mode {
        None | Some("affine") => Ok(()),
        Some(mode) => Err(Error::unsupported(format!("quantization mode {mode} of {what}"), "allowed is affine")),
    }
}

pub(super) fn find(settings: &MlxSettings, module: &mut StoredModule<'_>) -> Result<Option<StoredLayout>> {
    match settings.modules.get(module.name) {
        Some(Override::Plain) => Ok(None),
        Some(Override::Quantized { mode, group, bits }) => {
            affine(module.name, mode.as_deref())?;
            quantized(module, group.or(settings.group), bits.or(settings.bits)).map(Some)
        }
        None if module.get("scales").is_some() => quantized(module, None, None).map(Some),
        None => Ok(None),
    }
}

/// A module of a checkpoint whose `config.json` says nothing.
pub(super) fn find_unsaid(module: &mut StoredModule<'_>) -> Result<Option<StoredLayout>> {
    match (module.get("scales"), module.get("biases")) {
        (Some(_), Some(_)) => quantized(module, None, None).map(Some),
        _ => {
            for suffix in
                ["scales", "weight_packed", "weight_scale", "weight_scale_inv", "qweight", "SCB", "_weight_qdata"]
            {
                if module.get(suffix).is_some() {
                    let message = "is quantized, but config.json has neither quantization_config nor quantization";
                    return Err(module.wrong(suffix, message));
                }
            }
            Ok(None)
        }
    }
}

fn quantized(module: &mut StoredModule<'_>, group: Option<u64>, bits: Option<u64>) -> Result<StoredLayout> {
    let [rows, columns] = module.shape;
    let scales = module.need("scales")?;
    if scales.dtype == "U8" {
        let what = format!("tensor {}.scales of dtype U8 (mxfp4, nvfp4 or mxfp8)", module.name);
        return Err(Error::unsupported(what, "allowed is MLX's affine mode, with scales and biases"));
    }
    // Both are what the shapes say, since K is known; the settings can only contradict them.
    let words = module.need("weight")?.shape.get(1).copied().unwrap_or(0);
    let stored =
        BITS.into_iter().find(|b| columns * b == words.saturating_mul(32)).filter(|b| bits.is_none_or(|s| s == *b));
    let Some(stored) = stored else {
        let said = bits.map_or_else(|| format!("{BITS:?}"), |bits| bits.to_string());
        let shape = &module.need("weight")?.shape;
        return Err(
            module.wrong("weight", format!("shape {shape:?} is not that of [{rows}, {columns}] in bits {said}"))
        );
    };
    let groups = scales.shape.get(1).copied().unwrap_or(0);
    let each =
        GROUPS.into_iter().find(|g| groups.checked_mul(*g) == Some(columns)).filter(|g| group.is_none_or(|s| s == *g));
    let Some(each) = each else {
        let said = group.map_or_else(|| format!("{GROUPS:?}"), |group| group.to_string());
        let message = format!("shape {:?} is not that of [{rows}, {columns}] in groups of {said}", scales.shape);
        return Err(module.wrong("scales", message));
    };
    let part = module.part("weight", &["U32"], &[&[rows, words]])?;
    let grid: [u64; 2] = [rows, groups];
    let scale = Grid::of(module.numbers("scales", &[&grid])?, Spread::groups(groups));
    let bias = Grid::of(module.numbers("biases", &[&grid])?, Spread::groups(groups));
    let (bits, lane_stride) = (stored as u32, words as usize);
    Ok(StoredLayout::Affine(AffineCodes {
        codes: StoredCodes::Rows(Packed { part, bits, lane_stride, word_stride: 1, twist: Twist::None }),
        scale,
        unit: 1.0,
        offset: Offset::Bias(bias),
        group: GroupSize::Columns(each),
        order: Order::Plain,
    }))
}
