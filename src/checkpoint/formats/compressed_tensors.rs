//! compressed-tensors (vllm-project/compressed-tensors), what llm-compressor writes.
//!
//! `pack-quantized`: `weight_packed` I32 `[N, ceil(K * bits / 32)]`, each row a dense stream of codes, `weight_scale`,
//! `weight_shape` I64 `[2]`, and where zero points are not 0 `weight_zero_point`, I32 packed along the rows:
//! `[ceil(N * bits / 32), groups]`. Codes and zero points are stored `2^(bits - 1)` too high, so that
//! `w = (code - zero) * scale` as they are. `int-quantized`, `naive-quantized`: `weight` I8, `weight_zero_point` I8.
//! `float-quantized`: `weight` F8_E4M3.
//!
//! Scales are one for the matrix, one a row, one a group of columns or one a block, as the config group that fits
//! says. Which config group a module is in is told by its tensors rather than by the patterns of `targets`.

use serde_json::Value;

use super::StoredLayout;
use super::affine::{AffineCodes, Offset, Order};
use super::bits::{self, Packed, StoredCodes, Twist};
use super::fp8;
use super::grid::{Cell, Grid, Spread};
use super::module::StoredModule;
use super::settings::{self, GroupSize};
use crate::error::{Error, Result};
use crate::numbers::Float;

const FORMATS: [&str; 6] =
    ["pack-quantized", "int-quantized", "naive-quantized", "float-quantized", "dense", "mixed-precision"];

/// `quantization_config` of `config.json`.
#[derive(Clone, Debug)]
pub(super) struct CompressedTensorsSettings {
    groups: Vec<WeightArgs>,
}

/// `weights` of a config group.
#[derive(Clone, Debug, PartialEq)]
struct WeightArgs {
    bits: u32,
    float: bool,
    sharing: Sharing,
}

/// Which weights share a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sharing {
    Tensor,
    Row,
    Group(u64),
    Block([u64; 2]),
}

impl CompressedTensorsSettings {
    pub(super) fn parse(settings: &Value) -> Result<Self> {
        known_format(settings)?;
        for field in ["transform_config", "sparsity_config"] {
            let given = settings.get(field).and_then(Value::as_object).filter(|object| !object.is_empty());
            if given.is_some_and(|o| o.get("format").and_then(Value::as_str) != Some("dense")) {
                let what = format!("compressed-tensors with {field}");
                return Err(Error::unsupported(what, "weights must be quantized and nothing else"));
            }
        }
        let mut groups = Vec::new();
        let given = settings.get("config_groups").and_then(Value::as_object);
        for group in given.ok_or_else(|| settings::invalid("config_groups", "is not an object"))?.values() {
            known_format(group)?;
            let Some(weights) = group.get("weights").filter(|w| !w.is_null()) else { continue };
            let weights = WeightArgs::parse(weights)?;
            if !groups.contains(&weights) {
                groups.push(weights);
            }
        }
        Ok(Self { groups })
    }
}

fn known_format(settings: &Value) -> Result<()> {
    match settings::text(settings, "format")?.filter(|f| !FORMATS.contains(f)) {
        None => Ok(()),
        Some(other) => {
            let allowed = format!("allowed are {}", FORMATS.join(", "));
            Err(Error::unsupported(format!("compressed-tensors format {other}"), allowed))
        }
    }
}

impl WeightArgs {
    fn parse(weights: &Value) -> Result<Self> {
        let bits = settings::whole(weights, "num_bits")?.unwrap_or(8);
        let float = match settings::text(weights, "type")? {
            None | Some("int") => false,
            Some("float") => true,
            Some(other) => return Err(settings::invalid("type", format!("is {other}, allowed are int and float"))),
        };
        let bits = match bits {
            8 => 8,
            2..=7 if !float => bits as u32,
            _ => {
                let what = format!("compressed-tensors {} with num_bits {bits}", if float { "float" } else { "int" });
                return Err(Error::unsupported(what, "allowed are 2 to 8 for int and 8 for float"));
            }
        };
        let group = settings::group(weights, "group_size")?;
        let sharing = match (settings::text(weights, "strategy")?, group) {
            (Some("tensor"), _) | (None, None) => Sharing::Tensor,
            (Some("channel"), _) | (None, Some(GroupSize::Row)) => Sharing::Row,
            (Some("group") | None, Some(GroupSize::Columns(columns))) => Sharing::Group(columns),
            (Some("block"), _) => match settings::block(weights, "block_structure")? {
                Some(block) => Sharing::Block(block),
                None => return Err(settings::invalid("block_structure", "is missing")),
            },
            (Some("group"), _) => return Err(settings::invalid("group_size", "is missing or -1, strategy is group")),
            (Some(other), _) => {
                let what = format!("compressed-tensors strategy {other}");
                return Err(Error::unsupported(what, "allowed are tensor, channel, group and block"));
            }
        };
        Ok(Self { bits, float, sharing })
    }
}

impl Sharing {
    /// How scales of `shape` lie, and the columns of a group; `None` if these are not such scales.
    fn spread(self, [rows, columns]: [u64; 2], shape: &[u64]) -> Option<(Spread, GroupSize)> {
        match self {
            Self::Tensor => matches!(shape, [] | [1] | [1, 1]).then_some((Spread::ONE, GroupSize::Row)),
            Self::Row => (*shape == [rows, 1] || *shape == [rows]).then_some((Spread::ROWS, GroupSize::Row)),
            Self::Group(each) => {
                let groups = columns.div_ceil(each);
                (*shape == [rows, groups]).then_some((Spread::groups(groups), GroupSize::Columns(each)))
            }
            Self::Block([high, wide]) => {
                let (high, groups) = (high.min(rows), columns.div_ceil(wide));
                let fits = *shape == [rows.div_ceil(high), groups];
                fits.then_some((Spread::blocks(high, groups), GroupSize::Columns(wide)))
            }
        }
    }
}

