//! What holds whatever is scored.

use pplx_embed::numbers::RowFormat;
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};

use super::{ALL, COSINE, TestScorer, bits, score, scorers};
use crate::support::maxsim::{FORMS, Items, close, oracle};

/// Shapes and numbers at random, most of them small.
fn case() -> impl Strategy<Value = (usize, RowFormat, Vec<usize>, Vec<usize>, u64)> {
    let dims = prop::sample::select(vec![1, 2, 3, 4, 5, 8, 12, 31, 32, 33, 64, 100]);
    let queries = prop::collection::vec(1usize..40, 1..5);
    let documents =
        prop::collection::vec(prop::sample::select(vec![0usize, 1, 2, 3, 5, 16, 30, 63, 64, 65, 140]), 1..12);
    (dims, prop::sample::select(FORMS.to_vec()), queries, documents, any::<u64>())
}

fn check_property(test: impl Fn(&TestScorer, &Items, &Items)) {
    let config = Config { cases: Config::default().cases.min(48), failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&case(), |(dim, form, queries, documents, seed)| {
            let queries = Items::random(RowFormat::Float32, dim, &queries, seed);
            let documents = Items::random(form, dim, &documents, seed ^ 1);
            scorers().iter().for_each(|scorer| test(scorer, &queries, &documents));
            Ok(())
        })
        .unwrap();
}

#[test]
fn any_shape_equals_the_oracle() {
    check_property(|scorer, queries, documents| {
        close(&score(scorer, queries, documents, ALL), &oracle(queries, documents, false), "dot products");
        close(&score(scorer, queries, documents, COSINE), &oracle(queries, documents, true), "cosines");
    });
}

#[test]
fn adding_a_duplicate_changes_nothing_and_adding_a_token_never_lowers_a_score() {
    check_property(|scorer, queries, documents| {
        let before = score(scorer, queries, documents, ALL);
        let grown = |by: &dyn Fn(usize) -> Option<usize>| {
            // Each document with one of its own tokens, or with the first of all, at its end.
            let (mut floats, mut scales, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
            let dim = documents.dim;
            for d in 0..documents.items() {
                let rows = documents.offsets[d] as usize..documents.offsets[d + 1] as usize;
                let all: Vec<usize> = rows.clone().chain(by(d)).collect();
                all.iter().for_each(|t| floats.extend_from_slice(&documents.floats[t * dim..(t + 1) * dim]));
                scales.extend(all.iter().map(|&t| documents.scales[t]));
                lengths.push(all.len());
            }
            score(scorer, queries, &Items { scales, ..Items::new(documents.form, dim, &lengths, floats) }, ALL)
        };
        let first = |d: usize| documents.offsets[d] as usize;
        let own = |d: usize| (documents.offsets[d + 1] as usize > first(d)).then(|| first(d));
        assert_eq!(bits(&grown(&own)), bits(&before));
        let other = |_| (!documents.floats.is_empty()).then_some(0);
        for (after, before) in grown(&other).iter().zip(&before) {
            assert!(after >= before, "{after} < {before}");
        }
    });
}

#[test]
fn two_queries_end_to_end_score_the_sum() {
    check_property(|scorer, queries, documents| {
        let lengths = [queries.offsets[queries.items()] as usize];
        let joined = Items::new(RowFormat::Float32, queries.dim, &lengths, queries.floats.clone());
        let sums = score(scorer, &joined, documents, ALL);
        let parts = score(scorer, queries, documents, ALL);
        for (d, sum) in sums.iter().enumerate() {
            let of_parts: f32 = (0..queries.items()).map(|q| parts[q * documents.items() + d]).sum();
            let bound = 1e-6 * lengths[0] as f32 * queries.dim as f32;
            assert!(*sum == of_parts || (sum - of_parts).abs() <= bound, "{sum}, not {of_parts}");
        }
    });
}
