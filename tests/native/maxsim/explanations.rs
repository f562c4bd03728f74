//! What each query token matched.

use pplx_embed::backend::Backend;
use pplx_embed::maxsim::{Match, Scorer};
use pplx_embed::numbers::RowFormat;

use super::{ALL, explain, score, scorers};
use crate::support::maxsim::{FORMS, Items};

#[test]
fn an_explanation_adds_up_to_the_bits_of_the_score_and_names_the_lowest_of_equal_tokens() {
    for (scorer, form) in scorers().iter().flat_map(|s| FORMS.map(|form| (s, form))) {
        let queries = Items::random(RowFormat::Float32, 40, &[2, 35], 1);
        // Document 2 is document 1 twice over: each match is in its first half.
        let documents = Items::random(form, 40, &[0, 150, 4], 2).choose(&[0, 1, 1, 2]);
        let joined = Items::new(form, 40, &[0, 300, 4], documents.floats.clone());
        let joined = Items { scales: documents.scales.clone(), ..joined };
        let scores = score(scorer, &queries, &joined, ALL);
        for (q, d) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
            let matches = explain(scorer, &queries, &joined, (q, d));
            let sum = matches.iter().fold(0.0, |sum, m| sum + m.similarity);
            assert_eq!(sum.to_bits(), scores[(q * 3 + d) as usize].to_bits(), "{form:?}, pair {q}, {d}");
            let plain = plain(&queries, &joined, (q, d));
            for (got, expected) in matches.iter().zip(&plain) {
                assert_eq!(got.token, expected.token, "{form:?}, pair {q}, {d}");
                assert!((got.similarity - expected.similarity).abs() < 1e-5);
            }
            assert!(d != 1 || matches.iter().all(|m| m.token < 150), "{form:?}: {matches:?}");
        }
        assert!(explain(scorer, &queries, &joined, (0, 0)).is_empty());
        assert!(plain(&queries, &joined, (0, 0)).is_empty());
    }
}

#[test]
fn an_explanation_of_a_document_too_long_for_one_readback() {
    let queries = Items::random(RowFormat::Float32, 4, &[300], 1);
    let documents = Items::random(RowFormat::Float32, 4, &[3, 8000], 2);
    let plain = plain(&queries, &documents, (0, 1));
    for scorer in scorers() {
        let got = explain(scorer, &queries, &documents, (0, 1));
        assert_eq!(got.len(), 300);
        assert!(plain.iter().any(|m| m.token > 7000) && plain.iter().any(|m| m.token < 1000));
        for (got, expected) in got.iter().zip(&plain) {
            assert!((got.similarity - expected.similarity).abs() < 1e-5, "{got:?}, not {expected:?}");
            // Two tokens may be so near that float32 orders them differently.
            assert!(got.token == expected.token || (got.similarity - expected.similarity).abs() < 1e-6);
        }
    }
}

/// What the processor says.
fn plain(queries: &Items, documents: &Items, pair: (u32, u32)) -> Vec<Match> {
    let both = [queries.tokens(), documents.tokens()];
    pollster::block_on(Scorer::new().explain(&Backend::cpu(), both, pair, false, &())).unwrap()
}
