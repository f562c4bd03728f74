//! Foreign bytes as a saved index: whatever they are, they open or are a typed error, and what opens can be saved and
//! searched. `PROPTEST_CASES` sets how many.

use pplx_embed::backend::Backend;
use pplx_embed::index::{AddMode, Index, IndexKind, IndexOptions, Item, OpenOptions, SearchOptions, SegmentSizes};
use pplx_embed::maxsim::TokenVectors;
use pplx_embed::numbers::{RowData, RowFormat};
use proptest::prelude::*;

/// `PROPTEST_CASES` cases of each, 4,096 unless told.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4096);
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

const LIMITS: SegmentSizes = SegmentSizes { min_segment: 64, max_segment: 256, staging: 64, scores: 3, block: 60 };

/// A saved index of each kind, of 3 dimensions.
fn saved(which: usize) -> Vec<u8> {
    let (kind, rows, first_pass) = [
        (IndexKind::Dense, RowFormat::Int8, false),
        (IndexKind::Dense, RowFormat::Binary, false),
        (IndexKind::Dense, RowFormat::Float32, false),
        (IndexKind::Late, RowFormat::Float16, true),
        (IndexKind::Late, RowFormat::Int8, true),
        (IndexKind::Late, RowFormat::Binary, false),
    ][which];
    let options = IndexOptions { rows, first_pass, sizes: LIMITS, ..IndexOptions::new(kind, 3) };
    let mut index = Index::new(Backend::cpu(), options).unwrap();
    let items: Vec<Item<'_>> =
        ["a", "bc", "ö", "d", "e"].map(|id| Item { id, data: (id < "c").then_some("[1, \"x\"]") }).into();
    let numbers: Vec<f32> = (0..18).map(|i| (i as f32 - 8.0) / 7.0).collect();
    let tokens = TokenVectors { data: RowData::Float32(&numbers), offsets: &[0, 1, 3, 3, 5, 6], dim: 3 };
    let ranges: Vec<(u32, u32)> = (0..6).map(|i| (i, i + 2)).collect();
    let ranges = (kind == IndexKind::Late).then_some(&ranges[..]);
    pollster::block_on(index.add(&items, tokens, ranges, AddMode::Add, &())).unwrap();
    let mut bytes = Vec::new();
    pollster::block_on(index.save(&mut bytes, &())).unwrap();
    bytes
}

/// CRC-32, bit by bit.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    (!bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))).to_le_bytes()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

/// Makes the checksums right again, as far as the lengths lead to them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut from = 0usize;
    let mut length = number(&bytes, 8).map(|header| 12 + header);
    while let Some(end) = length.and_then(|n| from.checked_add(n)).filter(|end| end + 4 <= bytes.len()) {
        let sum = crc(&bytes[from..end]);
        bytes[end..end + 4].copy_from_slice(&sum);
        from = end + 4;
        length = number(&bytes, from + 4).map(|payload| 8 + payload);
    }
    bytes
}

/// Opens it both ways. What opens has the items it says, is searched without harm, and is the same when saved again.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    for recover in [false, true] {
        let options = OpenOptions { recover, sizes: LIMITS, ..Default::default() };
        let index = match pollster::block_on(Index::open(Backend::cpu(), bytes, options, &())) {
            Ok(index) => index,
            Err(error) => {
                prop_assert!(matches!(error.code(), "integrity" | "unsupported"), "{:?}", error);
                continue;
            }
        };
        for position in 0..index.len() {
            prop_assert_eq!(index.position(index.id(position).unwrap()), Some(position));
        }
        let dim = index.options().dim;
        if dim <= 1000 {
            let numbers = vec![0.5; dim];
            let query = TokenVectors { data: RowData::Float32(&numbers), offsets: &[0, 1], dim };
            let search = SearchOptions { k: 100, ..Default::default() };
            let hits = pollster::block_on(index.search(query, search, &())).unwrap().remove(0);
            prop_assert!(hits.iter().all(|hit| hit.score.is_finite() && hit.position < index.len()));
        }
        let mut again = Vec::new();
        pollster::block_on(index.save(&mut again, &())).unwrap();
        let opened = pollster::block_on(Index::open(Backend::cpu(), &again[..], options, &())).unwrap();
        prop_assert_eq!(opened.len(), index.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..120), start in any::<bool>()) {
        let start: &[u8] = if start { b"PPLXIDX\x01" } else { b"" };
        check(&[start, &bytes].concat())?;
        check(&sealed([start, &bytes].concat()))?;
    }

    #[test]
    fn a_saved_index_with_some_bytes_changed_cut_out_or_doubled(
        which in 0..6usize, edits in prop::collection::vec((0..1000usize, any::<u8>(), 0..4u8, 1..20usize), 1..5), seal in any::<bool>(),
    ) {
        let mut bytes = saved(which);
        for (at, byte, kind, length) in edits {
            let at = at % bytes.len().max(1);
            let end = (at + length).min(bytes.len());
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => bytes.extend_from_within(at..end),
                _ => bytes.insert(at, byte),
            }
        }
        check(&if seal { sealed(bytes) } else { bytes })?;
    }

    #[test]
    fn headers_with_other_values(
        which in 0..6usize,
        kind in prop::sample::select(vec!["dense", "late", "x"]),
        rows in prop::sample::select(vec!["int8", "binary", "float32", "float16", ""]),
        dim in prop_oneof![0..10u64, Just(65_536), Just(65_537), any::<u64>()],
        first_pass in any::<bool>(),
        items in any::<u64>(),
    ) {
        let bytes = saved(which);
        let blocks = &bytes[12 + number(&bytes, 8).unwrap() + 4..];
        let header = format!(r#"{{"kind":"{kind}","rows":"{rows}","dim":{dim},"model":"m","firstPass":{first_pass},"items":{items}}}"#);
        let start = [b"PPLXIDX\x01", &(header.len() as u32).to_le_bytes()[..], header.as_bytes(), &[0; 4], blocks].concat();
        check(&sealed(start))?;
    }

    #[test]
    fn tables_with_other_numbers(which in 0..6usize, edits in prop::collection::vec((0..12usize, prop_oneof![0..9u32, Just(u32::MAX), any::<u32>()]), 1..4)) {
        let mut bytes = saved(which);
        let table = 12 + number(&bytes, 8).unwrap() + 4;
        for (field, value) in edits {
            let at = table + field * 4;
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        check(&sealed(bytes))?;
    }
}
