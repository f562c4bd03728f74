//! GPTQ (ModelCloud/GPTQModel `nn_modules/qlinear`).
//!
//! `qweight` I32 `[K * bits / 32, N]`, packed along the inputs; `qzeros` I32 `[groups, N * bits / 32]`, packed along
//! the outputs; `scales` `[groups, N]`; `g_idx` I32 `[K]`, the group of each input. `w = (code - zero) * scale`; the
//! format "gptq" stores zeros one too low, "gptq_v2" as they are.

use serde_json::Value;

use super::StoredLayout;
use super::affine::{AffineCodes, Offset, Order};
use super::bits::{self, Packed, StoredCodes, Twist};
use super::grid::{Grid, Spread};
use super::module::StoredModule;
use super::settings::{self, GroupSize};
use crate::error::{Error, Result};

/// `quantization_config` of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct GptqSettings {
    bits: u32,
    group: GroupSize,
    /// Columns were quantized in an order of their own, and groups follow it.
    desc_act: bool,
    zeros: Twist,
    /// Some modules have settings of their own, by regular expression.
    dynamic: bool,
}

impl GptqSettings {
    pub(super) fn parse(settings: &Value) -> Result<Self> {
        let bits = match settings::whole(settings, "bits")? {
            Some(bits @ (2 | 3 | 4 | 8)) => bits as u32,
            Some(bits) => {
                return Err(Error::unsupported(format!("gptq with bits {bits}"), "allowed are 2, 3, 4 and 8"));
            }
            None => return Err(settings::invalid("bits", "is missing")),
        };
        let format = match settings::text(settings, "checkpoint_format")? {
            None => settings::text(settings, "format")?,
            said => said,
        };
        let zeros = match format {
            None | Some("gptq") => Twist::OneLow,
            Some("gptq_v2") => Twist::None,
            Some(other) => {
                return Err(Error::unsupported(format!("gptq format {other}"), "allowed are gptq and gptq_v2"));
            }
        };
        if settings::flag(settings, "is_marlin_format")? == Some(true) {
            return Err(Error::unsupported("gptq format marlin", "allowed are gptq and gptq_v2"));
        }
        if let Some(rotation) = settings::text(settings, "rotation")? {
            return Err(Error::unsupported(format!("gptq with rotation {rotation}"), "allowed is none"));
        }
        let dynamic = settings.get("dynamic").and_then(Value::as_object).is_some_and(|d| !d.is_empty());
        let desc_act = settings::flag(settings, "desc_act")?.unwrap_or(false);
        let group = settings::group(settings, "group_size")?.unwrap_or(GroupSize::Columns(128));
        Ok(Self { bits, group, desc_act, zeros, dynamic })
    }
}

pub(super) fn find(settings: &GptqSettings, module: &mut StoredModule<'_>) -> Result<Option<StoredLayout>> {
    if module.get("qweight").is_none() {
        return Ok(None);
    }
    let ([rows, columns], bits) = (module.shape, settings.bits);
    let group = settings.group.columns(columns);
    let groups = columns.div_ceil(group);
    let (weight_words, zero_words) = (bits::words(columns, bits), bits::words(rows, bits));
    if settings.dynamic && module.need("qweight")?.shape != [weight_words, rows] {
        let what = format!("dynamic settings of module {} in quantization_config", module.name);
        return Err(Error::unsupported(what, "every module must have the same bits and group_size"));
    }
    let part = module.part("qweight", &["I32"], &[&[weight_words, rows]])?;
    let scale = Grid::of(module.numbers("scales", &[&[groups, rows]])?, Spread::transposed(rows));
    let zeros = module.part("qzeros", &["I32"], &[&[groups, zero_words]])?;
    let codes = Packed { part, bits, lane_stride: 1, word_stride: rows as usize, twist: Twist::None };
    let zeros = Packed { part: zeros, bits, lane_stride: zero_words as usize, word_stride: 1, twist: settings.zeros };
    let order = if module.get("g_idx").is_none() && (!settings.desc_act || groups == 1) {
        Order::Plain
    } else {
        let part = module.part("g_idx", &["I32"], &[&[columns]])?;
        if settings.desc_act && groups > 1 { Order::Told { part, unset: false } } else { Order::Checked(part) }
    };
    Ok(Some(StoredLayout::Affine(AffineCodes {
        codes: StoredCodes::Rows(codes),
        scale,
        unit: 1.0,
        offset: Offset::Zeros(zeros),
        group: settings.group,
        order,
    })))
}
