//! Token vectors that stay on the device, from the encoder to their score, on the adapter that `VK_ICD_FILENAMES`
//! chooses: the bits of vectors that go through host memory.

use std::cell::Cell;

use pollster::block_on;
use pplx_embed::backend::{Buffer, Operation};
use pplx_embed::hub::Folder;
use pplx_embed::maxsim::{Options, Resident, Scorer, TokenVectors};
use pplx_embed::model::late::{EncodeOptions, EncodedBatch, MarkerPosition, Role, TokenEmbeddings, TokenRows};
use pplx_embed::model::{LoadOptions, Model};
use pplx_embed::numbers::{RowBuf, RowFormat};
use pplx_embed::{Error, Progress, Watch};

use crate::support::device;

fn load(checkpoint: &str) -> Model {
    let folder = Folder::new(format!("tests/fixtures/checkpoints/{checkpoint}"));
    block_on(Model::load(&folder, LoadOptions { device: device(), ..LoadOptions::default() }, &())).unwrap()
}

/// Texts of every length up to the model's, more than a batch of 4,096 tokens.
fn texts() -> Vec<String> {
    let words = ["red", "bicycle", "of", "Émile,", "1897.", "東京", "the", "wheel"];
    let text = |i: usize| (0..i % 67).map(|j| words[(i * 5 + j * 3) % words.len()]).collect::<Vec<_>>().join(" ");
    (0..140).map(text).collect()
}

fn encode(model: &Model, role: Role, texts: &[&str], options: EncodeOptions) -> TokenEmbeddings {
    block_on(model.encode(role, texts, options, &())).unwrap()
}

#[test]
fn handed_over_vectors_tokens_and_ranges_are_those_of_encode() {
    let model = load("late-st");
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (role, position) in [(Role::Query, MarkerPosition::First), (Role::Document, MarkerPosition::Second)] {
        let expected = encode(&model, role, &texts, EncodeOptions { marker_position: position, ..Default::default() });
        let (mut batches, mut next) = (0, 0);
        let mut vectors: Vec<f32> = Vec::new();
        let take = async |batch: EncodedBatch<'_>| {
            assert_eq!((batch.texts.start, batch.rows.start), (next, vectors.len() / 24));
            let ends = &batch.tokens.offsets;
            assert_eq!(batch.rows, ends[batch.texts.start]..ends[batch.texts.end]);
            let bytes = batch.vectors.read(0, batch.rows.len() as u64 * 96).await?;
            vectors.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            (batches, next) = (batches + 1, batch.texts.end);
            Ok(())
        };
        let tokens = block_on(model.encode_into(role, &texts, position, take, &())).unwrap();
        assert!(batches > 1 && next == texts.len(), "{batches} batches, up to text {next}");
        assert_eq!(tokens, expected.tokens);
        let RowBuf::Float32(expected) = expected.data else { panic!("not float32") };
        assert!(!expected.is_empty() && bits(&vectors) == bits(&expected));
    }
}

/// Document vectors on the device, as rows of one format.
struct PackedRows {
    format: RowFormat,
    data: Buffer,
    scales: Buffer,
}

/// The vectors of `texts` in each of `formats`, and their tokens.
fn packed<const N: usize>(model: &Model, texts: &[&str], formats: [RowFormat; N]) -> ([PackedRows; N], TokenRows) {
    let backend = model.backend();
    let kernels = block_on(backend.kernels(&formats.map(Operation::PackRows))).unwrap();
    let packed = formats.map(|format| {
        let data = backend.buffer("rows", 10_000 * u64::from(format.padded_bytes(24))).unwrap();
        PackedRows { format, data, scales: backend.buffer("scales", 40_000).unwrap() }
    });
    let take = async |batch: EncodedBatch<'_>| {
        for PackedRows { format, data, scales } in &packed {
            let mut run = backend.run(&kernels, &())?;
            let (from, at) = (0..batch.rows.len() as u32, batch.rows.start as u32);
            run.pack_rows(*format, batch.vectors, (data, Some(scales)), from, at, 24)?;
            // Handed to the device, and not waited for.
            run.flush().await?;
        }
        Ok(())
    };
    let tokens = block_on(model.encode_into(Role::Document, texts, MarkerPosition::First, take, &())).unwrap();
    (packed, tokens)
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|s| s.to_bits()).collect()
}

