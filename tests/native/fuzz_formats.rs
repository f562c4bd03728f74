//! Random quantization settings, headers and tensors: whatever a checkpoint holds, reading it gives weights or a typed
//! error, and takes no more memory than a small multiple of its size.

use std::collections::BTreeMap;

use pplx_embed::checkpoint::Tensor;
use pplx_embed::checkpoint::{MatrixRows, Scheme};
use pplx_embed::numbers::MatrixFormat;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::support::modules::{contents, module, width};

/// `PROPTEST_CASES` cases of each, 4,096 unless told.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4096);
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

/// Edits of a text: where, with what, how, how long.
fn damage() -> impl Strategy<Value = Vec<(usize, u8, u8, usize)>> {
    prop::collection::vec((0..1usize << 20, any::<u8>(), 0..4u8, 1..20usize), 0..6)
}

/// A text with some of its bytes changed, cut out or doubled.
fn edited(mut bytes: Vec<u8>, edits: Vec<(usize, u8, u8, usize)>) -> Vec<u8> {
    for (at, byte, kind, length) in edits {
        let at = at % bytes.len().max(1);
        let end = (at + length).min(bytes.len());
        match kind {
            0 if at < bytes.len() => bytes[at] = byte,
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            _ => bytes.insert(at.min(bytes.len()), b"0123456789-[]{}\",:"[byte as usize % 18]),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn settings_that_are_nearly_right_are_a_scheme_or_a_typed_error(
        family in 0..9u8, bits in 0..9u64, flags in any::<u8>(), edits in damage(), value in any::<i64>(), field in 0..8usize,
    ) {
        let (mut config, ..) = module(family, [8, 64], bits, 32, flags);
        let key = if family == 0 { "quantization" } else { "quantization_config" };
        let field = ["bits", "group_size", "quant_method", "mode", "version", "weight_block_size", "config_groups", "m"][field];
        if flags & 16 != 0 {
            config[key][field] = match flags >> 5 {
                0 => json!(value),
                1 => json!([value, value]),
                2 => json!({"weights": {"num_bits": value, "group_size": value}}),
                3 => json!({"group_size": value, "bits": value}),
                4 => json!(value as f64 / 3.0),
                5 => json!(null),
                6 => json!(value > 0),
                _ => json!(value.to_string()),
            };
        }
        let json = edited(config.to_string().into_bytes(), edits);
        let Ok(config) = serde_json::from_slice::<Value>(&json) else { return Ok(()) };
        if let Err(error) = Scheme::parse(&config) {
            prop_assert!(matches!(error.code(), "invalid-config" | "unsupported"), "{}: {:?}", config, error);
        }
    }

    #[test]
    fn a_module_of_any_tensors_and_bytes_is_decoded_or_a_typed_error(
        (family, bits, flags) in (0..9u8, select(&[2u64, 3, 4, 5, 6, 8][..]), any::<u8>()),
        shape in (1..40u64, select(&[1u64, 8][..]), 1..20u64, select(&[1u64, 8, 32, 64, 128][..])).prop_map(|(n, high, k, wide)| [n * high, k * wide]),
        group in prop_oneof![4 => select(&[32u64, 64, 128][..]), 1 => 1..40u64],
        changes in prop::collection::vec((any::<u8>(), 0..6u8, any::<u64>()), 0..2),
        (seed, wild, state) in (any::<u64>(), prop::bool::weighted(0.3), damage()),
        asked in prop_oneof![8 => Just([0, 0]), 1 => [0..50u64, 0..700u64], 1 => any::<[u64; 2]>()],
        rows in (any::<u64>(), any::<u64>()),
    ) {
        let (config, mut made, entry) = module(family, shape, bits, group, flags);
        let mut json = json!({"quant_type": "nf4", "blocksize": 32, "shape": shape, "nested_blocksize": 256, "nested_offset": 0.5});
        json["dtype"] = config["dtype"].clone();
        let json = edited(json.to_string().into_bytes(), if wild { state } else { Vec::new() });
        if family == 6 {
            made.push(("weight.quant_state.bitsandbytes__nf4", "U8", vec![json.len() as u64]));
        }
        for (at, kind, value) in changes {
            let at = at as usize % made.len();
            let (_, dtype, axes) = &mut made[at];
            match kind {
                0 => drop(made.remove(at)),
                1 => *dtype = ["F32", "I32", "U8", "I8", "BF16", "F8_E4M3", "U32", "I64"][value as usize % 8],
                2 => axes.push(value % 3),
                3 => drop(axes.pop()),
                _ => axes.iter_mut().for_each(|axis| *axis = if kind == 4 { *axis / 2 } else { *axis + value % 3 }),
            }
        }
        let tensors: BTreeMap<String, Tensor> = made.iter().map(|(suffix, dtype, shape)| {
            let name = format!("m.{suffix}");
            let bytes = shape.iter().product::<u64>() * width(dtype);
            (name.clone(), Tensor { name, file: "f".into(), dtype: (*dtype).into(), shape: shape.clone(), bytes })
        }).collect();
        let metadata = BTreeMap::from([("m.weight".to_owned(), entry.to_string())]);
        let shape = if asked == [0, 0] { shape } else { asked };
        let metadata = if family == 8 { metadata } else { BTreeMap::new() };
        let scheme = match Scheme::parse(&config) {
            Ok(scheme) => scheme.unwrap_or_default(),
            Err(error) => {
                prop_assert!(matches!(error.code(), "invalid-config" | "unsupported"), "{:?}", error);
                return Ok(());
            }
        };
        let matrix = match scheme.find("m", shape, &tensors, &metadata) {
            Ok(matrix) => matrix,
            Err(error) => {
                prop_assert!(matches!(error.code(), "invalid-checkpoint" | "unsupported"), "{:?}", error);
                return Ok(());
            }
        };
        let data: Vec<Vec<u8>> = matrix.tensors().iter().map(|name| {
            let tensor = &tensors[name];
            let state = name.contains("quant_state") && json.len() as u64 == tensor.bytes;
            if state { json.clone() } else { contents(tensor, group, seed, wild) }
        }).collect();
        let parts: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let input: usize = data.iter().map(Vec::len).sum();
        let (from, to) = (rows.0 % shape[0], rows.1 % shape[0] + 1);
        let (from, to) = (from.min(to), from.max(to));
        let (mut whole, mut some) = (MatrixRows::default(), MatrixRows::default());
        let decoded = matrix.decode(&parts, 0..shape[0], &mut whole);
        prop_assert!(whole.values.capacity() + 8 * whole.groups.capacity() <= 64 * input + 4096, "{} from {}", whole.values.capacity(), input);
        if let Err(error) = decoded {
            prop_assert!(matches!(error.code(), "invalid-checkpoint" | "unsupported"), "{:?}", error);
            return Ok(());
        }
        let format = matrix.format();
        let (row, groups) = match format {
            MatrixFormat::F32 => (shape[1] as usize * 4, 0),
            MatrixFormat::F16 | MatrixFormat::Bf16 => (shape[1] as usize * 2, 0),
            MatrixFormat::Q8 { group } | MatrixFormat::Q4 { group } => {
                let bits = format.bits();
                prop_assert!(bits == 8 || bits == 4 && shape[1] % 8 == 0, "{} bits", bits);
                prop_assert!(u64::from(group) == shape[1] || group % 4 == 0, "groups of {}", group);
                (4 * (shape[1] as usize * bits as usize).div_ceil(32), (shape[1] as usize).div_ceil(group as usize))
            }
        };
        prop_assert_eq!((whole.values.len(), whole.groups.len()), (shape[0] as usize * row, shape[0] as usize * groups));
        prop_assert!(whole.groups.iter().flatten().all(|n| n.is_finite()));
        prop_assert!(matrix.decode(&parts, from..to, &mut some).is_ok());
        let (from, to) = (from as usize, to as usize);
        prop_assert!(some.values == whole.values[from * row..to * row]);
        prop_assert_eq!(&some.groups[..], &whole.groups[from * groups..to * groups]);
    }
}
