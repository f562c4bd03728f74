//! Cosines.

use pplx_embed::backend::Backend;
use pplx_embed::index::{IndexKind, SearchOptions, SegmentSizes};
use pplx_embed::numbers::RowFormat;

use super::corpus::{Corpus, HOMES, Home, ON_DEVICE, SMALL, agree, by_cosine, coded, found, options, search};
use crate::support::maxsim::Items;

const CHUNKS: [usize; 12] = [1, 1, 3, 0, 1, 7, 1, 1, 2, 1, 0, 5];

fn ones(queries: usize) -> Vec<usize> {
    vec![1; queries]
}

#[test]
fn the_best_cosines_in_order_for_every_row_type_and_dimension() {
    let small = HOMES.into_iter().flat_map(|home| [1, 3, 8, 17, 128].map(|dim| (home, dim)));
    for (home, dim) in small.chain([(Home::Resident, 1024)]) {
        let sizes = if dim < 100 { SMALL } else { SegmentSizes::default() };
        let corpus = Corpus::new("a", RowFormat::Int8, dim, &CHUNKS.repeat(4), 1);
        let queries = Items::random(RowFormat::Int8, dim, &ones(11), 2);
        let expected = by_cosine(&queries, &corpus.vectors, |v| v);
        for rows in [RowFormat::Int8, RowFormat::Float32, RowFormat::Binary] {
            let mut index = home.index(options(IndexKind::Dense, rows, dim, sizes));
            corpus.add_to(&mut index);
            // Everything is a candidate of the Hamming distance here.
            for k in [1, 5, 100] {
                let hits = search(&index, &queries, SearchOptions { k, ..Default::default() });
                agree(&hits, &expected, k, 3e-6, &format!("{home:?} {rows:?} {dim}, {k}"));
            }
        }
    }
}

#[test]
fn int8_cosines_are_exact() {
    for home in HOMES {
        let corpus = Corpus::new("a", RowFormat::Int8, 37, &CHUNKS, 1);
        let queries = Items::random(RowFormat::Int8, 37, &ones(3), 2);
        let mut index = home.index(options(IndexKind::Dense, RowFormat::Int8, 37, SMALL));
        corpus.add_to(&mut index);
        let hits = search(&index, &queries, SearchOptions::default());
        for (hits, expected) in hits.iter().zip(by_cosine(&queries, &corpus.vectors, |v| v)) {
            for (hit, expected) in hits.iter().zip(expected) {
                let (got, want) = ((hit.position, hit.score, hit.chunk), (expected.0, expected.1 as f32, expected.2));
                assert_eq!((got.0, got.2), (want.0, want.2), "{home:?}");
                assert!(got.1.to_bits().abs_diff(want.1.to_bits()) <= 1, "{home:?}: {got:?}, not {want:?}");
            }
        }
    }
}

#[test]
fn vectors_of_other_forms_become_codes_by_the_largest_number_of_each() {
    for form in [RowFormat::Float32, RowFormat::Float16] {
        let corpus = Corpus::new("a", form, 19, &CHUNKS, 1);
        let queries = Items::random(form, 19, &ones(4), 2);
        let mut index = Home::Cpu.index(options(IndexKind::Dense, RowFormat::Int8, 19, SMALL));
        corpus.add_to(&mut index);
        let expected = by_cosine(&queries, &corpus.vectors, |v| coded(&v));
        agree(&search(&index, &queries, SearchOptions::default()), &expected, 10, 2e-4, &format!("{form:?}"));
    }
    // Bits are +1 and -1.
    for rows in [RowFormat::Int8, RowFormat::Float32] {
        let corpus = Corpus::new("a", RowFormat::Binary, 19, &CHUNKS, 1);
        let mut index = Home::Cpu.index(options(IndexKind::Dense, rows, 19, SMALL));
        corpus.add_to(&mut index);
        let queries = Items::random(RowFormat::Binary, 19, &ones(4), 2);
        let expected = by_cosine(&queries, &corpus.vectors, |v| v);
        agree(&search(&index, &queries, SearchOptions::default()), &expected, 10, 1e-6, "bits");
    }
}

#[test]
fn float32_vectors_of_any_length_have_their_cosines() {
    let mut corpus = Corpus::new("a", RowFormat::Float32, 12, &ones(9), 1);
    for (i, vector) in corpus.vectors.floats.chunks_mut(12).enumerate() {
        let factor = [1e-37, 1e30, 1.0, 1e-20, 3e38, 1e-30, 1e10, 0.0, 7.0][i];
        vector.iter_mut().for_each(|v| *v *= factor);
    }
    let queries = Items::random(RowFormat::Float32, 12, &ones(3), 2);
    let expected = by_cosine(&queries, &corpus.vectors, |v| v);
    for home in HOMES {
        let mut index = home.index(options(IndexKind::Dense, RowFormat::Float32, 12, SMALL));
        corpus.add_to(&mut index);
        agree(&search(&index, &queries, SearchOptions::default()), &expected, 10, 1e-6, &format!("{home:?}"));
    }
}