#[test]
fn every_form_is_kept_and_scored_with_the_bits_of_a_way_through_the_host() {
    let model = load("late-st");
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let queries = encode(&model, Role::Query, &["a red wheel", "東京 1897"], EncodeOptions::default());
    let ends: Vec<u64> = queries.tokens.offsets.iter().map(|&o| o as u64).collect();
    let asked = TokenVectors { data: queries.data.as_data(), offsets: &ends, dim: 24 };
    let formats = [RowFormat::Float32, RowFormat::Float16, RowFormat::Int8, RowFormat::Binary];
    let (packed, tokens) = packed(&model, &texts, formats);
    let all: Vec<u64> = tokens.offsets.iter().map(|&o| o as u64).collect();
    // Of the last texts, which came with the last batch; a text has the same bits in any.
    let from = texts.len() - 30;
    let pairs: Vec<(u32, u32)> = (0..2).flat_map(|q| (from..texts.len()).map(move |d| (q, d as u32))).collect();
    for PackedRows { format, data, scales } in packed {
        let options = EncodeOptions { dtype: format, ..Default::default() };
        let host = encode(&model, Role::Document, &texts[from..], options);
        let offsets: Vec<u64> = host.tokens.offsets.iter().map(|&o| o as u64).collect();
        let documents = TokenVectors { data: host.data.as_data(), offsets: &offsets, dim: 24 };
        let mut rows = Vec::new();
        format.pad_rows(documents.data.bytes(), 24, &mut rows);
        let on_device = block_on(data.read(0, all[texts.len()] * u64::from(format.padded_bytes(24)))).unwrap();
        assert!(!rows.is_empty() && on_device.ends_with(&rows), "{format:?}");
        if let Some(expected) = documents.data.scales() {
            let read = block_on(scales.read(0, all[texts.len()] * 4)).unwrap();
            assert!(read.ends_with(bytemuck::cast_slice(expected)));
        }
        let (scorer, backend) = (Scorer::new(), model.backend());
        let expected = block_on(scorer.score(backend, asked, documents, Options::default(), &())).unwrap();
        let scales = (format == RowFormat::Int8).then_some(&scales);
        let resident = Resident { format, dim: 24, offsets: &all, data: &data, scales, peak: 1.0 };
        let got = block_on(scorer.score_resident(backend, asked, resident, Some(&pairs), &())).unwrap();
        assert_eq!(bits(&got), bits(&expected), "{format:?}");
    }
}

/// Cancels when it has heard of so much progress.
struct Patience(Cell<u32>);

impl Watch for Patience {
    fn cancelled(&self) -> bool {
        self.0.get() == 0
    }

    fn progress(&self, progress: Progress) {
        assert!(matches!(progress, Progress::Embed { tokens, total, .. } if tokens <= total), "{progress:?}");
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[test]
fn an_error_of_the_taker_and_cancelling_end_the_call_and_leave_a_model_that_works() {
    let model = load("late-st");
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let before = encode(&model, Role::Document, &texts[..20], EncodeOptions::default());
    let run = |fail_at: u32, patience: u32| {
        let calls = Cell::new(0);
        let take = async |_: EncodedBatch<'_>| {
            calls.set(calls.get() + 1);
            if calls.get() == fail_at { Err(Error::OutOfMemory { message: "no segment".into() }) } else { Ok(()) }
        };
        let watch = Patience(Cell::new(patience));
        let done = block_on(model.encode_into(Role::Document, &texts, MarkerPosition::First, take, &watch));
        (done.map(|tokens| tokens.usage.tokens).map_err(|e| e.code()), calls.get())
    };
    let (tokens, batches) = run(u32::MAX, u32::MAX);
    assert!(tokens.unwrap() > 4096 && batches > 1);
    assert_eq!(run(1, u32::MAX), (Err("out-of-memory"), 1));
    assert_eq!(run(u32::MAX, 0), (Err("aborted"), 0));
    let (aborted, calls) = run(u32::MAX, 2 + model.info().layers);
    assert_eq!((aborted, calls), (Err("aborted"), 1));
    assert_eq!(encode(&model, Role::Document, &texts[..20], EncodeOptions::default()), before);
}

#[test]
fn no_texts_make_no_batches_and_other_models_refuse() {
    let take = async |batch: EncodedBatch<'_>| panic!("{:?}", batch.texts);
    let model = load("late-st");
    let tokens = block_on(model.encode_into(Role::Document, &[], MarkerPosition::First, take, &())).unwrap();
    assert_eq!((tokens.offsets, tokens.ids.len(), tokens.dim), (vec![0], 0, 24));
    let dense = load("f32-gqa2");
    let refused = block_on(dense.encode_into(Role::Document, &["a"], MarkerPosition::First, take, &())).unwrap_err();
    assert_eq!(refused.code(), "unsupported");
}

#[test]
fn the_device_outlives_the_model_for_whoever_shares_it() {
    let model = load("late-st");
    let ([packed], tokens) = packed(&model, &["a red bicycle"], [RowFormat::Float16]);
    let count = tokens.ids.len() as u64 * 48;
    let before = block_on(packed.data.read(0, count)).unwrap();
    drop(model);
    assert!(before.iter().any(|&b| b != 0));
    assert_eq!(block_on(packed.data.read(0, count)).unwrap(), before);
}
