//! Adding, replacing and removing, and what must not be added.

use std::cell::Cell;

use pplx_embed::backend::Backend;
use pplx_embed::index::{AddMode, Index, IndexKind, Item, MAX_DATA, MAX_ID, SearchOptions, SegmentSizes};
use pplx_embed::maxsim::TokenVectors;
use pplx_embed::numbers::{RowData, RowFormat};
use pplx_embed::{Error, Watch};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

use super::corpus::{Corpus, HOMES, Home, KINDS, SMALL, found, options};
use crate::support::maxsim::Items;

fn ids(index: &Index) -> Vec<String> {
    (0..index.len()).map(|i| index.id(i).unwrap().to_owned()).collect()
}

fn remove(index: &mut Index, ids: &[&str]) -> usize {
    pollster::block_on(index.remove(ids)).unwrap()
}

fn wide() -> SearchOptions<'static> {
    SearchOptions { k: 1000, rescore: 1000, candidates: 1000, ..Default::default() }
}

#[test]
fn order_positions_and_data_after_adding_replacing_and_removing() {
    let vectors = Items::random(RowFormat::Int8, 4, &[1, 1, 1], 1);
    let tokens = TokenVectors { data: RowData::Int8 { codes: &vectors.codes, scales: None }, ..vectors.tokens() };
    let mut index = Home::Cpu.index(options(IndexKind::Dense, RowFormat::Int8, 4, SMALL));
    let item = |id, data| Item { id, data };
    let add =
        |index: &mut Index, items: &[Item<'_>], mode| pollster::block_on(index.add(items, tokens, None, mode, &()));
    add(&mut index, &[item("a", Some("{\"n\":1}")), item("b", None), item("ä", Some("null"))], AddMode::Add).unwrap();
    assert_eq!(ids(&index), ["a", "b", "ä"]);
    assert_eq!((index.data(0), index.data(1), index.data(2)), (Some("{\"n\":1}"), None, Some("null")));
    // b is replaced, and what replaces it is the last but one.
    add(&mut index, &[item("c", None), item("b", Some("[2]")), item("d", None)], AddMode::Upsert).unwrap();
    assert_eq!(ids(&index), ["a", "ä", "c", "b", "d"]);
    assert_eq!((index.position("b"), index.data(3), index.position("e")), (Some(3), Some("[2]"), None));
    assert_eq!(remove(&mut index, &["ä", "nobody", "d", "ä", "a"]), 3);
    assert_eq!(ids(&index), ["c", "b"]);
    assert_eq!(["a", "b", "c", "d"].map(|id| index.position(id)), [None, Some(1), Some(0), None]);
    assert_eq!(remove(&mut index, &[]), 0);
    assert_eq!(remove(&mut index, &["b", "c"]), 2);
    assert!(index.is_empty() && index.id(0).is_none());
    let one = Items::random(RowFormat::Int8, 4, &[1], 1);
    assert_eq!(found(&index, &one, SearchOptions::default()), [Vec::new()]);
}

#[test]
fn what_cannot_be_added_is_named_and_nothing_is_added() {
    let mut index = Home::Cpu.index(options(IndexKind::Late, RowFormat::Float16, 2, SMALL));
    let vectors = Items::random(RowFormat::Float32, 2, &[1, 2], 1);
    let corpus = Corpus { ids: vec!["a".into(), "b".into()], vectors };
    corpus.add_to(&mut index);
    let numbers = corpus.vectors.floats.clone();
    let tokens = |numbers: &'static [f32], offsets: &'static [u64], dim| TokenVectors {
        data: RowData::Float32(numbers),
        offsets,
        dim,
    };
    let good = tokens(Box::leak(numbers.into_boxed_slice()), &[0, 1, 3], 2);
    let (long, large) = ("x".repeat(MAX_ID + 1), format!("\"{}\"", "x".repeat(MAX_DATA)));
    let item = |id, data| Item { id, data };
    let two = [item("c", None), item("d", None)];
    type Case<'a> = (&'a [Item<'a>], TokenVectors<'a>, Option<&'a [(u32, u32)]>, &'a [&'a str]);
    let cases: [Case<'_>; 14] = [
        (&[item("c", None), item("a", None)], good, None, &["items[1].id", "\"a\"", "already"]),
        (&[item("c", None), item("c", None)], good, None, &["items[1].id", "\"c\"", "twice"]),
        (&[item("", None), item("c", None)], good, None, &["items[0].id", "0 bytes", "1 to 1024"]),
        (&[item("c", None), item(&long, None)], good, None, &["items[1].id", "1025 bytes"]),
        (&[item("c", Some("{")), item("d", None)], good, None, &["items[0].data", "JSON"]),
        (&[item("c", None), item("d", Some(&large))], good, None, &["items[1].data", "65538", "65536"]),
        (&two[..1], good, None, &["vectors", "2 items", "1"]),
        (&two, tokens(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0, 1, 2], 3), None, &["vectors.dim", "3", "2"]),
        (&two, tokens(&[1.0, 2.0, 3.0], &[0, 1, 2], 2), None, &["vectors.data", "3 numbers"]),
        (&two, tokens(&[1.0, 2.0, 3.0, f32::NAN], &[0, 1, 2], 2), None, &["vectors[1]", "NaN"]),
        // Finite, but not as float16.
        (&two, tokens(&[1.0, 2.0, 3.0, 70_000.0], &[0, 1, 2], 2), None, &["vectors[1]", "row 0"]),
        (&two, good, Some(&[(0, 1)]), &["ranges", "1", "3 rows"]),
        (&two, good, Some(&[(0, 1), (3, 2), (0, 0)]), &["ranges[1]", "(3, 2)"]),
        (&two, tokens(&[1.0, 2.0], &[0, 1, 0], 2), None, &["vectors.offsets[2]"]),
    ];
    for (items, vectors, ranges, words) in cases {
        let error = pollster::block_on(index.add(items, vectors, ranges, AddMode::Add, &())).err().unwrap();
        assert_eq!(error.code(), "invalid-argument", "{error}");
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "no {word:?} in {error}"));
        assert_eq!(ids(&index), ["a", "b"]);
    }
    let mut dense = Home::Cpu.index(options(IndexKind::Dense, RowFormat::Int8, 2, SMALL));
    let scaled = Items::random(RowFormat::Int8, 2, &[1, 1], 1);
    let refused = |error: Error, word: &str| {
        assert!(error.code() == "invalid-argument" && error.to_string().contains(word), "{error}")
    };
    refused(
        pollster::block_on(dense.add(&two, scaled.tokens(), None, AddMode::Add, &())).err().unwrap(),
        "vectors.scales",
    );
    let plain = TokenVectors { data: RowData::Int8 { codes: &scaled.codes, scales: None }, ..scaled.tokens() };
    let ranges = [(0, 0), (0, 0)];
    refused(pollster::block_on(dense.add(&two, plain, Some(&ranges), AddMode::Add, &())).err().unwrap(), "ranges");
    let huge = tokens(&[2e12, 0.0], &[0, 1], 2);
    let mut late = Home::Cpu.index(options(IndexKind::Late, RowFormat::Float32, 2, SMALL));
    refused(pollster::block_on(late.add(&two[..1], huge, None, AddMode::Add, &())).err().unwrap(), "vectors[0]");
}