pub(super) fn find(
    settings: &CompressedTensorsSettings,
    module: &mut StoredModule<'_>,
) -> Result<Option<StoredLayout>> {
    if let Some(packed) = module.get("weight_packed") {
        if packed.dtype == "U8" {
            let what = format!("tensor {}.weight_packed of dtype U8 (nvfp4 or mxfp4)", module.name);
            return Err(Error::unsupported(what, "allowed is I32"));
        }
        return pack_quantized(settings, module).map(Some);
    }
    let dtype = module.get("weight").map_or("", |tensor| &tensor.dtype);
    match dtype {
        "I8" => int_quantized(settings, module).map(Some),
        "F8_E4M3" => float_quantized(settings, module).map(Some),
        _ if Float::parse(dtype).is_some() && module.get("weight_scale").is_some() => {
            let what = format!("tensor {}.weight of dtype {dtype} beside a weight_scale", module.name);
            Err(Error::unsupported(what, "the checkpoint must be saved compressed"))
        }
        _ => Ok(None),
    }
}

/// The only config group that fits the module's tensors.
fn fitting(
    settings: &CompressedTensorsSettings,
    module: &StoredModule<'_>,
    fits: impl Fn(&WeightArgs) -> bool,
) -> Result<(WeightArgs, Spread, GroupSize)> {
    let shape = &module.need("weight_scale")?.shape;
    let fitting = settings.groups.iter().filter(|weights| fits(weights));
    let mut fitting = fitting.filter_map(|w| w.sharing.spread(module.shape, shape).map(|(s, g)| (w.clone(), s, g)));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let message = format!("shape {shape:?} and the weight's fit none of config_groups {:?}", settings.groups);
            Err(module.wrong("weight_scale", message))
        }
        (Some(_), Some(_)) => {
            let what = format!("module {}, whose tensors fit several of config_groups", module.name);
            Err(Error::unsupported(what, "one must fit"))
        }
    }
}

fn pack_quantized(settings: &CompressedTensorsSettings, module: &mut StoredModule<'_>) -> Result<StoredLayout> {
    let [rows, columns] = module.shape;
    let shape = &module.need("weight_packed")?.shape;
    // Versions before 0.10 left the rest of a word empty where the width does not divide 32; they need more words.
    let (weights, spread, group) = fitting(settings, module, |weights| {
        let dense = 32 % weights.bits == 0 || columns % 32 == 0;
        !weights.float && dense && *shape == [rows, bits::words(columns, weights.bits)]
    })?;
    let (bits, words) = (weights.bits, bits::words(columns, weights.bits));
    let part = module.part("weight_packed", &["I32"], &[&[rows, words]])?;
    let codes = Packed { part, bits, lane_stride: words as usize, word_stride: 1, twist: Twist::None };
    let scale_shape = module.need("weight_scale")?.shape.clone();
    let scale = Grid::of(module.numbers("weight_scale", &[&scale_shape])?, spread);
    let offset = match module.get("weight_zero_point").map(|tensor| tensor.dtype.as_str()) {
        None => Offset::Middle(1 << (bits - 1)),
        Some("I8") => signed_zeros(module, &scale_shape, spread, 1 << (bits - 1))?,
        Some(_) => {
            let groups = columns.div_ceil(group.columns(columns));
            let part = module.part("weight_zero_point", &["I32"], &[&[bits::words(rows, bits), groups]])?;
            Offset::Zeros(Packed { part, bits, lane_stride: 1, word_stride: groups as usize, twist: Twist::None })
        }
    };
    let order = match module.get("weight_g_idx") {
        None => Order::Plain,
        Some(_) => Order::Told { part: module.part("weight_g_idx", &["I32"], &[&[columns]])?, unset: true },
    };
    Ok(StoredLayout::Affine(AffineCodes { codes: StoredCodes::Rows(codes), scale, unit: 1.0, offset, group, order }))
}

fn int_quantized(settings: &CompressedTensorsSettings, module: &mut StoredModule<'_>) -> Result<StoredLayout> {
    let [rows, columns] = module.shape;
    let (_, spread, group) = fitting(settings, module, |weights| !weights.float)?;
    let part = module.part("weight", &["I8"], &[&[rows, columns]])?;
    let scale_shape = module.need("weight_scale")?.shape.clone();
    let scale = Grid::of(module.numbers("weight_scale", &[&scale_shape])?, spread);
    let offset = match module.get("weight_zero_point") {
        None => Offset::Middle(128),
        Some(_) => signed_zeros(module, &scale_shape, spread, 128)?,
    };
    Ok(StoredLayout::Affine(AffineCodes {
        codes: StoredCodes::Signed(part),
        scale,
        unit: 1.0,
        offset,
        group,
        order: Order::Plain,
    }))
}

/// Zero points that are not packed: one for each scale.
fn signed_zeros(module: &mut StoredModule<'_>, shape: &[u64], spread: Spread, middle: u8) -> Result<Offset> {
    let part = module.part("weight_zero_point", &["I8"], &[shape])?;
    Ok(Offset::Points(Grid { part, cell: Cell::I8, spread }, middle))
}

fn float_quantized(settings: &CompressedTensorsSettings, module: &mut StoredModule<'_>) -> Result<StoredLayout> {
    let (weights, ..) = fitting(settings, module, |weights| weights.float)?;
    let block = match weights.sharing {
        Sharing::Group(columns) => [1, columns],
        Sharing::Block(block) => block,
        Sharing::Tensor | Sharing::Row => module.shape,
    };
    fp8::layout(module, "weight_scale", block)
}
