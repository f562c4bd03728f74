//! Late-interaction scores against sentence-transformers and an f64 oracle, with both families of the kernel, on the
//! adapter that `VK_ICD_FILENAMES` chooses.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use half::f16;
use pplx_embed::gpu::{Family, Gpu, probe};
use pplx_embed::maxsim::{Limits, Match, Options, Scorer, TokenData, Tokens, explain_on_cpu, score_on_cpu};
use pplx_embed::{Error, Progress, Watch};
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use support::maxsim::{FORMS, Form, Items, close, edges, oracle, scores_equal_sentence_transformers};

const FIXTURE: &[u8] = include_bytes!("fixtures/expected/maxsim.safetensors");

/// One device for the whole file, and a scorer for each family.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Gpu::open()).unwrap())
}

fn scorers() -> &'static [Scorer; 2] {
    static SCORERS: OnceLock<[Scorer; 2]> = OnceLock::new();
    SCORERS.get_or_init(|| [Family::Strip, Family::Tile].map(Scorer::of))
}

fn score(scorer: &Scorer, queries: &Items, documents: &Items, options: Options<'_>) -> Vec<f32> {
    pollster::block_on(scorer.score(gpu(), queries.tokens(), documents.tokens(), options, &())).unwrap()
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|s| s.to_bits()).collect()
}

const ALL: Options<'_> = Options { pairs: None, normalize: false };
const COSINE: Options<'_> = Options { pairs: None, normalize: true };

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
fn a_million_tokens_in_one_document_and_a_hundred_thousand_documents_of_one() {
    let queries = Items::random(Form::F32, 4, &[3], 1);
    let long = Items::random(Form::F32, 4, &[1_000_000], 2);
    let short = Items::random(Form::I8, 4, &[1; 100_000], 3);
    let (of_long, of_short) = (oracle(&queries, &long, false), oracle(&queries, &short, false));
    for scorer in scorers() {
        close(&score(scorer, &queries, &long, ALL), &of_long, "long");
        close(&score(scorer, &queries, &short, ALL), &of_short, "short");
    }
}

#[test]
fn a_hundred_thousand_query_tokens_go_through_in_passes() {
    let queries = Items::random(Form::F32, 4, &[1, 100_000, 2], 1);
    let documents = Items::random(Form::F16, 4, &[2, 1], 2);
    let both = [queries.tokens(), documents.tokens()];
    for scorer in scorers() {
        let scores = score(scorer, &queries, &documents, ALL);
        for (q, d) in (0..3).flat_map(|q| (0..2).map(move |d| (q, d))) {
            let matches = explain(scorer, &queries, &documents, (q, d));
            let plain = explain_on_cpu(both, (q, d), false).unwrap();
            assert_eq!(matches.len(), plain.len());
            assert!(matches.iter().zip(&plain).all(|(a, b)| (a.similarity - b.similarity).abs() < 1e-6));
            let sum = matches.iter().fold(0.0, |sum, m| sum + m.similarity);
            assert_eq!(scores[(q * 2 + d) as usize].to_bits(), sum.to_bits(), "pair {q}, {d}");
        }
    }
}

#[test]
fn both_families_and_any_cut_into_passes_groups_and_shards_give_the_same_bits() {
    let lengths = [5, 0, 1, 64, 3, 200, 1, 1, 17, 0];
    let pairs: Vec<(u32, u32)> = (0..60).map(|i| (i * 7 % 4, i * 11 % 10)).chain([(2, 5), (2, 5), (0, 1)]).collect();
    let cuts = [(u64::MAX / 512, 32_768, 1 << 20), (7, 5, 16), (1, 1, 1), (70, 40, 64)];
    for family in [Family::Strip, Family::Tile] {
        let mut scorer = Scorer::of(family);
        // A multiple of 32 goes to the device as it is, the other is padded on the way.
        for (form, dim) in FORMS.into_iter().flat_map(|form| [(form, 32), (form, 13)]) {
            let queries = Items::random(Form::F32, dim, &[3, 33, 1, 12], 1);
            let documents = Items::random(form, dim, &lengths, 2);
            let some = Options { pairs: Some(&pairs), normalize: false };
            let [all, paired] = [ALL, some].map(|o| bits(&score(&scorers()[0], &queries, &documents, o)));
            for (shard_tokens, query_rows, best) in cuts {
                let limits = Limits { shard_bytes: shard_tokens * 4 * dim as u64, query_rows, best };
                scorer = scorer.limited(limits);
                let what = format!("{form:?} {dim} {family:?} {limits:?}");
                assert_eq!(bits(&score(&scorer, &queries, &documents, ALL)), all, "{what}");
                assert_eq!(bits(&score(&scorer, &queries, &documents, some)), paired, "{what}, pairs");
            }
        }
    }
}

