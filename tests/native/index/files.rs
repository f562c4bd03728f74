//! Saved indexes: whole, cut, changed and hostile.

use std::cell::RefCell;

use pplx_embed::backend::Backend;
use pplx_embed::index::{
    AddMode, Index, IndexKind, IndexOptions, IndexSink, IndexSource, Item, OpenOptions, SearchOptions, SegmentSizes,
};
use pplx_embed::numbers::RowFormat;
use pplx_embed::{Error, Progress, Result, Watch};

use super::corpus::{Corpus, HOMES, Home, KINDS, SMALL, found, options, tokens};
use crate::support::maxsim::Items;

/// Every kind with every row type, and a first pass.
fn kinds() -> Vec<(IndexOptions, RowFormat)> {
    let mut kinds: Vec<(IndexOptions, RowFormat)> =
        KINDS.map(|(kind, rows, form)| (options(kind, rows, 13, SMALL), form)).into();
    let passes = IndexOptions { first_pass: true, ..options(IndexKind::Late, RowFormat::Int8, 13, SMALL) };
    kinds.push((IndexOptions { model: Some("a/model".into()), ..passes }, RowFormat::Int8));
    kinds
}

/// An index of a few items with and without data, ranges and rows.
fn filled(home: Home, made: IndexOptions, form: RowFormat, items: usize) -> Index {
    let dense = made.kind == IndexKind::Dense;
    let mut index = home.index(made);
    let lengths: Vec<usize> = (0..items).map(|i| [2, 0, 1, 3][i % 4]).collect();
    let corpus = Corpus::new("item ", form, 13, &lengths, 1);
    let half = items / 2;
    let (first, second) =
        (corpus.choose(&(0..half).collect::<Vec<_>>()), corpus.choose(&(half..items).collect::<Vec<_>>()));
    let data: Vec<String> = (0..half).map(|i| format!("{{\"näme\": [{i}]}}")).collect();
    let with_data: Vec<Item<'_>> = first
        .ids
        .iter()
        .zip(&data)
        .enumerate()
        .map(|(i, (id, d))| Item { id, data: (i % 3 > 0).then_some(d.as_str()) })
        .collect();
    let rows = lengths[..half].iter().sum::<usize>() as u32;
    let ranges: Vec<(u32, u32)> = (0..rows).map(|r| (r, r + r % 3)).collect();
    let ranges = (!dense).then_some(&ranges[..]);
    pollster::block_on(index.add(&with_data, tokens(&first.vectors, dense), ranges, AddMode::Add, &())).unwrap();
    second.add_to(&mut index);
    index
}

fn save(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    pollster::block_on(index.save(&mut bytes, &())).unwrap();
    bytes
}

fn open_at(home: Home, bytes: &[u8], recover: bool) -> Result<Index> {
    let options = OpenOptions { memory: home.memory(), recover, sizes: SMALL };
    pollster::block_on(Index::open(home.backend(), bytes, options, &()))
}

fn open(bytes: &[u8], recover: bool) -> Result<Index> {
    open_at(Home::Cpu, bytes, recover)
}

/// An item's id, data and ranges.
type Known = (String, Option<String>, Option<Vec<(u32, u32)>>);

/// Everything that is known of the first `count` items.
fn known(index: &Index, count: usize) -> Vec<Known> {
    let item = |i: usize| {
        let id = index.id(i).unwrap();
        assert_eq!(index.position(id), Some(i));
        (id.to_owned(), index.data(i).map(String::from), index.ranges(id).map(<[_]>::to_vec))
    };
    (0..count).map(item).collect()
}

/// Where the blocks of a file end, and how many items there are up to there; the header's end is the first.
fn blocks(bytes: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut items) = (12 + number(8) + 4, 0);
    let mut ends = vec![(at, 0)];
    while number(at) == 1 {
        items += number(at + 8);
        at += 8 + number(at + 4) + 4;
        ends.push((at, items));
    }
    assert_eq!(at + 20, bytes.len(), "the last block holds one number");
    ends
}

