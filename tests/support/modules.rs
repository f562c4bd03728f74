//! Sound modules of every quantized layout, in sizes of any kind, for fuzzing.

use pplx_embed::checkpoint::Tensor;
use serde_json::{Value, json};

/// What a module of a layout is made of: settings, tensors by suffix, and the metadata entry.
pub type Module = (Value, Vec<(&'static str, &'static str, Vec<u64>)>, Value);

/// A sound module `m` of shape [n, k] in layout `family`, with `bits`, `group` and some `flags` where it has such.
pub fn module(family: u8, [n, k]: [u64; 2], bits: u64, group: u64, flags: u8) -> Module {
    let flag = |i: u8| flags >> i & 1 == 1;
    let number = if flag(0) { "F16" } else { "F32" };
    let words = |codes: u64| (codes * bits).div_ceil(32);
    let (groups, whole) = (k.div_ceil(group), flag(1));
    let method = |name: &str, more: Value| {
        let mut settings = json!({"quant_method": name, "bits": bits, "group_size": group, "desc_act": whole});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"quantization_config": settings, "dtype": if flag(0) { "float16" } else { "float32" }})
    };
    let none = json!({});
    match family {
        0 => {
            let config = json!({"quantization": {"group_size": group, "bits": bits}});
            let grid = vec![n, k / group];
            (
                config,
                vec![("weight", "U32", vec![n, words(k)]), ("scales", number, grid.clone()), ("biases", number, grid)],
                none,
            )
        }
        1 => {
            let weights =
                json!({"num_bits": bits, "strategy": if whole { "channel" } else { "group" }, "group_size": group});
            let groups = if whole { 1 } else { groups };
            let mut tensors =
                vec![("weight_packed", "I32", vec![n, words(k)]), ("weight_scale", number, vec![n, groups])];
            if flag(2) {
                tensors.push(("weight_zero_point", "I32", vec![words(n), groups]));
            }
            if flag(3) {
                tensors.push(("weight_g_idx", "I32", vec![k]));
            }
            (method("compressed-tensors", json!({"config_groups": {"g": {"weights": weights}}})), tensors, none)
        }
        2 => {
            let kind = if flag(2) { "float" } else { "int" };
            let weights = json!({"num_bits": 8, "type": kind, "strategy": "block", "block_structure": [group, group]});
            let grid = vec![n.div_ceil(group), groups];
            let dtype = if flag(2) { "F8_E4M3" } else { "I8" };
            let mut tensors = vec![("weight", dtype, vec![n, k]), ("weight_scale", number, grid.clone())];
            if flag(3) && !flag(2) {
                tensors.push(("weight_zero_point", "I8", grid));
            }
            (method("compressed-tensors", json!({"config_groups": {"g": {"weights": weights}}})), tensors, none)
        }
        3 => {
            let format = if flag(2) { "gptq" } else { "gptq_v2" };
            let zeros = ("qzeros", "I32", vec![groups, words(n)]);
            let tensors = vec![
                ("qweight", "I32", vec![words(k), n]),
                zeros,
                ("scales", number, vec![groups, n]),
                ("g_idx", "I32", vec![k]),
            ];
            (method("gptq", json!({"checkpoint_format": format})), tensors, none)
        }
        4 => {
            let groups = k / group.min(k);
            let tensors = vec![
                ("qweight", "I32", vec![k, n / 8]),
                ("qzeros", "I32", vec![groups, n / 8]),
                ("scales", number, vec![groups, n]),
            ];
            (method("awq", json!({"bits": 4})), tensors, none)
        }
        5 => {
            let tensors =
                vec![("weight", "F8_E4M3", vec![n, k]), ("weight_scale_inv", number, vec![n.div_ceil(group), groups])];
            (method("fp8", json!({"weight_block_size": [group, group]})), tensors, none)
        }
        6 => {
            let factors = (n * k).div_ceil(32);
            let mut tensors = vec![
                ("weight", "U8", vec![(n * k).div_ceil(2), 1]),
                ("weight.absmax", if whole { "U8" } else { "F32" }, vec![factors]),
                ("weight.quant_map", "F32", vec![16]),
            ];
            if whole {
                tensors.extend([
                    ("weight.nested_absmax", "F32", vec![factors.div_ceil(256)]),
                    ("weight.nested_quant_map", "F32", vec![256]),
                ]);
            }
            (method("bitsandbytes", json!({})), tensors, none)
        }
        7 => (method("bitsandbytes", json!({})), vec![("weight", "I8", vec![n, k]), ("SCB", "F32", vec![n])], none),
        _ => {
            let grid = vec![n / group.min(n), k / group.min(k)];
            let mut tensors = vec![("_weight_qdata", "I8", vec![n, k]), ("_weight_scale", number, grid.clone())];
            if whole {
                tensors.push(("_weight_zero_point", if flag(2) { "I8" } else { number }, grid));
            }
            let size = [group.min(n), group.min(k)];
            (method("torchao", json!({})), tensors, json!({"_type": "Int8Tensor", "_data": {"block_size": size}}))
        }
    }
}

/// Bytes of one number of a dtype of [`module`].
pub fn width(dtype: &str) -> u64 {
    match dtype {
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" => 2,
        "I64" => 8,
        _ => 1,
    }
}

/// Bytes that are random where anything may come, and mostly numbers and groups where those are wanted.
pub fn contents(tensor: &Tensor, group: u64, mut seed: u64, wild: bool) -> Vec<u8> {
    let (order, mixed) = (tensor.name.ends_with("g_idx"), seed.is_multiple_of(4));
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32
    };
    (0..tensor.bytes / width(&tensor.dtype))
        .flat_map(|i| {
            let random = next();
            match tensor.dtype.as_str() {
                "F32" if !wild => (random as f32 / 1e9).to_le_bytes().to_vec(),
                "F16" | "BF16" if !wild => (random as u16 & 0x3fff).to_le_bytes().to_vec(),
                "I32" if order && mixed => (random % (i as u32 + 1).min(3)).to_le_bytes().to_vec(),
                "I32" if order && !wild => ((i / group) as u32).to_le_bytes().to_vec(),
                "F8_E4M3" if !wild => vec![random as u8 & 0xf7],
                dtype => u64::from(random).wrapping_mul(0x1_0000_0001).to_le_bytes()[..width(dtype) as usize].to_vec(),
            }
        })
        .collect()
}
