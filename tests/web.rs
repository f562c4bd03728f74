//! The same checks as natively, in a browser: Chrome's WGSL compiler, every kernel, and whole models against
//! transformers. `scripts/test-web.sh` runs them in headless Chromium on SwiftShader, whose subgroups have size 4.
//! The kernels' sweeps are those of `kernels/`, thinned out to the edges where tiles meet.
#![cfg(target_arch = "wasm32")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use std::cell::Cell;

use pplx_embed::backend::probe::{self, Probe};
use pplx_embed::backend::{Activation, Backend, Device, Heads, Operation, Precision, shaders};
use pplx_embed::hub::{ByteStream, NoDerivedFile, Source};
use pplx_embed::maxsim::Scorer;
use pplx_embed::model::{LoadOptions, Model};
use pplx_embed::numbers::{Dtype, MatrixFormat, RowFormat};
use pplx_embed::{Error, Result};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

/// One device for the kernels' tests: opening one takes longer than most of them.
async fn gpu() -> &'static Backend {
    thread_local!(static GPU: Cell<Option<&'static Backend>> = const { Cell::new(None) });
    if GPU.get().is_none() {
        GPU.set(Some(Box::leak(Box::new(Backend::gpu().await.unwrap()))));
    }
    GPU.get().unwrap()
}

/// Each format; those with groups in groups of 8.
const HEADS: Heads = Heads { query: 2, key: 1, dim: 16, causal: false, window: None };
const FORMATS: [MatrixFormat; 5] = [
    MatrixFormat::F32,
    MatrixFormat::F16,
    MatrixFormat::Bf16,
    MatrixFormat::Q8 { group: 8 },
    MatrixFormat::Q4 { group: 8 },
];

/// Runs `test` with kernels for `operations`, on the GPU and on the processor.
async fn on_each(operations: &[Operation], test: impl AsyncFn(&Probe<'_>)) {
    for backend in [gpu().await, &Backend::cpu()] {
        let kernels = backend.kernels(operations).await.unwrap();
        test(&Probe { backend, kernels: &kernels, tolerance: 2e-5 }).await;
    }
}

/// In their own module, which Chrome has the instructions for (relaxed SIMD).
#[wasm_bindgen_test]
async fn products_of_activations_of_eight_bits() {
    let backend = Backend::cpu();
    let operations = Operation::of_encoder(HEADS, &FORMATS);
    let kernels = backend.kernels_for(Precision::Fast, &operations).await.unwrap();
    assert_eq!(kernels.precision(), Precision::Fast);
    let names: Vec<String> = kernels.choices().into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"matmul.relaxed_int8.q4".to_owned()), "{names:?}");
    let probe = Probe { backend: &backend, kernels: &kernels, tolerance: 2e-5 };
    // Blocks below, at and past the 8 fours whose sums are short; panels of 8; tiles of 4.
    for group in [4, 12, 32, 36, 64, 1024] {
        for format in [MatrixFormat::Q8 { group }, MatrixFormat::Q4 { group }] {
            for [rows, n, k] in [[1, 1, 8], [4, 8, 64], [5, 9, 72], [3, 17, 264], [9, 4, 1024]] {
                probe::matmul(&probe, format, [rows, n, k], u64::MAX).await.unwrap();
            }
            probe::swiglu(&probe, format, [5, 11, 40], u64::MAX).await.unwrap();
        }
    }
    for matrices in [1, 2] {
        probe::rows_alike(&probe, MatrixFormat::Q4 { group: 8 }, matrices).await.unwrap();
    }
}

#[wasm_bindgen_test]
async fn chrome_compiles_every_shader() {
    let Backend::Gpu(gpu) = gpu().await else { panic!("no GPU") };
    assert_eq!(gpu.adapter().backend, "webgpu");
    for shader in shaders::ALL {
        shaders::compile(gpu, shader.name, &shader.source()).await.unwrap();
    }
    let broken = shaders::compile(gpu, "broken", "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }").await;
    assert!(matches!(broken, Err(Error::Gpu { .. })), "{broken:?}");
}