#[test]
fn a_score_has_the_same_bits_alone_in_any_order_and_as_a_pair() {
    let queries = Items::random(Form::F32, 50, &[9, 32, 1], 1);
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

fn explain(scorer: &Scorer, queries: &Items, documents: &Items, pair: (u32, u32)) -> Vec<Match> {
    let both = [queries.tokens(), documents.tokens()];
    pollster::block_on(scorer.explain(gpu(), both, pair, false, &())).unwrap()
}

#[test]
fn an_explanation_adds_up_to_the_bits_of_the_score_and_names_the_lowest_of_equal_tokens() {
    for (scorer, form) in scorers().iter().flat_map(|s| FORMS.map(|form| (s, form))) {
        let queries = Items::random(Form::F32, 40, &[2, 35], 1);
        // Document 2 is document 1 twice over: each match is in its first half.
        let documents = Items::random(form, 40, &[0, 150, 4], 2).choose(&[0, 1, 1, 2]);
        let joined = Items::new(form, 40, &[0, 300, 4], documents.floats.clone());
        let joined = Items { scales: documents.scales.clone(), ..joined };
        let scores = score(scorer, &queries, &joined, ALL);
        for (q, d) in [(0, 1), (1, 1), (0, 2), (1, 2)] {
            let matches = explain(scorer, &queries, &joined, (q, d));
            let sum = matches.iter().fold(0.0, |sum, m| sum + m.similarity);
            assert_eq!(sum.to_bits(), scores[(q * 3 + d) as usize].to_bits(), "{form:?}, pair {q}, {d}");
            let plain = explain_on_cpu([queries.tokens(), joined.tokens()], (q, d), false).unwrap();
            for (got, expected) in matches.iter().zip(&plain) {
                assert_eq!(got.token, expected.token, "{form:?}, pair {q}, {d}");
                assert!((got.similarity - expected.similarity).abs() < 1e-5);
            }
            assert!(d != 1 || matches.iter().all(|m| m.token < 150), "{form:?}: {matches:?}");
        }
        assert!(explain(scorer, &queries, &joined, (0, 0)).is_empty());
        assert!(explain_on_cpu([queries.tokens(), joined.tokens()], (0, 0), false).unwrap().is_empty());
    }
}

#[test]
fn an_explanation_of_a_document_too_long_for_one_readback() {
    let queries = Items::random(Form::F32, 4, &[300], 1);
    let documents = Items::random(Form::F32, 4, &[3, 8000], 2);
    let plain = explain_on_cpu([queries.tokens(), documents.tokens()], (0, 1), false).unwrap();
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

/// Shapes and numbers at random, most of them small.
fn case() -> impl Strategy<Value = (usize, Form, Vec<usize>, Vec<usize>, u64)> {
    let dims = prop::sample::select(vec![1, 2, 3, 4, 5, 8, 12, 31, 32, 33, 64, 100]);
    let queries = prop::collection::vec(1usize..40, 1..5);
    let documents =
        prop::collection::vec(prop::sample::select(vec![0usize, 1, 2, 3, 5, 16, 30, 63, 64, 65, 140]), 1..12);
    (dims, prop::sample::select(FORMS.to_vec()), queries, documents, any::<u64>())
}

fn check_property(test: impl Fn(&Scorer, &Items, &Items)) {
    let config = Config { cases: Config::default().cases.min(48), failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&case(), |(dim, form, queries, documents, seed)| {
            let queries = Items::random(Form::F32, dim, &queries, seed);
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
        let joined = Items::new(Form::F32, queries.dim, &lengths, queries.floats.clone());
        let sums = score(scorer, &joined, documents, ALL);
        let parts = score(scorer, queries, documents, ALL);
        for (d, sum) in sums.iter().enumerate() {
            let of_parts: f32 = (0..queries.items()).map(|q| parts[q * documents.items() + d]).sum();
            let bound = 1e-6 * lengths[0] as f32 * queries.dim as f32;
            assert!(*sum == of_parts || (sum - of_parts).abs() <= bound, "{sum}, not {of_parts}");
        }
    });
}

#[track_caller]
fn refused(queries: Tokens<'_>, documents: Tokens<'_>, pairs: Option<&[(u32, u32)]>, words: &[&str]) {
    let options = Options { pairs, normalize: false };
    let errors = [
        pollster::block_on(scorers()[0].score(gpu(), queries, documents, options, &())).unwrap_err(),
        score_on_cpu(queries, documents, options, &()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), "invalid-argument", "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "no {word:?} in {error}");
        }
    }
}

#[test]
fn what_cannot_be_scored_is_refused_by_argument_and_index() {
    let items = Items::random(Form::F32, 4, &[2, 1], 1);
    let good = items.tokens();
    let with = |offsets| Tokens { offsets, ..good };
    refused(with(&[]), good, None, &["queries.offsets: is empty"]);
    refused(good, with(&[1, 3]), None, &["documents.offsets[0]: 1, allowed is 0"]);
    refused(good, with(&[0, 2, 1, 3]), None, &["documents.offsets[2]: 1, allowed is 2 or more"]);
    refused(good, with(&[0, 2]), None, &["documents.data: has 12 numbers", "2 rows of 4"]);
    refused(good, with(&[0, u64::MAX]), None, &["documents.data: has 12 numbers"]);
    refused(with(&[0, 2, 2, 3]), good, None, &["queries[1]: has no tokens"]);
    refused(Tokens { dim: 0, ..good }, good, None, &["queries.dim: 0, allowed are 1 to 65536"]);
    refused(Tokens { dim: 1 << 20, ..good }, good, None, &["queries.dim: 1048576"]);
    let narrow = Tokens { dim: 2, offsets: &[0, 6], ..good };
    refused(good, narrow, None, &["documents.dim: 2, allowed is 4, as the queries have"]);
    refused(good, good, Some(&[(0, 0), (2, 0)]), &["pairs[1]: query 2, allowed is 0 to 1"]);
    refused(good, good, Some(&[(1, 9)]), &["pairs[0]: document 9"]);

    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut floats = items.floats.clone();
        floats[2 * 4 + 3] = bad;
        let data = TokenData::Float32(&floats);
        refused(good, Tokens { data, ..good }, None, &["documents[1]: token 0 has", "in dimension 3"]);
        refused(Tokens { data, ..good }, good, None, &["queries[1]: token 0 has"]);
        let halves: Vec<f16> = floats.iter().map(|&v| f16::from_f32(v)).collect();
        let data = TokenData::Float16(&halves);
        refused(good, Tokens { data, ..good }, None, &["documents[1]: token 0 has"]);
        let scales = [1.0, bad, 1.0];
        let data = TokenData::Int8 { codes: &items.codes, scales: Some(&scales) };
        refused(good, Tokens { data, ..good }, None, &["documents.scales[1]"]);
    }
    let data = TokenData::Int8 { codes: &items.codes, scales: Some(&[1.0]) };
    refused(good, Tokens { data, ..good }, None, &["documents.scales: has 1 numbers", "3 tokens"]);
    let huge = [1e25; 12];
    let data = TokenData::Float32(&huge);
    refused(Tokens { data, ..good }, Tokens { data, ..good }, None, &["documents: numbers of up to 1e25"]);
}

