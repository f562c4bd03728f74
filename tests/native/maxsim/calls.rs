//! What is refused, what a caller hears, and that it can cancel.

use std::cell::{Cell, RefCell};

use half::f16;
use pplx_embed::maxsim::{Options, PieceSizes, TokenVectors};
use pplx_embed::numbers::RowData;
use pplx_embed::numbers::RowFormat;
use pplx_embed::{Error, Progress, Watch};

use super::{ALL, TestScorer, score, scorers};
use crate::support::maxsim::Items;

#[track_caller]
fn refused(queries: TokenVectors<'_>, documents: TokenVectors<'_>, pairs: Option<&[(u32, u32)]>, words: &[&str]) {
    let options = Options { pairs, normalize: false };
    for on in scorers() {
        let error = pollster::block_on(on.scorer.score(&on.backend, queries, documents, options, &())).unwrap_err();
        assert_eq!(error.code(), "invalid-argument", "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "no {word:?} in {error}");
        }
    }
}

#[test]
fn what_cannot_be_scored_is_refused_by_argument_and_index() {
    let items = Items::random(RowFormat::Float32, 4, &[2, 1], 1);
    let good = items.tokens();
    let with = |offsets| TokenVectors { offsets, ..good };
    refused(with(&[]), good, None, &["queries.offsets: is empty"]);
    refused(good, with(&[1, 3]), None, &["documents.offsets[0]: 1, allowed is 0"]);
    refused(good, with(&[0, 2, 1, 3]), None, &["documents.offsets[2]: 1, allowed is 2 or more"]);
    refused(good, with(&[0, 2]), None, &["documents.data: has 12 numbers", "2 rows of 4"]);
    refused(good, with(&[0, u64::MAX]), None, &["documents.data: has 12 numbers"]);
    refused(with(&[0, 2, 2, 3]), good, None, &["queries[1]: has no tokens"]);
    refused(TokenVectors { dim: 0, ..good }, good, None, &["queries.dim: 0, allowed are 1 to 65536"]);
    refused(TokenVectors { dim: 1 << 20, ..good }, good, None, &["queries.dim: 1048576"]);
    let narrow = TokenVectors { dim: 2, offsets: &[0, 6], ..good };
    refused(good, narrow, None, &["documents.dim: 2, allowed is 4, as the queries have"]);
    refused(good, good, Some(&[(0, 0), (2, 0)]), &["pairs[1]: query 2, allowed is 0 to 1"]);
    refused(good, good, Some(&[(1, 9)]), &["pairs[0]: document 9"]);

    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut floats = items.floats.clone();
        floats[2 * 4 + 3] = bad;
        let data = RowData::Float32(&floats);
        refused(good, TokenVectors { data, ..good }, None, &["documents[1]: token 0 has", "in dimension 3"]);
        refused(TokenVectors { data, ..good }, good, None, &["queries[1]: token 0 has"]);
        let halves: Vec<f16> = floats.iter().map(|&v| f16::from_f32(v)).collect();
        let data = RowData::Float16(&halves);
        refused(good, TokenVectors { data, ..good }, None, &["documents[1]: token 0 has"]);
        let scales = [1.0, bad, 1.0];
        let data = RowData::Int8 { codes: &items.codes, scales: Some(&scales) };
        refused(good, TokenVectors { data, ..good }, None, &["documents.scales[1]"]);
    }
    let data = RowData::Int8 { codes: &items.codes, scales: Some(&[1.0]) };
    refused(good, TokenVectors { data, ..good }, None, &["documents.scales: has 1 numbers", "3 tokens"]);
    let huge = [1e25; 12];
    let data = RowData::Float32(&huge);
    refused(TokenVectors { data, ..good }, TokenVectors { data, ..good }, None, &["documents: numbers of up to 1e25"]);
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
    let queries = Items::random(RowFormat::Float32, 8, &[3, 5], 1);
    let documents = Items::random(RowFormat::Float32, 8, &[40, 0, 60], 2);
    let sizes = PieceSizes { shard_bytes: 20 * 32, ..PieceSizes::default() };
    for on in scorers() {
        let on = TestScorer { backend: on.backend.clone(), scorer: on.scorer.clone().with_sizes(sizes) };
        told_of_progress(&on, &queries, &documents);
    }
}

fn told_of_progress(on: &TestScorer, queries: &Items, documents: &Items) {
    let expected = score(on, queries, documents, ALL);
    let watch = |after| Impatient { heard: RefCell::default(), after, asked: Cell::default() };
    let run = |watch: &Impatient| {
        let scored = on.scorer.score(&on.backend, queries.tokens(), documents.tokens(), ALL, watch);
        pollster::block_on(scored)
    };

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
    assert_eq!(score(on, queries, documents, ALL), expected);
}
