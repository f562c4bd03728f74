//! Foreign bytes: whatever they are, the parsers give a value or a typed error. `PROPTEST_CASES` sets how many.

use pplx_embed::checkpoint::{Header, ShardIndex};
use pplx_embed::hub::headers::{ContentRange, join, next_link, retry_after};
use pplx_embed::hub::{ByteStream, Cursor, Manifest, Reader};
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

impl ByteStream for Bytes {
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
    pollster::block_on(Header::read(&mut Cursor::Stream(Bytes::reader(bytes, step, known))))
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

/// A JSON text with some of its bytes changed, cut out or doubled.
fn damaged(json: &'static str) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((0..json.len(), any::<u8>(), 0..4u8, 1..20usize), 0..6).prop_map(move |edits| {
        let mut bytes = json.as_bytes().to_vec();
        for (at, byte, kind, length) in edits {
            let (at, length) = (at.min(bytes.len().saturating_sub(1)), length);
            let end = (at + length).min(bytes.len());
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                _ => bytes.insert(at.min(bytes.len()), b"0123456789-[]{}\",:"[byte as usize % 18]),
            }
        }
        bytes
    })
}

const CONFIG: &str = include_str!("../fixtures/checkpoints/f32-gqa2/config.json");
const INDEX: &str = include_str!("../fixtures/checkpoints/bf16-gqa4-sharded/model.safetensors.index.json");
const TOKENIZER: &str = include_str!("../fixtures/checkpoints/f32-odd/tokenizer.json");

/// `PROPTEST_CASES` cases of each, 4,096 unless told.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4096);
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

/// What fuzzing found, once each. `decoder-is-not-json`: the tokenizers crate panics in its decoder's parser. `merge-*`: it
/// panics where it puts merges together.
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
        match ShardIndex::parse(&json) {
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
                prop_assert!(config.norm_eps > 0.0 && config.rope.theta > 1.0);
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

    /// Whatever a server writes, nothing panics, and what is understood is consistent.
    #[test]
    fn foreign_text_is_understood_or_refused(text in "[ -~]{0,40}|\\PC{0,20}|bytes [0-9]{0,22}-[0-9]{0,22}/[0-9*]{0,22}|<[ -~]{0,20}>; ?rel=\"?[a-z ]{0,9}") {
        if let Some(ContentRange { bytes: Some((first, last)), total }) = ContentRange::parse(&text) {
            prop_assert!(first <= last && total.is_none_or(|total| last < total));
        }
        if let Some(link) = next_link(&text) {
            prop_assert!(text.contains(link));
        }
        let _ = retry_after(Some(&text), Some(&text));
        if let Some(url) = join("https://hub.example/a", &text) {
            prop_assert!(url.to_ascii_lowercase().starts_with("http"), "{}", url);
        }
    }

    #[test]
    fn foreign_manifests_are_understood_or_refused(text in "\\PC{0,60}|[\\[\\]{}\",:a-z0-9]{0,60}") {
        let mut manifest = Manifest::default();
        if manifest.add_page(text.as_bytes()).is_ok() {
            prop_assert!(manifest.files.values().all(|e| e.size.is_some() && e.digest.is_some()));
        }
        if let Ok(Some(commit)) = Manifest::parse_commit(text.as_bytes()) {
            prop_assert_eq!(commit.len(), 40);
        }
    }

    /// A page of the Hub with one byte changed, or cut: the files are safe names with a size and a digest.
    #[test]
    fn broken_manifests_are_understood_or_refused(at in 0_usize..500, byte in any::<u8>(), cut in any::<bool>()) {
        let oid = "0".repeat(64);
        let lfs = json!({ "oid": oid, "size": 4, "pointerSize": 134 });
        let page = json!([
            { "type": "file", "oid": &oid[..40], "size": 7, "path": "1_Pooling/config.json" },
            { "type": "file", "oid": &oid[..40], "size": 4, "path": "model.safetensors", "lfs": lfs },
        ]);
        let mut page = page.to_string().into_bytes();
        let at = at % page.len();
        if cut { page.truncate(at) } else { page[at] = byte }
        let mut manifest = Manifest::default();
        if manifest.add_page(&page).is_ok() {
            for (file, entry) in &manifest.files {
                prop_assert!(!file.starts_with('/') && !file.split('/').any(|part| part == ".." || part.is_empty()));
                prop_assert!(entry.size.is_some() && entry.digest.is_some());
            }
        }
    }
}