#[test]
fn a_saved_index_opens_with_the_same_items_and_searches_with_the_same_bits() {
    for (home, (made, form)) in HOMES.into_iter().flat_map(|h| kinds().into_iter().map(move |k| (h, k))) {
        let index = filled(home, made.clone(), form, 30);
        let bytes = save(&index);
        assert_eq!(bytes, save(&index), "{home:?} {made:?}: saved twice");
        let opened = open_at(home, &bytes, false).unwrap();
        assert_eq!(known(&opened, 30), known(&index, 30), "{home:?} {made:?}");
        let (was, is) = (index.options(), opened.options());
        assert_eq!(
            (was.kind, was.rows, was.dim, was.first_pass, &was.model),
            (is.kind, is.rows, is.dim, is.first_pass, &is.model)
        );
        let queries = Items::random(form, 13, &[1, 1, 1], 9);
        let few = SearchOptions { k: 9, candidates: 12, ..Default::default() };
        assert_eq!(found(&opened, &queries, few), found(&index, &queries, few), "{home:?} {made:?}");
        assert_eq!(save(&opened), bytes, "{home:?} {made:?}: saved again");
        // Where rows were makes no difference to the file.
        assert_eq!(save(&filled(Home::Cpu, made, form, 30)), bytes);
    }
}