/// Cancels after some progress.
struct Impatient {
    heard: RefCell<Vec<(u64, u64)>>,
    after: usize,
    asked: Cell<usize>,
}

impl Watch for Impatient {
    fn cancelled(&self) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.heard.borrow().len() >= self.after
    }

    fn progress(&self, progress: Progress) {
        let Progress::Score { done, total } = progress else { panic!("{progress:?}") };
        self.heard.borrow_mut().push((done, total));
    }
}

#[test]
fn progress_goes_forward_to_the_end_and_cancelling_leaves_a_scorer_that_works() {
    let queries = Items::random(Form::F32, 8, &[3, 5], 1);
    let documents = Items::random(Form::F32, 8, &[40, 0, 60], 2);
    let scorer = Scorer::of(Family::Strip).limited(Limits { shard_bytes: 20 * 32, ..Limits::default() });
    let expected = score(&scorer, &queries, &documents, ALL);
    let watch = |after| Impatient { heard: RefCell::default(), after, asked: Cell::default() };
    let run =
        |watch: &Impatient| pollster::block_on(scorer.score(gpu(), queries.tokens(), documents.tokens(), ALL, watch));

    let patient = watch(usize::MAX);
    assert_eq!(run(&patient).unwrap(), expected);
    assert!(patient.asked.get() > 3);
    let heard = patient.heard.take();
    assert!(heard.is_sorted() && heard.len() == 5, "{heard:?}");
    assert_eq!(heard.last(), Some(&(800, 800)));
    assert!(heard.iter().all(|h| h.1 == 800));

    for after in [0, 2] {
        assert!(matches!(run(&watch(after)), Err(Error::Aborted)));
    }
    assert_eq!(score(&scorer, &queries, &documents, ALL), expected);
    let aborted = score_on_cpu(queries.tokens(), documents.tokens(), ALL, &watch(1));
    assert!(matches!(aborted, Err(Error::Aborted)));
}