#[test]
fn a_vector_of_zeros_has_cosine_0_and_an_item_without_rows_is_no_hit() {
    for (home, rows) in
        HOMES.into_iter().flat_map(|h| [RowFormat::Int8, RowFormat::Float32, RowFormat::Binary].map(|r| (h, r)))
    {
        let mut corpus = Corpus::new("a", RowFormat::Float32, 3, &[1, 1, 0, 1], 1);
        corpus.vectors =
            Items::new(RowFormat::Float32, 3, &[1, 1, 0, 1], vec![-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let mut index = home.index(options(IndexKind::Dense, rows, 3, SMALL));
        corpus.add_to(&mut index);
        let queries = Items::new(RowFormat::Float32, 3, &[1, 1], vec![2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let got: Vec<Vec<(usize, f32)>> = search(&index, &queries, SearchOptions::default())
            .iter()
            .map(|hits| hits.iter().map(|h| (h.position, h.score)).collect())
            .collect();
        assert_eq!(got[0], [(3, 1.0), (1, 0.0), (0, -1.0)], "{home:?} {rows:?}");
        // Every score is the same: in the order of adding.
        assert_eq!(got[1], [(0, 0.0), (1, 0.0), (3, 0.0)], "{home:?} {rows:?}");
        assert!(got.iter().flatten().all(|(_, score)| score.to_bits() != (-0.0f32).to_bits()));
    }
}

#[test]
fn equal_scores_are_in_the_order_of_adding_and_the_first_of_equal_chunks_counts() {
    for (home, rows) in
        HOMES.into_iter().flat_map(|h| [RowFormat::Int8, RowFormat::Float32, RowFormat::Binary].map(|r| (h, r)))
    {
        let one = Corpus::new("a", RowFormat::Int8, 16, &[1], 1);
        let same = Corpus { ids: (0..40).map(|i| format!("{i}")).collect(), vectors: one.vectors.choose(&[0; 40]) };
        let mut index = home.index(options(IndexKind::Dense, rows, 16, SMALL));
        same.add_to(&mut index);
        let thrice = Items { offsets: vec![0, 3], ..one.vectors.choose(&[0; 3]) };
        Corpus { ids: vec!["thrice".into()], vectors: thrice }.add_to(&mut index);
        let hits = search(&index, &one.vectors, SearchOptions { k: 41, ..Default::default() });
        let places: Vec<usize> = hits[0].iter().map(|h| h.position).collect();
        assert_eq!(places, (0..41).collect::<Vec<_>>(), "{home:?} {rows:?}");
        assert!(hits[0].iter().all(|h| h.chunk == 0 && (h.score - 1.0).abs() < 1e-6));
        let few = search(&index, &one.vectors, SearchOptions { k: 3, ..Default::default() });
        assert_eq!(few[0], hits[0][..3]);
    }
}

#[test]
fn hamming_distance_leaves_the_items_that_are_to_be_scored() {
    // Of 400 items, the wanted one has the best cosine by far, and the signs of none of its small numbers.
    let dim = 64;
    let mut floats = Items::random(RowFormat::Float32, dim, &ones(400), 1).floats;
    let query: Vec<f32> = (0..dim).map(|d| if d == 0 { 120.0 } else { 1.0 }).collect();
    floats[399 * dim..].iter_mut().for_each(|v| *v = -0.01);
    floats[399 * dim] = 1.0;
    let corpus = Corpus {
        ids: (0..400).map(|i| format!("{i}")).collect(),
        vectors: Items::new(RowFormat::Float32, dim, &ones(400), floats),
    };
    let queries = Items::new(RowFormat::Float32, dim, &[1], query);
    for home in HOMES {
        let mut index = home.index(options(IndexKind::Dense, RowFormat::Binary, dim, SMALL));
        corpus.add_to(&mut index);
        let best =
            |rescore| search(&index, &queries, SearchOptions { k: 1, rescore, ..Default::default() })[0][0].position;
        assert_ne!(best(4), 399, "{home:?}: among 256 of 400");
        assert_eq!(best(400), 399, "{home:?}: among all");
    }
}

#[test]
fn a_filter_leaves_its_items_and_the_scores_as_they_are() {
    for (home, rows) in
        HOMES.into_iter().flat_map(|h| [RowFormat::Int8, RowFormat::Float32, RowFormat::Binary].map(|r| (h, r)))
    {
        let corpus = Corpus::new("a", RowFormat::Int8, 24, &CHUNKS.repeat(3), 1);
        let queries = Items::random(RowFormat::Int8, 24, &ones(3), 2);
        let mut index = home.index(options(IndexKind::Dense, rows, 24, SMALL));
        corpus.add_to(&mut index);
        let all = search(&index, &queries, SearchOptions { k: 100, ..Default::default() });
        let odd = |position: usize| position % 2 == 1;
        let some = search(&index, &queries, SearchOptions { k: 4, filter: Some(&odd), ..Default::default() });
        for (all, some) in all.iter().zip(&some) {
            let kept: Vec<_> = all.iter().filter(|h| odd(h.position)).take(4).copied().collect();
            assert_eq!(*some, kept, "{home:?} {rows:?}");
        }
        let none = search(&index, &queries, SearchOptions { filter: Some(&|_| false), ..Default::default() });
        assert!(none.iter().all(Vec::is_empty));
    }
}

#[test]
fn the_same_bits_wherever_rows_lie_however_they_are_cut_and_alone_or_together() {
    for (form, rows, dim) in [
        (RowFormat::Int8, RowFormat::Int8, 30),
        (RowFormat::Float32, RowFormat::Float32, 30),
        (RowFormat::Float32, RowFormat::Float32, 5),
        (RowFormat::Int8, RowFormat::Binary, 61),
    ] {
        let corpus = Corpus::new("a", form, dim, &CHUNKS.repeat(5), 1);
        let queries = Items::random(form, dim, &ones(9), 2);
        let wide = SearchOptions { k: 60, ..Default::default() };
        let mut index = Home::Resident.index(options(IndexKind::Dense, rows, dim, SegmentSizes::default()));
        corpus.add_to(&mut index);
        let expected = found(&index, &queries, wide);
        for (query, expected) in expected.iter().enumerate() {
            let alone = found(&index, &queries.choose(&[query]), wide);
            assert_eq!(alone[0], *expected, "{rows:?}, query {query} alone");
        }
        for home in ON_DEVICE {
            for sizes in [SMALL, SegmentSizes { staging: 1, scores: 20, ..SMALL }, SegmentSizes::default()] {
                let mut index = home.index(options(IndexKind::Dense, rows, dim, sizes));
                for half in [0..30, 30..60] {
                    corpus.choose(&half.collect::<Vec<_>>()).add_to(&mut index);
                }
                assert_eq!(found(&index, &queries, wide), expected, "{home:?} {rows:?} {sizes:?}");
            }
        }
    }
}

#[test]
fn a_few_hits_of_many_rows_are_those_that_all_similarities_give() {
    // Items of one row and of some, which end in other blocks than they begin in; equal rows far from each other.
    let counts: Vec<usize> = (0..2000).map(|i| if i % 50 == 0 { 70 } else { i % 3 }).collect();
    for form in [RowFormat::Int8, RowFormat::Float32] {
        let dim = 24;
        let mut corpus = Corpus::new("a", form, dim, &counts, 1);
        if form == RowFormat::Int8 {
            // Zeros and copies.
            let codes = &mut corpus.vectors.codes;
            codes[40 * dim..42 * dim].fill(0);
            codes.copy_within(0..10 * dim, 3000 * dim);
        }
        let queries = Items::random(form, dim, &ones(3), 2);
        for home in [Home::Resident, Home::Paged] {
            let mut index = home.index(options(IndexKind::Dense, form, dim, SegmentSizes::default()));
            corpus.add_to(&mut index);
            let all = found(&index, &queries, SearchOptions { k: 1000, ..Default::default() });
            for k in [1, 2, 5] {
                let few = found(&index, &queries, SearchOptions { k, ..Default::default() });
                for (few, all) in few.iter().zip(&all) {
                    assert_eq!(few[..], all[..k], "{home:?} {form:?}, {k}");
                }
            }
        }
    }
}

#[test]
fn candidates_of_very_many_rows_of_bits_are_those_of_the_processor() {
    let dim = 64;
    let corpus = Corpus::new("a", RowFormat::Int8, dim, &ones(70_000), 1);
    let queries = Items::random(RowFormat::Int8, dim, &ones(2), 2);
    let found = [Home::Cpu, Home::Resident].map(|home| {
        let mut index = home.index(options(IndexKind::Dense, RowFormat::Binary, dim, SegmentSizes::default()));
        corpus.add_to(&mut index);
        found(&index, &queries, SearchOptions { rescore: 1, ..Default::default() })
    });
    assert_eq!(found[0], found[1]);
}

#[test]
fn a_search_reads_back_blocks_where_hits_can_be() {
    let (dim, rows) = (16, 20_000);
    let corpus = Corpus::new("a", RowFormat::Int8, dim, &ones(rows), 1);
    let queries = Items::random(RowFormat::Int8, dim, &ones(1), 2);
    for format in [RowFormat::Int8, RowFormat::Float32] {
        let mut index = Home::Resident.index(options(IndexKind::Dense, format, dim, SegmentSizes::default()));
        corpus.add_to(&mut index);
        let Backend::Gpu(gpu) = super::corpus::gpu() else { panic!("a GPU was opened") };
        let read = |k: usize| {
            let before = gpu.bytes_read();
            let hits = search(&index, &queries, SearchOptions { k, ..Default::default() });
            (gpu.bytes_read() - before, hits)
        };
        read(1);
        let ((few, best), (all, every)) = (read(10), read(300));
        assert_eq!(best[0], every[0][..10]);
        // A bound of each 64 rows, and 10 blocks or a few more.
        assert!(few <= (rows / 64 + 1) as u64 * 4 + 30 * 64 * 4, "{format:?}: {few} bytes");
        assert!(all >= rows as u64 * 4, "{format:?}: {all} bytes");
    }
}