#[test]
fn a_file_that_is_cut_at_any_byte_says_so_and_what_was_whole_is_recovered() {
    for (made, form) in kinds() {
        let index = filled(Home::Cpu, made, form, 16);
        let bytes = save(&index);
        let ends = blocks(&bytes);
        assert!(ends.len() > 4);
        for cut in 0..bytes.len() {
            let error = open(&bytes[..cut], false).err().unwrap();
            assert_eq!(error.code(), "integrity", "{cut}: {error}");
            let Some((_, whole)) = ends.iter().rev().find(|(end, _)| *end <= cut) else {
                assert_eq!(open(&bytes[..cut], true).err().unwrap().code(), "integrity", "{cut}");
                continue;
            };
            let words = [format!("{whole} of 16 items are whole"), "recover".into()];
            words.iter().for_each(|word| assert!(error.to_string().contains(word), "{cut}: {error}"));
            let recovered = open(&bytes[..cut], true).unwrap();
            assert_eq!(recovered.len(), *whole, "{cut}");
            assert_eq!(known(&recovered, *whole), known(&index, *whole));
            // What is recovered is an index like any other.
            if ends.iter().any(|(end, _)| *end == cut) {
                let mut first = open(&bytes, false).unwrap();
                let rest: Vec<String> = (*whole..16).map(|i| index.id(i).unwrap().to_owned()).collect();
                pollster::block_on(first.remove(&rest.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
                assert_eq!(save(&recovered), save(&first), "{cut}");
            }
        }
    }
}

#[test]
fn a_byte_that_changed_anywhere_is_noticed() {
    for (made, form) in kinds() {
        let index = filled(Home::Cpu, made, form, 12);
        let bytes = save(&index);
        let ends = blocks(&bytes);
        for (at, flip) in (0..bytes.len()).flat_map(|at| [1u8, 0x80, 0xff].map(|flip| (at, flip))) {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let error = open(&changed, false).err().unwrap();
            let code = if at == 7 { "unsupported" } else { "integrity" };
            assert_eq!(error.code(), code, "byte {at}: {error}");
            match ends.iter().rev().find(|(end, _)| *end <= at) {
                None => assert!(open(&changed, true).is_err(), "byte {at}"),
                Some((_, whole)) => {
                    let recovered = open(&changed, true).unwrap();
                    assert_eq!(known(&recovered, recovered.len()), known(&index, *whole), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn bytes_after_the_end_another_version_and_other_files_are_refused() {
    let bytes = save(&filled(Home::Cpu, options(IndexKind::Dense, RowFormat::Int8, 13, SMALL), RowFormat::Int8, 5));
    let refused = |bytes: &[u8], code: &str, words: &[&str]| {
        let error = open(bytes, false).err().unwrap();
        assert_eq!(error.code(), code, "{error}");
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "no {word:?} in {error}"));
    };
    refused(&[&bytes[..], b"x"].concat(), "integrity", &["1 bytes after", "5 of 5"]);
    refused(&[&bytes[..], &bytes[..]].concat(), "integrity", &["after its last block"]);
    assert_eq!(open(&[&bytes[..], &bytes[..]].concat(), true).unwrap().len(), 5);
    refused(b"", "integrity", &["0 bytes", "no saved index"]);
    refused(b"PPLXIDX\x02\0\0\0\0", "unsupported", &["version 2", "1"]);
    refused(&std::fs::read("Cargo.toml").unwrap(), "integrity", &["does not start"]);
    let mut long = bytes.clone();
    long[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    refused(&long, "integrity", &["4294967295"]);
}

/// A file put together by hand: any header, any blocks, with right checksums.
pub(crate) fn forged(header: &str, blocks: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [b"PPLXIDX\x01", &(header.len() as u32).to_le_bytes()[..], header.as_bytes()].concat();
    bytes.extend(crc(&bytes).to_le_bytes());
    for (tag, payload) in blocks {
        let block = [&tag.to_le_bytes()[..], &(payload.len() as u32).to_le_bytes()[..], payload].concat();
        bytes.extend(&block);
        bytes.extend(crc(&block).to_le_bytes());
    }
    bytes
}

/// CRC-32 as ISO 3309 and zlib define it, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

/// The payload of items: id, data, rows and flags of each, and what comes after.
fn payload(items: &[(&str, &str, u32, u32)], rest: &[u8]) -> Vec<u8> {
    let mut bytes = (items.len() as u32).to_le_bytes().to_vec();
    for (id, data, rows, flags) in items {
        [id.len() as u32, data.len() as u32, *rows, *flags].iter().for_each(|n| bytes.extend(n.to_le_bytes()));
    }
    items.iter().for_each(|(id, data, ..)| bytes.extend([id.as_bytes(), data.as_bytes()].concat()));
    [&bytes[..], rest].concat()
}

#[test]
fn the_format_is_as_it_is_documented() {
    assert_eq!(crc(b"123456789"), 0xcbf4_3926);
    let header = r#"{"kind":"dense","rows":"int8","dim":3,"model":null,"firstPass":false,"items":2}"#;
    let items = payload(&[("a", "{}", 1, 1), ("ö", "", 2, 0)], &[1, 2, 3, 4, 5, 6, 255, 254, 253]);
    let bytes = forged(header, &[(1, items), (2, 2u64.to_le_bytes().into())]);
    let index = open(&bytes, false).unwrap();
    assert_eq!((index.id(0), index.data(0), index.id(1), index.data(1)), (Some("a"), Some("{}"), Some("ö"), None));
    assert_eq!(save(&index), bytes);
    let query = Items { codes: vec![-1, -2, -3], ..Items::random(RowFormat::Int8, 3, &[1], 1) };
    let hits = super::corpus::search(&index, &query, SearchOptions::default());
    assert_eq!((hits[0][0].position, hits[0][0].chunk, hits[0][0].score), (1, 1, 1.0));

    let header = r#"{"kind":"late","rows":"int8","dim":9,"model":"m","firstPass":true,"items":1}"#;
    let codes = [1i8, -1, 1, 1, 1, 1, 1, 1, 1].map(|c| c as u8);
    let rest =
        [&5u32.to_le_bytes()[..], &9u32.to_le_bytes(), &codes, &0.5f32.to_le_bytes(), &[0b1011_1111, 0x80]].concat();
    let bytes = forged(header, &[(1, payload(&[("x", "", 1, 2)], &rest)), (2, 1u64.to_le_bytes().into())]);
    let index = open(&bytes, false).unwrap();
    assert_eq!(index.ranges("x"), Some(&[(5, 9)][..]));
    assert_eq!(index.options().model.as_deref(), Some("m"));
    assert_eq!(save(&index), bytes);
    let query = Items::new(RowFormat::Float32, 9, &[1], vec![1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]);
    assert_eq!(super::corpus::search(&index, &query, SearchOptions::default())[0][0].score, 1.0);
}

#[test]
fn a_file_with_right_checksums_and_wrong_contents_is_refused_by_name() {
    let good = r#"{"kind":"dense","rows":"int8","dim":2,"model":null,"firstPass":false,"items":1}"#;
    let late = r#"{"kind":"late","rows":"float32","dim":1,"model":null,"firstPass":false,"items":1}"#;
    let end = (2, 1u64.to_le_bytes().to_vec());
    let items = |items: &[(&str, &str, u32, u32)], rest: &[u8]| vec![(1, payload(items, rest)), end.clone()];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (forged("{}", &[]), "kind"),
        (forged("[", &[]), "header"),
        (forged(&good.replace("\"dim\":2", "\"dim\":0"), &[]), "dimensions"),
        (forged(&good.replace("\"dim\":2", "\"dim\":99999999999"), &[]), "dimensions"),
        (forged(&good.replace("int8", "float16"), &[]), "float16"),
        (forged(&good.replace("int8", "int9"), &[]), "int9"),
        (forged(&good.replace("false", "true"), &[]), "firstPass"),
        (forged(good, &[(3, vec![0; 8])]), "tag is 3"),
        (forged(good, &[(2, vec![0; 7])]), "length 7"),
        (forged(good, &[(2, 7u64.to_le_bytes().into())]), "7 items"),
        (forged(good, &[(1, vec![1, 0])]), "shorter"),
        (forged(good, &[(1, u32::MAX.to_le_bytes().into())]), "shorter"),
        (forged(good, &items(&[("a", "", u32::MAX, 0)], &[1, 2])), "shorter"),
        (forged(good, &items(&[("a", "", 1, 0)], &[1])), "shorter"),
        (forged(good, &items(&[("a", "", 1, 0)], &[1, 2, 3])), "1 bytes more"),
        (forged(good, &items(&[("a", "x", 1, 0)], &[1, 2])), "flags 0"),
        (forged(good, &items(&[("a", "", 1, 2)], &[0; 10])), "flags 2"),
        (forged(good, &items(&[("a", "", 1, 4)], &[1, 2])), "flags 4"),
        (forged(good, &items(&[("a", "}", 1, 1)], &[1, 2])), "items[0].data"),
        (forged(good, &items(&[("", "", 1, 0)], &[1, 2])), "items[0].id"),
        (forged(good, &items(&[("a", "", 1, 0), ("a", "", 1, 0)], &[1, 2, 3, 4])), "twice"),
        (
            forged(
                good,
                &[items(&[("a", "", 1, 0)], &[1, 2])[0].clone(), items(&[("a", "", 1, 0)], &[1, 2])[0].clone()],
            ),
            "already",
        ),
        (forged(late, &items(&[("a", "", 1, 0)], &f32::NAN.to_le_bytes())), "row 0"),
        (forged(late, &items(&[("a", "", 1, 0)], &1e13f32.to_le_bytes())), "row 0"),
        (forged(late, &items(&[("a", "", 1, 2)], &[9, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0])), "ends before it starts"),
        (forged(good, &[(1, [&payload(&[("a", "", 1, 0)], &[])[..20], &[0xff, 1, 2]].concat())]), "UTF-8"),
    ];
    for (bytes, word) in cases {
        let error = open(&bytes, false).err().unwrap();
        assert_eq!(error.code(), "integrity", "{error}");
        assert!(error.to_string().contains(word), "no {word:?} in {error}");
    }
}

/// Keeps what it is told, and cancels at the `n`th item or block.
struct Notes(RefCell<Vec<Progress>>, usize);

impl Watch for Notes {
    fn cancelled(&self) -> bool {
        self.0.borrow().len() >= self.1
    }

    fn progress(&self, progress: Progress) {
        self.0.borrow_mut().push(progress);
    }
}

#[test]
fn saving_and_opening_tell_how_far_they_are_and_can_be_cancelled() {
    let index = filled(Home::Cpu, options(IndexKind::Dense, RowFormat::Int8, 13, SMALL), RowFormat::Int8, 30);
    let notes = Notes(RefCell::default(), usize::MAX);
    let mut bytes = Vec::new();
    pollster::block_on(index.save(&mut bytes, &notes)).unwrap();
    let last = |notes: &Notes| notes.0.borrow().last().cloned();
    assert_eq!(last(&notes), Some(Progress::Index { done: 30, total: 30 }));
    assert!(notes.0.borrow().len() > 4);
    let (whole, sizes) = (OpenOptions { sizes: SMALL, ..Default::default() }, blocks(&bytes).len() - 1);
    let notes = Notes(RefCell::default(), usize::MAX);
    pollster::block_on(Index::open(Backend::cpu(), &bytes[..], whole, &notes)).unwrap();
    assert_eq!((last(&notes), notes.0.borrow().len()), (Some(Progress::Index { done: 30, total: 30 }), sizes));
    let cut = &bytes[..bytes.len() - 1];
    pollster::block_on(Index::open(Backend::cpu(), cut, OpenOptions { recover: true, ..whole }, &notes)).unwrap();
    assert!(matches!(last(&notes), Some(Progress::Notice { message }) if message.contains("30 of 30 items")));
    for n in 0..3 {
        let notes = || Notes(RefCell::default(), n);
        assert_eq!(pollster::block_on(index.save(&mut Vec::new(), &notes())).err().unwrap().code(), "aborted");
        assert_eq!(
            pollster::block_on(Index::open(Backend::cpu(), &bytes[..], whole, &notes())).err().unwrap().code(),
            "aborted"
        );
    }
}

/// A place for bytes that is full at some point.
struct Full(usize);

impl IndexSink for Full {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(Error::StorageFull { message: "index".into() })?;
        Ok(())
    }
}

/// A file that fails at some point.
struct Failing(Vec<u8>, u64);

impl IndexSource for Failing {
    fn name(&self) -> &str {
        "failing"
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        if at >= self.1 {
            return Err(Error::Io { file: "failing".into(), message: "is gone".into() });
        }
        self.0[..].read_at(at, length).await
    }
}

#[test]
fn what_a_place_for_bytes_says_is_passed_on_and_is_nothing_to_recover_from() {
    let index = filled(Home::Cpu, options(IndexKind::Dense, RowFormat::Int8, 13, SMALL), RowFormat::Int8, 30);
    let bytes = save(&index);
    for room in [0, 100, bytes.len() - 1] {
        assert_eq!(pollster::block_on(index.save(&mut Full(room), &())).err().unwrap().code(), "storage-full");
    }
    for until in [0, 1, 300] {
        let options = OpenOptions { recover: true, sizes: SMALL, ..Default::default() };
        let error = pollster::block_on(Index::open(Backend::cpu(), &Failing(bytes.clone(), until), options, &()))
            .err()
            .unwrap();
        assert_eq!(error.code(), "io");
    }
}

#[test]
fn a_file_on_disk_is_replaced_all_at_once_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("pplx-embed-index-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("some.index");
    let index = filled(Home::Cpu, options(IndexKind::Dense, RowFormat::Int8, 13, SMALL), RowFormat::Int8, 30);
    pollster::block_on(index.save_file(&path, &())).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), save(&index));
    // A save that is cancelled leaves the one before, and nothing beside it.
    let more = filled(Home::Cpu, options(IndexKind::Dense, RowFormat::Int8, 13, SMALL), RowFormat::Int8, 60);
    let cancelled = pollster::block_on(more.save_file(&path, &Notes(RefCell::default(), 2)));
    assert_eq!(cancelled.err().unwrap().code(), "aborted");
    assert_eq!(std::fs::read(&path).unwrap(), save(&index));
    pollster::block_on(more.save_file(&path, &())).unwrap();
    let open = |path: &std::path::Path| {
        pollster::block_on(Index::open_file(
            Backend::cpu(),
            path,
            OpenOptions { sizes: SegmentSizes::default(), ..Default::default() },
            &(),
        ))
    };
    assert_eq!(open(&path).unwrap().len(), 60);
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["some.index"]);
    let missing = open(&folder.join("none")).err().unwrap();
    assert!(missing.code() == "not-found" && missing.to_string().contains("none"), "{missing}");
    let nowhere = pollster::block_on(index.save_file(&folder.join("no/such"), &())).err().unwrap();
    assert!(nowhere.code() == "io" && nowhere.to_string().contains("no/such"), "{nowhere}");
    std::fs::write(&path, &save(&index)[..200]).unwrap();
    let broken = open(&path).err().unwrap();
    assert!(broken.code() == "integrity" && broken.to_string().contains("some.index"), "{broken}");
    std::fs::remove_dir_all(&folder).unwrap();
}
