//! MaxSim.

use pplx_embed::index::{IndexKind, SearchOptions, SegmentSizes};
use pplx_embed::numbers::RowFormat;
use safetensors::SafeTensors;

use super::corpus::{Corpus, HOMES, Home, ON_DEVICE, SMALL, agree, found, options, search};
use crate::support::maxsim::{FORMS, Items, oracle};

const LENGTHS: [usize; 11] = [3, 1, 0, 7, 2, 1, 1, 12, 0, 5, 4];

/// `(item, score, 0)` of each item that has tokens, best first, for each query.
fn expected(queries: &Items, documents: &Items) -> Vec<Vec<(usize, f64, u32)>> {
    let scores = oracle(queries, documents, false);
    let rows = scores.chunks(documents.items()).map(|row| {
        let mut found: Vec<(usize, f64, u32)> =
            row.iter().enumerate().filter(|(_, s)| s.0.is_finite()).map(|(i, s)| (i, s.0, 0)).collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found
    });
    rows.collect()
}

#[test]
fn the_best_scores_in_order_for_every_form() {
    for (home, form) in HOMES.into_iter().flat_map(|home| FORMS.map(|form| (home, form))) {
        for (dim, sizes) in [(3, SMALL), (13, SMALL), (32, SMALL), (128, SegmentSizes::default())] {
            let corpus = Corpus::new("a", form, dim, &LENGTHS, 1);
            let queries = Items::random(RowFormat::Float32, dim, &[4, 1, 33], 2);
            let mut index = home.index(options(IndexKind::Late, form, dim, sizes));
            corpus.add_to(&mut index);
            let what = format!("{home:?} {form:?} {dim}");
            for k in [1, 4, 50] {
                let hits = search(&index, &queries, SearchOptions { k, ..Default::default() });
                agree(&hits, &expected(&queries, &corpus.vectors), k, 33.0 * (2e-6 + 1e-7 * dim as f64), &what);
            }
        }
    }
}

