//! Foreign bytes: whatever they are, the parsers give a value or a typed error. `PROPTEST_CASES` sets how many.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/modules.rs"]
mod modules;

use std::collections::BTreeMap;

use modules::{contents, module, width};
use pplx_embed::checkpoint::formats::{Kept, Rows, Scheme};
use pplx_embed::checkpoint::{Header, Index, Tensor};
use pplx_embed::hub::{Reader, Stream};
use pplx_embed::model::{Config, Tokenizer};
use pplx_embed::{Error, Result};
use proptest::prelude::*;
use proptest::sample::select;
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// A file in memory, handed out in pieces of `step` bytes.
struct Bytes(Vec<u8>, usize, Option<u64>);

impl Bytes {
    fn reader(bytes: &[u8], step: usize, known: bool) -> Reader<Self> {
        Reader::new("file", Self(bytes.to_vec(), step, known.then_some(bytes.len() as u64)))
    }
}

impl Stream for Bytes {
    fn size(&self) -> Option<u64> {
        self.2
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let rest = self.0.split_off(self.1.min(self.0.len()));
        let chunk = std::mem::replace(&mut self.0, rest);
        Ok((!chunk.is_empty()).then_some(chunk))
    }
}

fn file(header: &Value, data: usize) -> Vec<u8> {
    let json = header.to_string();
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat()
}

fn read(bytes: &[u8], step: usize, known: bool) -> Result<Header> {
    pollster::block_on(Header::read(&mut Bytes::reader(bytes, step, known)))
}

/// Tensors that may overlap, leave gaps, overflow or be right; small numbers, so that they often nearly are.
fn headers() -> impl Strategy<Value = (Value, usize)> {
    let number = prop_oneof![8 => 0..24u64, 1 => Just(u64::MAX), 1 => Just(1 << 62), 1 => any::<u64>()];
    let dtype = select(&["F32", "F16", "BF16", "U8", "I64", "F4", "F8_E4M3", "BOOL", "Q9", "f32", ""][..]);
    let tensor = (dtype, prop::collection::vec(0..4u64, 0..3), number.clone(), number, any::<bool>());
    (prop::collection::vec(tensor, 0..4), 0..64usize, any::<bool>()).prop_map(|(tensors, data, in_order)| {
        let (mut header, mut end) = (json!({}), 0u64);
        for (i, (dtype, shape, from, to, odd)) in tensors.into_iter().enumerate() {
            let size = shape.iter().product::<u64>() * if dtype == "F32" { 4 } else { 2 };
            let offsets = if in_order && !odd { [end, end + size] } else { [from, to] };
            end = offsets[1].min(1 << 40);
            header[format!("t{i}")] = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
        }
        let data = if in_order { end.min(1 << 16) as usize } else { data };
        (header, data)
    })
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

/// A JSON text so damaged.
fn damaged(json: &'static str) -> impl Strategy<Value = Vec<u8>> {
    damage().prop_map(|edits| edited(json.as_bytes().to_vec(), edits))
}

const CONFIG: &str = include_str!("fixtures/checkpoints/f32-gqa2/config.json");
const INDEX: &str = include_str!("fixtures/checkpoints/bf16-gqa4-sharded/model.safetensors.index.json");
const TOKENIZER: &str = include_str!("fixtures/checkpoints/f32-odd/tokenizer.json");

/// `PROPTEST_CASES` cases of each, 4,096 unless told.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4096);
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

/// What fuzzing found, once each. `decoder-is-not-json`: the tokenizers crate panics in its decoder's parser.
#[test]
fn every_input_that_once_did_harm_is_a_typed_error() {
    for entry in std::fs::read_dir("tests/corpus/tokenizer").unwrap() {
        let json = std::fs::read(entry.unwrap().path()).unwrap();
        assert_eq!(Tokenizer::parse(&json, 1009, 16).err().unwrap().code(), "invalid-tokenizer");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_header_is_accepted_exactly_if_the_safetensors_crate_accepts_it((header, data) in headers(), step in 1..40usize) {
        let bytes = file(&header, data);
        let (ours, theirs) = (read(&bytes, step, true), SafeTensors::deserialize(&bytes));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}: {:?}, theirs {:?}", header, ours, theirs.err());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            prop_assert_eq!(ours.data_bytes as usize, data);
            prop_assert_eq!(ours.tensors.len(), theirs.len());
            for tensor in &ours.tensors {
                let view = theirs.tensor(&tensor.name).unwrap();
                prop_assert_eq!(tensor.bytes as usize, view.data().len());
                prop_assert_eq!(&tensor.shape, &view.shape().iter().map(|&n| n as u64).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_file_of_any_bytes_is_a_header_or_a_typed_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200), short in any::<bool>(), step in 1..40usize, known in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if short && bytes.len() > 8 {
            let length = (bytes.len() - 8) as u64;
            bytes[..8].copy_from_slice(&length.to_le_bytes());
        }
        if let Err(error) = read(&bytes, step, known) {
            let typed = matches!(error, Error::InvalidCheckpoint { .. } | Error::Io { .. });
            prop_assert!(typed, "{:?}", error);
        }
    }

    #[test]
    fn a_damaged_index_is_an_index_or_a_typed_error(json in damaged(INDEX)) {
        match Index::parse(&json) {
            Ok(index) => prop_assert!(index.tensors().count() > 0),
            Err(error) => prop_assert_eq!(error.code(), "invalid-checkpoint"),
        }
    }

    #[test]
    fn a_damaged_config_is_a_sane_config_or_a_typed_error(json in damaged(CONFIG)) {
        match Config::parse(&json) {
            Ok(config) => {
                prop_assert!(config.hidden % 4 == 0 && config.intermediate % 4 == 0);
                prop_assert!(config.head_dim % 4 == 0 && (4..=256).contains(&config.head_dim));
                prop_assert!(config.query_heads % config.key_heads == 0);
                prop_assert!(config.norm_eps > 0.0 && config.rope_theta > 1.0);
            }
            Err(error) => prop_assert!(matches!(error.code(), "invalid-config" | "unsupported"), "{:?}", error),
        }
    }

    #[test]
    fn a_damaged_tokenizer_works_or_is_a_typed_error(json in damaged(TOKENIZER), text in ".{0,40}") {
        match Tokenizer::parse(&json, 1009, 16) {
            Ok(tokenizer) => match tokenizer.encode(&text) {
                Ok(tokens) => prop_assert!(tokens.ids.len() <= 16 && tokens.ids.iter().all(|&id| id < 1009)),
                Err(error) => prop_assert_eq!(error.code(), "invalid-tokenizer"),
            },
            Err(error) => prop_assert_eq!(error.code(), "invalid-tokenizer"),
        }
    }

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
        let (mut whole, mut some) = (Rows::default(), Rows::default());
        let decoded = matrix.decode(&parts, 0..shape[0], &mut whole);
        prop_assert!(whole.values.capacity() + 8 * whole.groups.capacity() <= 64 * input + 4096, "{} from {}", whole.values.capacity(), input);
        if let Err(error) = decoded {
            prop_assert!(matches!(error.code(), "invalid-checkpoint" | "unsupported"), "{:?}", error);
            return Ok(());
        }
        let (row, groups) = match matrix.kept() {
            Kept::Dense(number) => (shape[1] as usize * number.bytes(), 0),
            Kept::Affine { bits, group } => {
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
