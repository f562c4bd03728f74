//! Scores of every form and shape, one call at a time.

use pplx_embed::backend::probe;
use pplx_embed::maxsim::Options;
use pplx_embed::numbers::RowFormat;

use super::{ALL, COSINE, score, scorers};
use crate::support::maxsim::{FORMS, Items, close, edges, oracle, scores_equal_sentence_transformers};

const FIXTURE: &[u8] = include_bytes!("../../fixtures/expected/maxsim.safetensors");

#[test]
fn scores_and_rankings_equal_sentence_transformers() {
    for scorer in scorers() {
        pollster::block_on(scores_equal_sentence_transformers(&scorer.backend, &scorer.scorer, FIXTURE));
    }
}

#[test]
fn every_form_at_the_edges_of_the_8x4_strip_and_the_32x64_tile() {
    for scorer in scorers() {
        pollster::block_on(edges(&scorer.backend, &scorer.scorer, &FORMS, &[1, 3, 4, 31, 33, 128]));
        pollster::block_on(edges(&scorer.backend, &scorer.scorer, &[RowFormat::Int8], &[96]));
    }
}

#[test]
fn many_dimensions() {
    for scorer in scorers() {
        for (form, dim) in [
            (RowFormat::Int8, 1024),
            (RowFormat::Float16, 2560),
            (RowFormat::Float32, 5000),
            (RowFormat::Binary, 65_536),
        ] {
            let queries = Items::random(RowFormat::Float32, dim, &[1, 9], 1);
            let documents = Items::random(form, dim, &[5, 0, 1, 66], 2);
            let got = score(scorer, &queries, &documents, ALL);
            close(&got, &oracle(&queries, &documents, false), &format!("{form:?}, {dim} dimensions"));
        }
    }
}

#[test]
fn negative_similarities_count_as_they_are() {
    // All numbers of the queries are positive, all of the documents negative.
    for (scorer, form) in scorers().iter().flat_map(|s| FORMS.map(|form| (s, form))) {
        let positive = |seed, count| probe::values(seed, count).iter().map(|v| 0.5 + v * 0.4).collect::<Vec<f32>>();
        let queries = Items::new(RowFormat::Float32, 20, &[33, 2], positive(1, 35 * 20));
        let negative = positive(2, 100 * 20).iter().map(|v| -v).collect();
        let mut documents = Items::new(form, 20, &[1, 7, 64, 28], negative);
        documents.scales.iter_mut().for_each(|s| *s = s.abs());
        let got = score(scorer, &queries, &documents, ALL);
        assert!(got.iter().all(|&s| s < 0.0), "{form:?}: {got:?}");
        close(&got, &oracle(&queries, &documents, false), &format!("{form:?}"));
    }
}

#[test]
fn empty_documents_score_minus_infinity_and_nothing_is_an_empty_result() {
    let queries = Items::random(RowFormat::Float32, 8, &[2, 1], 1);
    let documents = Items::random(RowFormat::Float32, 8, &[0, 3, 0], 2);
    let none = Items::random(RowFormat::Float32, 8, &[], 3);
    let hollow = Items::random(RowFormat::Float32, 8, &[0; 70_000], 3);
    for scorer in scorers() {
        let got = score(scorer, &queries, &documents, ALL);
        let infinite: Vec<bool> = got.iter().map(|&s| s == f32::NEG_INFINITY).collect();
        assert_eq!(infinite, [true, false, true, true, false, true]);
        assert!(score(scorer, &queries, &none, ALL).is_empty());
        assert!(score(scorer, &none, &documents, ALL).is_empty());
        assert!(score(scorer, &queries, &documents, Options { pairs: Some(&[]), normalize: false }).is_empty());
        assert_eq!(score(scorer, &queries, &hollow, ALL), vec![f32::NEG_INFINITY; 140_000]);
        let pair = Options { pairs: Some(&[(1, 2)]), normalize: true };
        assert_eq!(score(scorer, &queries, &documents, pair), [f32::NEG_INFINITY]);
    }
}

#[test]
fn normalize_makes_cosines_of_vectors_of_any_length() {
    for (scorer, form) in scorers().iter().flat_map(|s| FORMS.map(|form| (s, form))) {
        let queries = Items::random(form, 24, &[5, 32], 1);
        let mut documents = Items::random(form, 24, &[7, 40, 1, 1], 2);
        // Vectors of zeros, but for bits, which have none: their cosine with anything is 0.
        if form != RowFormat::Binary {
            documents.floats[48 * 24..].fill(0.0);
            documents = Items::new(form, 24, &[7, 40, 1, 1], documents.floats);
        }
        documents.scales[..47].iter_mut().zip(1..).for_each(|(s, i)| *s *= i as f32);
        let got = score(scorer, &queries, &documents, COSINE);
        close(&got, &oracle(&queries, &documents, true), &format!("{form:?}"));
        assert!(form == RowFormat::Binary || got[3] == 0.0, "{form:?}: {got:?}");
        assert!(
            score(scorer, &queries, &queries, COSINE)
                .iter()
                .zip([5.0f32, 0.0, 0.0, 32.0])
                .all(|(s, n)| n == 0.0 || (s - n).abs() < 1e-4)
        );
    }
}

#[test]
fn queries_in_any_form_are_widened() {
    for form in FORMS {
        let queries = Items::random(form, 21, &[3, 34], 1);
        let documents = Items::random(RowFormat::Float16, 21, &[5, 66], 2);
        close(
            &score(&scorers()[0], &queries, &documents, ALL),
            &oracle(&queries, &documents, false),
            &format!("{form:?}"),
        );
    }
}