#[test]
fn the_ranking_is_that_of_sentence_transformers() {
    let file = std::fs::read("tests/fixtures/expected/maxsim.safetensors").unwrap();
    let file = SafeTensors::deserialize(&file).unwrap();
    let tensor = |field: &str| file.tensor(&format!("f32.{field}")).unwrap();
    let lengths = |side: &str| -> Vec<usize> {
        let ends: Vec<i64> = bytemuck::pod_collect_to_vec(tensor(&format!("{side}.offsets")).data());
        ends.windows(2).map(|w| (w[1] - w[0]) as usize).collect()
    };
    let dim = tensor("queries.data").shape()[1];
    let numbers = |side: &str| bytemuck::pod_collect_to_vec(tensor(&format!("{side}.data")).data());
    let [queries, documents] =
        ["queries", "documents"].map(|side| Items::new(RowFormat::Float32, dim, &lengths(side), numbers(side)));
    let scores: Vec<f32> = bytemuck::pod_collect_to_vec(tensor("scores").data());
    let corpus = Corpus { ids: (0..documents.items()).map(|i| i.to_string()).collect(), vectors: documents };
    for home in HOMES {
        let mut index = home.index(options(IndexKind::Late, RowFormat::Float32, dim, SegmentSizes::default()));
        corpus.add_to(&mut index);
        let hits = search(&index, &queries, SearchOptions { k: 1000, ..Default::default() });
        for (q, (hits, scores)) in hits.iter().zip(scores.chunks(corpus.len())).enumerate() {
            let mut order: Vec<usize> = (0..scores.len()).filter(|&d| scores[d].is_finite()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            assert_eq!(hits.iter().map(|h| h.position).collect::<Vec<_>>(), order, "{home:?}, query {q}");
            let bound = 1e-4 * lengths("queries")[q] as f32;
            assert!(hits.iter().all(|h| (h.score - scores[h.position]).abs() <= bound));
        }
    }
}

#[test]
fn the_same_bits_wherever_rows_lie_however_they_are_cut_and_alone_or_together() {
    for (form, dim) in FORMS.into_iter().flat_map(|form| [13, 32].map(|dim| (form, dim))) {
        let corpus = Corpus::new("a", form, dim, &LENGTHS.repeat(3), 1);
        let queries = Items::random(RowFormat::Float32, dim, &[5, 2, 17], 2);
        let wide = SearchOptions { k: 60, ..Default::default() };
        let mut index = Home::Resident.index(options(IndexKind::Late, form, dim, SegmentSizes::default()));
        corpus.add_to(&mut index);
        let expected = found(&index, &queries, wide);
        for (query, expected) in expected.iter().enumerate() {
            let alone = found(&index, &queries.choose(&[query]), wide);
            assert_eq!(alone[0], *expected, "{form:?}, query {query} alone");
        }
        for home in ON_DEVICE {
            for sizes in [SMALL, SegmentSizes { scores: 7, ..SMALL }, SegmentSizes::default()] {
                let mut index = home.index(options(IndexKind::Late, form, dim, sizes));
                for half in [0..16, 16..33] {
                    corpus.choose(&half.collect::<Vec<_>>()).add_to(&mut index);
                }
                assert_eq!(found(&index, &queries, wide), expected, "{home:?} {form:?} {sizes:?}");
            }
        }
    }
}

#[test]
fn a_filter_leaves_its_items_and_the_scores_as_they_are() {
    for (home, form) in HOMES.into_iter().flat_map(|home| FORMS.map(|form| (home, form))) {
        let corpus = Corpus::new("a", form, 8, &LENGTHS, 1);
        let queries = Items::random(RowFormat::Float32, 8, &[2, 3], 2);
        let mut index = home.index(options(IndexKind::Late, form, 8, SMALL));
        corpus.add_to(&mut index);
        let all = search(&index, &queries, SearchOptions { k: 100, ..Default::default() });
        let some = |position: usize| position % 3 != 1;
        let got = search(&index, &queries, SearchOptions { k: 4, filter: Some(&some), ..Default::default() });
        for (all, got) in all.iter().zip(&got) {
            let kept: Vec<_> = all.iter().filter(|h| some(h.position)).take(4).copied().collect();
            assert_eq!(*got, kept, "{home:?} {form:?}");
        }
    }
}

#[test]
fn an_explanation_adds_up_to_the_bits_of_the_score() {
    for (home, form) in HOMES.into_iter().flat_map(|home| FORMS.map(|form| (home, form))) {
        let corpus = Corpus::new("a", form, 13, &LENGTHS, 1);
        let query = Items::random(RowFormat::Float32, 13, &[6], 2);
        let mut index = home.index(options(IndexKind::Late, form, 13, SMALL));
        corpus.add_to(&mut index);
        let hits = search(&index, &query, SearchOptions { k: 100, ..Default::default() });
        assert_eq!(hits[0].len(), 9);
        for hit in &hits[0] {
            let id = index.id(hit.position).unwrap();
            let matches = pollster::block_on(index.explain(query.tokens(), id, &())).unwrap();
            assert_eq!(matches.len(), 6);
            assert!(matches.iter().all(|m| (m.token as usize) < LENGTHS[hit.position]));
            let sum = matches.iter().fold(0.0, |sum, m| sum + m.similarity);
            if home == Home::Cpu {
                assert!((sum - hit.score).abs() < 1e-5);
            } else {
                assert_eq!(sum.to_bits(), hit.score.to_bits(), "{home:?} {form:?} {id}");
            }
        }
        assert!(pollster::block_on(index.explain(query.tokens(), "a2", &())).unwrap().is_empty());
    }
}

#[test]
fn a_first_pass_with_enough_candidates_finds_the_same_bits_and_with_few_the_best_of_those() {
    for (home, form) in
        HOMES.into_iter().flat_map(|h| [RowFormat::Float32, RowFormat::Float16, RowFormat::Int8].map(|f| (h, f)))
    {
        let corpus = Corpus::new("a", form, 24, &LENGTHS.repeat(4), 1);
        let queries = Items::random(RowFormat::Float32, 24, &[5, 9], 2);
        let plain = options(IndexKind::Late, form, 24, SMALL);
        let mut index = home.index(plain.clone());
        corpus.add_to(&mut index);
        let mut passes = plain;
        passes.first_pass = true;
        let mut two = home.index(passes);
        corpus.add_to(&mut two);
        let all = SearchOptions { k: 50, candidates: 1000, ..Default::default() };
        assert_eq!(found(&two, &queries, all), found(&index, &queries, all), "{home:?} {form:?}");

        // The candidates by the oracle: numbers of the query against signs.
        let mut signs = corpus.vectors.clone();
        signs.floats = (0..signs.scales.len())
            .flat_map(|t| {
                let scale = if form == RowFormat::Int8 { f64::from(signs.scales[t]) } else { 1.0 };
                super::corpus::row(&corpus.vectors, t)
                    .into_iter()
                    .map(move |v| if v * scale >= 0.0 { 1.0 } else { -1.0 })
            })
            .collect();
        signs.form = RowFormat::Float32;
        let by_signs = expected(&queries, &signs);
        let exact = expected(&queries, &corpus.vectors);
        let few = search(&two, &queries, SearchOptions { k: 3, candidates: 6, ..Default::default() });
        for ((few, by_signs), exact) in few.iter().zip(&by_signs).zip(&exact) {
            let candidates: Vec<usize> = by_signs[..6].iter().map(|e| e.0).collect();
            let want: Vec<usize> = exact.iter().map(|e| e.0).filter(|i| candidates.contains(i)).take(3).collect();
            assert!(by_signs[5].1 - by_signs[6].1 > 1e-5, "a tie at the edge tests nothing");
            assert_eq!(few.iter().map(|h| h.position).collect::<Vec<_>>(), want, "{home:?} {form:?}");
        }
        let odd = |position: usize| position % 2 == 1;
        let some = search(&two, &queries, SearchOptions { k: 60, filter: Some(&odd), ..all });
        assert!(some.iter().all(|hits| hits.len() == 18 && hits.iter().all(|h| odd(h.position))));
    }
}

#[test]
fn an_item_larger_than_a_buffer_is_named() {
    let sizes = SegmentSizes { max_segment: 1024, ..SMALL };
    let mut index = Home::Resident.index(options(IndexKind::Late, RowFormat::Float32, 8, sizes));
    Corpus::new("a", RowFormat::Float32, 8, &[32], 1).add_to(&mut index);
    let error = Corpus::new("b", RowFormat::Float32, 8, &[1, 33], 1).put(&mut index, Default::default()).err().unwrap();
    assert_eq!(error.code(), "adapter-too-small");
    assert!(error.to_string().contains("items[1] has 33 rows"), "{error}");
    assert_eq!(index.len(), 1);
}