#[test]
fn options_and_queries_that_cannot_be_are_named() {
    let refused = |error: Option<Error>, code: &str, words: &[&str]| {
        let error = error.unwrap();
        assert_eq!(error.code(), code, "{error}");
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "no {word:?} in {error}"));
    };
    let new = |options| Index::new(Backend::cpu(), options).err();
    refused(new(options(IndexKind::Dense, RowFormat::Int8, 0, SMALL)), "invalid-argument", &["dimensions", "0"]);
    refused(
        new(options(IndexKind::Late, RowFormat::Int8, 65_537, SMALL)),
        "invalid-argument",
        &["dimensions", "65537"],
    );
    refused(new(options(IndexKind::Dense, RowFormat::Float16, 4, SMALL)), "invalid-argument", &["dtype", "float16"]);
    for (kind, rows) in [(IndexKind::Dense, RowFormat::Int8), (IndexKind::Late, RowFormat::Binary)] {
        let mut wrong = options(kind, rows, 4, SMALL);
        wrong.first_pass = true;
        refused(new(wrong), "invalid-argument", &["firstPass"]);
    }
    let mut dense = Home::Cpu.index(options(IndexKind::Dense, RowFormat::Int8, 4, SMALL));
    Corpus::new("a", RowFormat::Float32, 4, &[1, 1], 1).add_to(&mut dense);
    let mut late = Home::Cpu.index(options(IndexKind::Late, RowFormat::Float32, 4, SMALL));
    Corpus::new("a", RowFormat::Float32, 4, &[1, 1], 1).add_to(&mut late);
    let search = |index: &Index, queries: &Items, options| {
        pollster::block_on(index.search(queries.tokens(), options, &())).err()
    };
    let query = |lengths: &[usize]| Items::random(RowFormat::Float32, 4, lengths, 2);
    let plain = SearchOptions::default();
    refused(search(&dense, &query(&[1]), SearchOptions { k: 0, ..plain }), "invalid-argument", &["k: 0"]);
    refused(search(&dense, &query(&[1, 2]), plain), "invalid-argument", &["queries[1]", "2 rows"]);
    refused(search(&dense, &query(&[1, 0]), plain), "invalid-argument", &["queries[1]", "0 rows"]);
    refused(search(&late, &query(&[3, 0]), plain), "invalid-argument", &["queries[1]", "0 rows"]);
    refused(
        search(&late, &Items::random(RowFormat::Float32, 5, &[1], 2), plain),
        "invalid-argument",
        &["queries.dim", "5", "4"],
    );
    refused(
        search(&late, &Items::new(RowFormat::Float32, 4, &[1], vec![0.0, 1.0, f32::INFINITY, 0.0]), plain),
        "invalid-argument",
        &["queries[0]"],
    );
    refused(
        search(&late, &Items::new(RowFormat::Float32, 4, &[1], vec![0.0, 1.0, 3e12, 0.0]), plain),
        "invalid-argument",
        &["queries"],
    );
    let explain = |index: &Index, id, lengths: &[usize]| {
        pollster::block_on(index.explain(query(lengths).tokens(), id, &())).err()
    };
    refused(explain(&dense, "a0", &[1]), "unsupported", &["explain"]);
    refused(explain(&late, "nobody", &[1]), "invalid-argument", &["id", "nobody"]);
    refused(explain(&late, "a0", &[1, 1]), "invalid-argument", &["queries", "2"]);
}