#[wasm_bindgen_test]
async fn matmul_and_swiglu_at_the_edges_of_their_tiles() {
    on_each(&Operation::of_encoder(HEADS, &FORMATS), async |probe| {
        for format in FORMATS {
            for rows in [1, 4, 33] {
                for n in [1, 8, 63, 65] {
                    probe::matmul(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                    probe::swiglu(probe, format, [rows, n, 16], u64::MAX).await.unwrap();
                }
            }
            probe::matmul(probe, format, [5, 13, 3072], u64::MAX).await.unwrap();
            // The weight cut into parts of 9 rows.
            let row = format.value_bytes(24).max(format.row_groups(24) * 8);
            probe::matmul(probe, format, [5, 30, 24], 9 * row).await.unwrap();
            probe::swiglu(probe, format, [5, 30, 24], 2 * 9 * row).await.unwrap();
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn affine_weights_in_every_size_of_group() {
    on_each(&Operation::of_encoder(HEADS, &FORMATS[3..]), async |probe| {
        for group in [4, 32, 64, 128, u32::MAX] {
            for format in [MatrixFormat::Q8 { group }, MatrixFormat::Q4 { group }] {
                for k in [8, 64, 72, 136] {
                    probe::matmul(probe, format, [5, 9, k], u64::MAX).await.unwrap();
                    probe::swiglu(probe, format, [5, 5, k], u64::MAX).await.unwrap();
                }
            }
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn allocating_gives_what_was_made() {
    let gpu = gpu().await;
    let none = gpu.kernels(&[]).await.unwrap();
    let made = gpu.allocate(|| gpu.weight(&none, "w", [2, 8, 64], MatrixFormat::Q4 { group: 32 })).await.unwrap();
    assert_eq!(made.bytes(), 2 * 8 * (32 + 16));
}

#[wasm_bindgen_test]
async fn the_other_kernels_at_the_edges_of_theirs() {
    let mut operations = Operation::of_encoder(HEADS, &[]);
    operations.push(Operation::Bias);
    operations.extend([128, 256].map(|dim| Operation::Attention(Heads { dim, ..HEADS })));
    on_each(&operations, async |probe| {
        for h in [4, 252, 260, 1028, 2560] {
            probe::rms_norm(probe, 3, h).await.unwrap();
        }
        for (dh, [rows, heads]) in [(4, [1, 1]), (20, [7, 3]), (64, [31, 2]), (128, [9, 16]), (256, [2, 1])] {
            probe::head_norm_rope(probe, rows, [heads, dh]).await.unwrap();
        }
        for causal in [false, true] {
            for length in [1, 4, 5, 8, 9, 17, 67] {
                let heads = Heads { causal, ..HEADS };
                probe::attention(probe, &[length], heads).await.unwrap();
            }
            for (query, key, dim) in [(1, 1, 4), (3, 3, 20), (4, 2, 64), (6, 2, 8), (4, 1, 128), (2, 1, 256)] {
                let heads = Heads { query, key, dim, causal, window: None };
                probe::attention(probe, &[5, 1, 8, 13, 4], heads).await.unwrap();
            }
        }
        for lengths in [&[0][..], &[0, 3, 0], &[63, 64, 65]] {
            probe::pool(probe, lengths, 100, [0.25, 0.25]).await.unwrap();
        }
        for activation in [Activation::Identity, Activation::Tanh] {
            probe::bias(probe, 3, 65, activation).await.unwrap();
        }
        for (causal, window) in [(false, 4), (true, 9)] {
            let heads = Heads { query: 2, key: 1, dim: 16, causal, window: Some(window) };
            probe::attention(probe, &[5, 67], heads).await.unwrap();
        }
        for d in [1, 4, 31, 33, 100] {
            for dtype in [Dtype::Float32, Dtype::Int8, Dtype::Binary, Dtype::Ubinary] {
                probe::quantize(probe, 5, [100, d], dtype, dtype == Dtype::Float32).await.unwrap();
            }
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn the_kernels_of_rows_at_the_edges_of_theirs() {
    let all = [RowFormat::Float32, RowFormat::Float16, RowFormat::Int8, RowFormat::Binary];
    for format in [RowFormat::Int8, RowFormat::Float32, RowFormat::Binary] {
        on_each(&[Operation::Dense(format)], async |probe| {
            for (queries, rows) in [(1, 64), (2, 65), (8, 63), (9, 1)] {
                for dim in [1, 17, 128, 130] {
                    probe::dense(probe, format, [queries, rows, dim]).await.unwrap();
                }
            }
        })
        .await;
    }
    for format in all {
        on_each(&[Operation::PackRows(format)], async |probe| {
            for dim in [1, 3, 4, 96, 127, 128, 130] {
                probe::pack_rows(probe, format, 65, dim).await.unwrap();
            }
        })
        .await;
    }
}

/// The files of a model, in memory: there is no folder to read in a browser, and `tests/web` tests the fetching.
struct Memory(&'static [(&'static str, &'static [u8])]);

struct Chunks {
    size: usize,
    chunks: std::slice::Chunks<'static, u8>,
}

impl Source for Memory {
    type ByteStream = Chunks;
    type DerivedFile<'a> = NoDerivedFile;

    async fn open(&self, file: &str) -> Result<Chunks> {
        match self.0.iter().find(|(name, _)| *name == file) {
            Some((_, bytes)) => Ok(Chunks { size: bytes.len(), chunks: bytes.chunks(65_537) }),
            None => Err(Error::NotFound { file: file.into(), place: "memory".into() }),
        }
    }
}

impl ByteStream for Chunks {
    fn size(&self) -> Option<u64> {
        Some(self.size as u64)
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(self.chunks.next().map(<[u8]>::to_vec))
    }
}

macro_rules! fixture {
    ($name:literal, $($file:literal),+) => {
        Fixture {
            files: Memory(&[$(($file, include_bytes!(concat!("fixtures/checkpoints/", $name, "/", $file)))),+]),
            json: include_bytes!(concat!("fixtures/expected/", $name, ".json")),
            tensors: include_bytes!(concat!("fixtures/expected/", $name, ".safetensors")),
        }
    };
}

struct Fixture {
    files: Memory,
    json: &'static [u8],
    tensors: &'static [u8],
}

impl Fixture {
    async fn load(&self, device: Device) -> Model {
        Model::load(&self.files, LoadOptions { device, ..LoadOptions::default() }, &()).await.unwrap()
    }

    async fn equals_transformers(&self, device: Device) {
        support::vectors_equal_transformers(&self.load(device).await, self.json, self.tensors).await;
    }
}

const F32: Fixture = fixture!(
    "f32-gqa2",
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors"
);
const BF16_SHARDED: Fixture = fixture!(
    "bf16-gqa4-sharded",
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors.index.json",
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors"
);
const F16: Fixture = fixture!(
    "f16-mha",
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors"
);
const ODD: Fixture = fixture!(
    "f32-odd",
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors"
);
const CAUSAL: Fixture = fixture!(
    "causal-last-f32",
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors"
);

#[wasm_bindgen_test]
async fn every_model_equals_transformers_on_the_processor() {
    for fixture in [F32, BF16_SHARDED, F16, ODD, CAUSAL] {
        fixture.equals_transformers(Device::Cpu).await;
    }
}

// On SwiftShader the others take minutes, and natively all five are tested.
#[wasm_bindgen_test]
async fn a_model_that_looks_both_ways_equals_transformers_on_the_gpu() {
    ODD.equals_transformers(Device::Gpu).await;
}

#[wasm_bindgen_test]
async fn a_causal_last_token_model_equals_transformers_on_the_gpu() {
    CAUSAL.equals_transformers(Device::Gpu).await;
}

#[wasm_bindgen_test]
async fn a_text_has_the_same_bits_alone_and_in_any_batch() {
    // Of one model with each mask.
    for (fixture, device) in [(F16, Device::Cpu), (CAUSAL, Device::Cpu), (CAUSAL, Device::Gpu)] {
        support::bits_do_not_depend_on_the_batch(&fixture.load(device).await, fixture.json).await;
    }
}

#[wasm_bindgen_test]
async fn maxsim_at_the_edges_of_its_tiles_and_against_sentence_transformers() {
    let gpu = gpu().await;
    let fixture = include_bytes!("fixtures/expected/maxsim.safetensors");
    for family in ["strip", "tile"] {
        let scorer = Scorer::of(family);
        support::maxsim::edges(gpu, &scorer, &support::maxsim::FORMS, &[3, 33]).await;
        support::maxsim::scores_equal_sentence_transformers(gpu, &scorer, fixture).await;
    }
}
