//! However much there is and however it is cut: the same bits.

use pplx_embed::backend::Backend;
use pplx_embed::maxsim::{Options, PieceSizes, Scorer};
use pplx_embed::numbers::RowFormat;

use super::{ALL, TestScorer, bits, explain, score, scorers};
use crate::support::maxsim::{FORMS, Items, close, oracle};

#[test]
fn a_million_tokens_in_one_document_and_a_hundred_thousand_documents_of_one() {
    let queries = Items::random(RowFormat::Float32, 4, &[3], 1);
    let long = Items::random(RowFormat::Float32, 4, &[1_000_000], 2);
    let short = Items::random(RowFormat::Int8, 4, &[1; 100_000], 3);
    let (of_long, of_short) = (oracle(&queries, &long, false), oracle(&queries, &short, false));
    for scorer in scorers() {
        close(&score(scorer, &queries, &long, ALL), &of_long, "long");
        close(&score(scorer, &queries, &short, ALL), &of_short, "short");
    }
}

#[test]
fn a_hundred_thousand_query_tokens_go_through_in_passes() {
    let queries = Items::random(RowFormat::Float32, 4, &[1, 100_000, 2], 1);
    let documents = Items::random(RowFormat::Float16, 4, &[2, 1], 2);
    for scorer in scorers() {
        let scores = score(scorer, &queries, &documents, ALL);
        for (q, d) in (0..3).flat_map(|q| (0..2).map(move |d| (q, d))) {
            let matches = explain(scorer, &queries, &documents, (q, d));
            let plain = explain(&scorers()[2], &queries, &documents, (q, d));
            assert_eq!(matches.len(), plain.len());
            assert!(matches.iter().zip(&plain).all(|(a, b)| (a.similarity - b.similarity).abs() < 1e-6));
            let sum = matches.iter().fold(0.0, |sum, m| sum + m.similarity);
            assert_eq!(scores[(q * 2 + d) as usize].to_bits(), sum.to_bits(), "pair {q}, {d}");
        }
    }
}

#[test]
fn any_cut_into_passes_groups_and_shards_gives_the_same_bits_in_each_family() {
    let lengths = [5, 0, 1, 64, 3, 200, 1, 1, 17, 0];
    let pairs: Vec<(u32, u32)> = (0..60).map(|i| (i * 7 % 4, i * 11 % 10)).chain([(2, 5), (2, 5), (0, 1)]).collect();
    let cuts = [(u64::MAX / 512, 32_768, 1 << 20), (7, 5, 16), (1, 1, 1), (70, 40, 64)];
    for family in ["strip", "tile", "narrow"] {
        let mut on = TestScorer::of_family(family);
        // A multiple of 32 goes to the device as it is, the other is padded on the way.
        for (form, dim) in FORMS.into_iter().flat_map(|form| [(form, 32), (form, 13)]) {
            let queries = Items::random(RowFormat::Float32, dim, &[3, 33, 1, 12], 1);
            let documents = Items::random(form, dim, &lengths, 2);
            let some = Options { pairs: Some(&pairs), normalize: false };
            let whole = TestScorer::of_family(family);
            let [all, paired] = [ALL, some].map(|o| bits(&score(&whole, &queries, &documents, o)));
            for (shard_tokens, query_rows, best) in cuts {
                // A submission for each token and row takes a software GPU minutes: once is enough.
                if best == 1 && (family, form, dim) != ("strip", RowFormat::Float32, 13) {
                    continue;
                }
                let sizes = PieceSizes { shard_bytes: shard_tokens * 4 * dim as u64, query_rows, best };
                on.scorer = Scorer::of(family).with_sizes(sizes);
                let what = format!("{form:?} {dim} {family:?} {sizes:?}");
                assert_eq!(bits(&score(&on, &queries, &documents, ALL)), all, "{what}");
                assert_eq!(bits(&score(&on, &queries, &documents, some)), paired, "{what}, pairs");
            }
        }
    }
}

#[test]
fn any_cut_gives_the_same_bits_on_the_processor() {
    let backend = Backend::cpu();
    for (form, dim) in FORMS.into_iter().flat_map(|form| [(form, 32), (form, 13)]) {
        let queries = Items::random(RowFormat::Float32, dim, &[3, 33, 1, 12], 1);
        let documents = Items::random(form, dim, &[5, 0, 1, 64, 3, 200, 1, 1, 17, 0], 2);
        let scored =
            |scorer: Scorer| bits(&score(&TestScorer { backend: backend.clone(), scorer }, &queries, &documents, ALL));
        let whole = scored(Scorer::new());
        for (shard_tokens, query_rows, best) in [(7, 5, 16), (1, 1, 1), (70, 40, 64)] {
            let sizes = PieceSizes { shard_bytes: shard_tokens * 4 * dim as u64, query_rows, best };
            assert_eq!(scored(Scorer::new().with_sizes(sizes)), whole, "{form:?} {dim} {sizes:?}");
        }
    }
}

#[test]
fn a_score_has_the_same_bits_alone_in_any_order_and_as_a_pair() {
    let queries = Items::random(RowFormat::Float32, 50, &[9, 32, 1], 1);
    for (scorer, form) in scorers().iter().flat_map(|s| FORMS.map(|form| (s, form))) {
        let documents = Items::random(form, 50, &[3, 70, 0, 1, 1, 64, 128, 5], 2);
        let count = documents.items();
        let batch = bits(&score(scorer, &queries, &documents, ALL));
        for (q, d) in (0..3).flat_map(|q| (0..count).map(move |d| (q, d))) {
            let alone = score(scorer, &queries.choose(&[q]), &documents.choose(&[d]), ALL);
            assert_eq!(bits(&alone), [batch[q * count + d]], "query {q}, document {d}");
        }
        let order: Vec<usize> = (0..count).rev().chain(0..count).collect();
        let shuffled = bits(&score(scorer, &queries, &documents.choose(&order), ALL));
        for (row, before) in shuffled.chunks(2 * count).zip(batch.chunks(count)) {
            assert_eq!(row, order.iter().map(|&d| before[d]).collect::<Vec<_>>());
        }
        let pairs: Vec<(u32, u32)> = (0..24u32).map(|i| ((i + 1) % 3, 7 - i % 8)).collect();
        let paired = score(scorer, &queries, &documents, Options { pairs: Some(&pairs), normalize: false });
        let expected: Vec<u32> = pairs.iter().map(|&(q, d)| batch[q as usize * count + d as usize]).collect();
        assert_eq!(bits(&paired), expected);
    }
}