/// Cancels when it is asked for the `n`th time.
struct After(Cell<usize>);

impl Watch for After {
    fn cancelled(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

#[test]
fn an_add_that_is_cancelled_at_any_point_leaves_the_index_as_it_was() {
    for (home, (kind, rows, form)) in HOMES.into_iter().flat_map(|h| KINDS.map(|k| (h, k))) {
        let before = Corpus::new("a", form, 20, &[2, 1, 0, 3], 1);
        let more = Corpus::new("b", form, 20, &[3; 20], 2);
        let queries = Items::random(form, 20, &[1, 1], 3);
        let mut index = home.index(options(kind, rows, 20, SMALL));
        before.add_to(&mut index);
        let (expected, bytes) = (found(&index, &queries, wide()), index.bytes());
        for n in 1..30 {
            let watch = After(Cell::new(n));
            let vectors = super::corpus::tokens(&more.vectors, kind == IndexKind::Dense);
            let added = pollster::block_on(index.add(&more.items(), vectors, None, AddMode::Upsert, &watch));
            if added.is_ok() {
                assert!(n > 2, "{home:?} {kind:?} {rows:?}: asked {n} times");
                break;
            }
            assert_eq!(added.err().unwrap().code(), "aborted");
            assert_eq!(ids(&index), ids_of(&before));
            assert_eq!(found(&index, &queries, wide()), expected, "{home:?} {kind:?} {rows:?}, {n}");
            assert_eq!(index.bytes().device, bytes.device, "{home:?} {kind:?} {rows:?}, {n}");
        }
        assert_eq!(index.len(), 24);
    }
}

fn ids_of(corpus: &Corpus) -> Vec<String> {
    corpus.ids.clone()
}

#[test]
fn an_index_that_was_changed_finds_what_one_made_anew_does() {
    let change = prop_oneof![
        3 => prop::collection::vec((0usize..25, 0usize..6), 1..8).prop_map(|items| (true, items)),
        2 => prop::collection::vec((0usize..25, Just(0)), 1..15).prop_map(|items| (false, items)),
    ];
    let case = (
        prop::sample::select(KINDS.to_vec()),
        prop::sample::select(HOMES.to_vec()),
        prop::sample::select(vec![3, 16, 33]),
        prop::collection::vec(change, 1..12),
        any::<bool>(),
    );
    let config = Config { cases: Config::default().cases.min(64), failure_persistence: None, ..Config::default() };
    type Change = (bool, Vec<(usize, usize)>);
    let test = |((kind, rows, form), home, dim, changes, first_pass): (_, Home, usize, Vec<Change>, bool)| {
        let mut made = options(kind, rows, dim, SMALL);
        made.first_pass = first_pass && kind == IndexKind::Late && rows != RowFormat::Binary;
        let mut index = home.index(made.clone());
        let mut expected: Vec<(String, Items)> = Vec::new();
        for (seed, (adds, items)) in changes.into_iter().enumerate() {
            let mut distinct: Vec<(String, usize)> = Vec::new();
            for (id, length) in items {
                if distinct.iter().all(|(other, _)| *other != id.to_string()) {
                    distinct.push((id.to_string(), length));
                }
            }
            expected.retain(|(id, _)| distinct.iter().all(|(other, _)| other != id));
            if adds {
                let lengths: Vec<usize> = distinct.iter().map(|(_, length)| *length).collect();
                let vectors = Items::random(form, dim, &lengths, seed as u64);
                expected.extend(distinct.iter().enumerate().map(|(i, (id, _))| (id.clone(), vectors.choose(&[i]))));
                let ids = distinct.into_iter().map(|(id, _)| id).collect();
                Corpus { ids, vectors }.put(&mut index, AddMode::Upsert).unwrap();
            } else {
                remove(&mut index, &distinct.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
            }
        }
        let mut anew = home.index(made);
        for (id, vectors) in expected {
            Corpus { ids: vec![id], vectors }.add_to(&mut anew);
        }
        assert_eq!(ids(&index), ids(&anew));
        let queries = Items::random(form, dim, &[1, 1, 1], 99);
        assert_eq!(found(&index, &queries, wide()), found(&anew, &queries, wide()), "{home:?} {kind:?} {rows:?}");
        let [a, b] = [&index, &anew].map(|index| {
            let mut bytes = Vec::new();
            pollster::block_on(index.save(&mut bytes, &())).unwrap();
            bytes
        });
        assert_eq!(a, b);
        Ok(())
    };
    TestRunner::new(config).run(&case, test).unwrap();
}

#[test]
fn memory_does_not_grow_with_adding_and_removing() {
    for (home, (kind, rows, form)) in HOMES.into_iter().flat_map(|h| KINDS.map(|k| (h, k))) {
        let sizes = SegmentSizes { min_segment: 1024, max_segment: 8192, ..SegmentSizes::default() };
        let mut index = home.index(options(kind, rows, 16, sizes));
        let mut seen = Vec::new();
        for round in 0..40 {
            // Ten items stay, ten are new each time, and go two rounds later.
            Corpus::new("stay", form, 16, &[2; 10], round).put(&mut index, AddMode::Upsert).unwrap();
            Corpus::new(&format!("{round}-"), form, 16, &[3; 10], round).add_to(&mut index);
            let gone: Vec<String> = (0..10).map(|i| format!("{}-{i}", round.saturating_sub(2))).collect();
            if round >= 2 {
                assert_eq!(remove(&mut index, &gone.iter().map(String::as_str).collect::<Vec<_>>()), 10);
            }
            seen.push((index.bytes().host, index.bytes().device));
        }
        let most = |rounds: &[(u64, u64)]| rounds.iter().fold((0, 0), |m, b| (m.0.max(b.0), m.1.max(b.1)));
        // By then every id has two digits in its name, and segments were made anew a few times.
        let (early, late) = (most(&seen[..20]), most(&seen[20..]));
        assert!(late.0 <= early.0 && late.1 <= early.1, "{home:?} {kind:?} {rows:?}: {seen:?}");
        let all: Vec<String> = ids(&index);
        remove(&mut index, &all.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((index.bytes().host, index.bytes().device), (0, 0), "{home:?} {kind:?} {rows:?}");
    }
}
