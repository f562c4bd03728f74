//! The processor with helpers, which here live in the same thread: the bits of the processor without any.

use std::collections::VecDeque;
use std::sync::Mutex;

use pollster::block_on;
use pplx_embed::Error;
use pplx_embed::backend::probe::{self, Probe};
use pplx_embed::backend::{Answer, Backend, Heads, Helper, Link, Operation, Precision, refused};
use pplx_embed::hub::Folder;
use pplx_embed::model::{EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::numbers::MatrixFormat;

/// A helper that is told what to do when it is asked for an answer.
struct Near {
    helper: Mutex<Helper>,
    answers: Mutex<VecDeque<pplx_embed::Result<Vec<f32>>>>,
}

impl Near {
    fn new() -> Self {
        Self { helper: Mutex::new(Helper::new().unwrap()), answers: Mutex::default() }
    }
}

impl Link for Near {
    fn send(&self, header: &[u8], data: &[u8]) {
        self.helper.lock().unwrap().receive(&[header, data].concat(), |answer| {
            let answer = answer.map(bytemuck::pod_collect_to_vec).map_err(|why| refused(why.as_bytes()));
            self.answers.lock().unwrap().push_back(answer);
        });
    }

    fn receive(&self) -> Answer<'_> {
        let gone = || Error::Gpu { message: "gone".into() };
        let answer = self.answers.lock().unwrap().pop_front().ok_or_else(gone);
        Box::pin(async move { answer? })
    }
}

fn with_helpers(count: usize) -> Backend {
    Backend::cpu_with_helpers((0..count).map(|_| Box::new(Near::new()) as Box<dyn Link>).collect())
}

const FORMATS: [MatrixFormat; 4] =
    [MatrixFormat::F32, MatrixFormat::Bf16, MatrixFormat::Q8 { group: 32 }, MatrixFormat::Q4 { group: 64 }];

#[test]
fn every_operation_agrees_with_its_twin_with_one_two_and_four_helpers() {
    for helpers in [1, 2, 4] {
        let backend = with_helpers(helpers);
        assert_eq!(backend.threads() as usize, helpers + 1);
        let heads = Heads { query: 6, key: 3, dim: 12, causal: false, window: None };
        let operations = Operation::of_encoder(heads, &FORMATS);
        for precision in [Precision::Fast, Precision::Exact] {
            let kernels = block_on(backend.kernels_for(precision, &operations)).unwrap();
            let probe = Probe { backend: &backend, kernels: &kernels, tolerance: 2e-5 };
            for format in FORMATS {
                for [rows, n, k] in [[1, 8, 32], [5, 70, 24], [9, 33, 64], [3, 1, 32]] {
                    block_on(probe::matmul(&probe, format, [rows, n, k], u64::MAX)).unwrap();
                    block_on(probe::swiglu(&probe, format, [rows, n, k], u64::MAX)).unwrap();
                }
            }
        }
        let kernels = block_on(backend.kernels(&operations)).unwrap();
        let probe = Probe { backend: &backend, kernels: &kernels, tolerance: 2e-5 };
        for causal in [false, true] {
            // Long enough to be sent to helpers, and too short.
            for lengths in [&[700, 300][..], &[5, 1]] {
                for window in [None, Some(400)] {
                    block_on(probe::attention(&probe, lengths, Heads { causal, window, ..heads })).unwrap();
                }
            }
        }
    }
}

#[test]
fn vectors_have_the_same_bits_with_any_number_of_threads_and_helpers() {
    let folder = Folder::new(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo"));
    let long = "Where is the library, and when does it open on a Sunday? ".repeat(60);
    let texts = ["one", "A somewhat longer text, of a sentence.", &long];
    let exact = [WeightChoice::Auto, WeightChoice::Q8].map(|weights| (weights, Precision::Exact));
    let fast = [WeightChoice::Q8, WeightChoice::Q4].map(|weights| (weights, Precision::Fast));
    for (weights, precision) in exact.into_iter().chain(fast) {
        let vectors = |open: &dyn Fn() -> Backend| {
            let options = LoadOptions { weights, precision, ..LoadOptions::default() };
            let open = async |_, _| Ok((open(), String::new()));
            let model = block_on(Model::load_on(&folder, open, options, &())).unwrap();
            block_on(model.embed(&texts, EmbedOptions::default(), &())).unwrap().data
        };
        let alone = vectors(&|| Backend::cpu_with_threads(1));
        for threads in [2, 3, 5] {
            assert!(vectors(&|| Backend::cpu_with_threads(threads)) == alone, "{threads} threads");
        }
        for helpers in [1, 2, 4] {
            assert!(vectors(&|| with_helpers(helpers)) == alone, "{helpers} helpers");
        }
    }
}

/// A helper that is gone.
struct Gone;

impl Link for Gone {
    fn send(&self, _: &[u8], _: &[u8]) {}

    fn receive(&self) -> Answer<'_> {
        Box::pin(async { Err(Error::DeviceLost { message: "a worker thread failed: killed".into() }) })
    }
}

#[test]
fn a_helper_that_is_gone_fails_the_load_and_what_it_says_is_passed_on() {
    let backend = Backend::cpu_with_helpers(vec![Box::new(Gone)]);
    let error = block_on(backend.flush_writes()).unwrap_err();
    assert!(error.code() == "device-lost" && error.to_string().contains("killed"), "{error}");

    let mut helper = Helper::new().unwrap();
    let mut say = |message: &[u8]| {
        let mut answer = None;
        helper.receive(message, |said| answer = Some(said.map(<[u8]>::len).map_err(String::from)));
        answer
    };
    // A row of a weight that it does not have, which wants no answer, fails what does.
    let words = |words: [u32; 8]| words.map(u32::to_le_bytes).concat();
    assert_eq!(say(&words([1, 9, 0, 0, 0, 0, 0, 0])), None);
    let answer = say(&words([6, 0, 0, 0, 0, 0, 0, 0])).unwrap();
    assert!(answer.unwrap_err().contains("no weight 9"));
    assert_eq!(say(&words([6, 0, 0, 0, 0, 0, 0, 0])), Some(Ok(0)));
    // Garbage is refused, and so are sizes that do not fit.
    assert_eq!(say(&[1, 2, 3]), None);
    assert!(say(&words([6, 0, 0, 0, 0, 0, 0, 0])).unwrap().is_err());
    assert!(say(&words([4, 1, 1, 1, 4, 2, 8, 0])).unwrap().is_err());
}
