//! Scores of every form and shape, one call at a time.

use pplx_embed::gpu::probe;
use pplx_embed::maxsim::{Options, score_on_cpu};

use super::support::maxsim::{FORMS, Form, Items, close, edges, oracle, scores_equal_sentence_transformers};
use super::{ALL, COSINE, bits, gpu, score, scorers};

const FIXTURE: &[u8] = include_bytes!("../fixtures/expected/maxsim.safetensors");

#[test]
fn scores_and_rankings_equal_sentence_transformers() {
    for scorer in scorers() {
        pollster::block_on(scores_equal_sentence_transformers(gpu(), scorer, FIXTURE));
    }
}

#[test]
fn every_form_at_the_edges_of_the_8x4_strip_and_the_32x64_tile() {
    for scorer in scorers() {
        pollster::block_on(edges(gpu(), scorer, &FORMS, &[1, 3, 4, 31, 33, 128]));
        pollster::block_on(edges(gpu(), scorer, &[Form::I8], &[96]));
    }
}

#[test]
fn many_dimensions() {
    for scorer in scorers() {
        for (form, dim) in [(Form::I8, 1024), (Form::F16, 2560), (Form::F32, 5000), (Form::B1, 65_536)] {
            let queries = Items::random(Form::F32, dim, &[1, 9], 1);
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
        let queries = Items::new(Form::F32, 20, &[33, 2], positive(1, 35 * 20));
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
    let queries = Items::random(Form::F32, 8, &[2, 1], 1);
    let documents = Items::random(Form::F32, 8, &[0, 3, 0], 2);
    let none = Items::random(Form::F32, 8, &[], 3);
    let hollow = Items::random(Form::F32, 8, &[0; 70_000], 3);
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
        if form != Form::B1 {
            documents.floats[48 * 24..].fill(0.0);
            documents = Items::new(form, 24, &[7, 40, 1, 1], documents.floats);
        }
        documents.scales[..47].iter_mut().zip(1..).for_each(|(s, i)| *s *= i as f32);
        let got = score(scorer, &queries, &documents, COSINE);
        close(&got, &oracle(&queries, &documents, true), &format!("{form:?}"));
        assert!(form == Form::B1 || got[3] == 0.0, "{form:?}: {got:?}");
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
        let documents = Items::random(Form::F16, 21, &[5, 66], 2);
        close(
            &score(&scorers()[0], &queries, &documents, ALL),
            &oracle(&queries, &documents, false),
            &format!("{form:?}"),
        );
    }
}

#[test]
fn the_plain_loop_keeps_the_same_contract() {
    let pairs = [(1, 0), (0, 3), (1, 0), (0, 1)];
    for form in FORMS {
        let queries = Items::random(Form::F32, 13, &[3, 20], 1);
        let documents = Items::random(form, 13, &[4, 0, 30, 1], 2);
        for normalize in [false, true] {
            let expected = oracle(&queries, &documents, normalize);
            let got =
                score_on_cpu(queries.tokens(), documents.tokens(), Options { pairs: None, normalize }, &()).unwrap();
            close(&got, &expected, &format!("{form:?}"));
            let options = Options { pairs: Some(&pairs), normalize };
            let paired = score_on_cpu(queries.tokens(), documents.tokens(), options, &()).unwrap();
            assert_eq!(bits(&paired), bits(&pairs.map(|(q, d)| got[(q * 4 + d) as usize])));
        }
    }
}