/// A folder for the command line's files, removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pplx-embed-maxsim-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    fn items(&self, name: &str, items: &Items) {
        let offsets: Vec<i64> = items.offsets.iter().map(|&o| o as i64).collect();
        let rows = items.scales.len();
        let bytes = |dtype, shape, data| TensorView::new(dtype, shape, data).unwrap();
        let mut tensors = vec![("offsets", bytes(Dtype::I64, vec![offsets.len()], bytemuck::cast_slice(&offsets)))];
        tensors.push((
            "data",
            match items.form {
                Form::F32 => bytes(Dtype::F32, vec![rows, items.dim], bytemuck::cast_slice(&items.floats)),
                Form::F16 => bytes(Dtype::F16, vec![rows, items.dim], bytemuck::cast_slice(&items.halves)),
                Form::I8 => bytes(Dtype::I8, vec![rows, items.dim], bytemuck::cast_slice(&items.codes)),
                Form::B1 => bytes(Dtype::U8, vec![rows, items.dim.div_ceil(8)], &items.bits),
            },
        ));
        tensors.push(("tokens", bytes(Dtype::U8, vec![3], &[1, 2, 3])));
        if items.form == Form::I8 {
            tensors.push(("scales", bytes(Dtype::F32, vec![rows], bytemuck::cast_slice(&items.scales))));
        }
        self.write(name, safetensors::serialize(tensors, None).unwrap());
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        command.current_dir(&self.0).args(["maxsim", "--queries", "q.safetensors", "--documents"]);
        command.args(arguments).output().unwrap()
    }

    fn lines(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
            .stdout
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn the_command_line_scores_files_in_every_form() {
    let folder = Folder::new("forms");
    let queries = Items::random(Form::F32, 20, &[3, 9], 1);
    folder.items("q.safetensors", &queries);
    folder.write("pairs.jsonl", "[1, 2]\n\n[0, 0]\n[0, 1]\n");
    for form in FORMS {
        let documents = Items::random(form, 20, &[5, 0, 70], 2);
        folder.items("d.safetensors", &documents);
        for (device, normalize) in [("gpu", false), ("cpu", true)] {
            let expected = oracle(&queries, &documents, normalize);
            let mut arguments = vec!["d.safetensors", "--device", device, "--output", "s.npy"];
            arguments.extend(normalize.then_some("--normalize"));
            assert!(folder.run(&arguments).status.success());
            let bytes = std::fs::read(folder.0.join("s.npy")).unwrap();
            let array = npyz::NpyFile::new(&bytes[..]).unwrap();
            assert_eq!(array.shape(), [2, 3]);
            close(&array.into_vec().unwrap(), &expected, &format!("{form:?} on {device}"));
        }
    }
    let lines = folder.lines(&["d.safetensors", "--pairs", "pairs.jsonl"]);
    let named: Vec<_> = lines.iter().map(|l| (l["query"].as_u64().unwrap(), l["document"].as_u64().unwrap())).collect();
    assert_eq!(named, [(1, 2), (0, 0), (0, 1)]);
    assert!(lines[0]["score"].is_f64() && lines[2]["score"].is_null());
    let all = folder.lines(&["d.safetensors"]);
    assert_eq!((all.len(), &all[5]["score"]), (6, &lines[0]["score"]));
    let matches = folder.lines(&["d.safetensors", "--explain", "1", "2"]);
    let sum: f64 = matches.iter().map(|m| m["similarity"].as_f64().unwrap()).sum();
    assert_eq!(matches.len(), 9);
    assert!((sum - lines[0]["score"].as_f64().unwrap()).abs() < 1e-4);
    assert!(matches.iter().all(|m| m["document_token"].as_u64().unwrap() < 70));
}

#[test]
fn the_command_line_refuses_files_that_lie() {
    let folder = Folder::new("lies");
    folder.items("q.safetensors", &Items::random(Form::F32, 4, &[2], 1));
    let good = std::fs::read(folder.0.join("q.safetensors")).unwrap();
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = folder.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}");
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
    };
    let tensors = |name: &str, data: (Dtype, Vec<usize>, &[u8]), offsets: Option<&[i64]>| {
        let mut all = vec![("data", TensorView::new(data.0, data.1, data.2).unwrap())];
        let offsets = offsets.map(bytemuck::cast_slice::<i64, u8>);
        if let Some(offsets) = offsets {
            all.push(("offsets", TensorView::new(Dtype::I64, vec![offsets.len() / 8], offsets).unwrap()));
        }
        folder.write(name, safetensors::serialize(all, None).unwrap());
    };
    refused(&["none.safetensors"], 1, &["none.safetensors", "not found"]);
    refused(&["q.safetensors", "--output", "s.csv"], 2, &["--output", ".npy"]);
    folder.write("cut.safetensors", &good[..good.len() - 1]);
    refused(&["cut.safetensors"], 1, &["cut.safetensors"]);
    folder.write("long.safetensors", [&[0xff; 8][..], &good[8..]].concat());
    refused(&["long.safetensors"], 1, &["header length"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 4], &[0; 32]), None);
    refused(&["a.safetensors"], 1, &["a.safetensors", "no tensor offsets"]);
    tensors("a.safetensors", (Dtype::F64, vec![1, 4], &[0; 32]), Some(&[0, 1]));
    refused(&["a.safetensors"], 1, &["tensor data", "F64"]);
    tensors("a.safetensors", (Dtype::F32, vec![8], &[0; 32]), Some(&[0, 2]));
    refused(&["a.safetensors"], 1, &["tensor data", "2 axes"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 4], &[0; 32]), Some(&[0, -1, 2]));
    refused(&["a.safetensors"], 1, &["offsets hold -1"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 4], &[0; 32]), Some(&[0, i64::MAX]));
    refused(&["a.safetensors"], 2, &["documents.data"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 0], &[]), Some(&[0, 2]));
    refused(&["a.safetensors"], 2, &["documents.dim: 0"]);
    folder.write("pairs.jsonl", "[0, 0]\n[0, -1]\n");
    refused(&["q.safetensors", "--pairs", "pairs.jsonl"], 1, &["pairs.jsonl", "line 2"]);
    folder.write("pairs.jsonl", "[0, 1]\n");
    refused(&["q.safetensors", "--pairs", "pairs.jsonl"], 2, &["pairs[0]", "document 1"]);
    assert!(!Path::new("s.csv").exists());
}
