//! The option `precision` of a whole model.

use std::path::Path;

use pollster::block_on;
use pplx_embed::Result;
use pplx_embed::backend::{Backend, Device, Operation, Precision};
use pplx_embed::hub::Folder;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::numbers::{Dtype, MatrixFormat};

use crate::support::{self, Copy};

const TEXTS: [&str; 3] =
    ["one", "A somewhat longer text, of a sentence.", "Where is the library, and when does it open?"];

fn folder(checkpoint: impl AsRef<Path>) -> Folder {
    Folder::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(checkpoint))
}

fn load(checkpoint: impl AsRef<Path>, device: Device, weights: WeightChoice, precision: Precision) -> Result<Model> {
    let options = LoadOptions { device, weights, precision, ..LoadOptions::default() };
    block_on(Model::load(&folder(checkpoint), options, &()))
}

/// The same with a fast family that GPUs have, which this adapter, if it is software, would not get.
fn load_on_gpu(checkpoint: impl AsRef<Path>, family: &str, weights: WeightChoice, precision: Precision) -> Model {
    let open = async |_, _| Ok((Backend::gpu_with(&[family, "lanes"]).await?, String::new()));
    let options = LoadOptions { device: Device::Gpu, weights, precision, ..LoadOptions::default() };
    block_on(Model::load_on(&folder(checkpoint), open, options, &())).unwrap()
}

/// 1 - cosine of each two vectors.
fn distances(a: &[f32], b: &[f32]) -> Vec<f64> {
    let dim = a.len() / TEXTS.len();
    // Rounded to f32, vectors are not quite as long as 1.
    let dot = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let distance = |(a, b)| 1.0 - dot((a, b)) / (dot((a, a)) * dot((b, b))).sqrt();
    a.chunks_exact(dim).zip(b.chunks_exact(dim)).map(distance).collect()
}

fn vectors(model: &Model) -> Vec<f32> {
    let options = EmbedOptions { dtype: Some(Dtype::Float32), normalize: Some(true), ..EmbedOptions::default() };
    match block_on(model.embed(&TEXTS, options, &())).unwrap().data {
        Data::Float32(numbers) => numbers,
        other => panic!("{other:?}"),
    }
}

/// Whether this processor multiplies bytes.
fn can_be_fast() -> bool {
    let operation = [Operation::Matmul(MatrixFormat::Q8 { group: 64 })];
    block_on(Backend::cpu().kernels_for(Precision::Fast, &operation)).unwrap().precision() == Precision::Fast
}

#[test]
fn fast_vectors_are_close_to_exact_ones_and_the_info_says_which_they_are() {
    for weights in [WeightChoice::Q8, WeightChoice::Q4] {
        let of = |precision| load("models/demo", Device::Cpu, weights, precision).unwrap();
        let (exact, fast) = (of(Precision::Exact), of(Precision::Fast));
        assert_eq!(exact.info().precision, Precision::Exact);
        let (a, b) = (vectors(&exact), vectors(&fast));
        if !can_be_fast() {
            assert!(fast.info().precision == Precision::Exact && a == b, "exact kernels give exact vectors");
            continue;
        }
        assert_eq!(fast.info().precision, Precision::Fast);
        assert!(fast.info().kernels.iter().any(|name| name.starts_with("matmul.avx512_int8.q")));
        let distances = distances(&a, &b);
        assert!(distances.iter().all(|d| (1e-7..3e-4).contains(d)), "{weights:?}: 1 - cosine = {distances:?}");
    }
}

#[test]
fn weights_that_are_no_codes_stay_exact_if_nobody_asked_for_them_and_are_refused_if_somebody_did() {
    let stored = |precision| load("models/demo", Device::Cpu, WeightChoice::Auto, precision).unwrap();
    let (exact, fast) = (stored(Precision::Exact), stored(Precision::Fast));
    assert_eq!((fast.info().precision, fast.info().weights), (Precision::Exact, MatrixFormat::Bf16));
    assert_eq!(vectors(&exact), vectors(&fast));
    for weights in [WeightChoice::F32, WeightChoice::F16] {
        let error = load("models/demo", Device::Cpu, weights, Precision::Fast).err().unwrap();
        assert_eq!(error.code(), "invalid-argument");
        assert!(error.to_string().contains("allowed with it are weights auto, q8 and q4"), "{error}");
    }
    let error = "quick".parse::<Precision>().unwrap_err();
    assert!(error.to_string().contains("exact") && error.to_string().contains("fast"), "{error}");
}

/// The demo model as one of two heads of 128 dimensions, which are made in one, instead of four heads of 64.
fn with_heads_of_128() -> Copy {
    let copy = Copy::of("f32-gqa2");
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(Path::new("models/demo").join(file), copy.path().join(file)).unwrap();
    }
    copy.edit("config.json", |config| {
        for (key, value) in [("head_dim", 128), ("num_attention_heads", 2), ("num_key_value_heads", 1)] {
            config[key] = value.into();
        }
    });
    let path = copy.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let stored = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    // The norms of heads: their weights twice.
    let longer: Vec<Vec<u8>> = stored.iter().map(|(_, tensor)| tensor.data().repeat(2)).collect();
    let views = stored.iter().zip(&longer).map(|((name, tensor), longer)| {
        let view = match tensor.shape() {
            [64] => safetensors::tensor::TensorView::new(tensor.dtype(), vec![128], longer).unwrap(),
            _ => tensor,
        };
        (name, view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    copy
}

/// What this adapter would not get takes long to compile, so each model is loaded once.
#[test]
fn fast_vectors_of_a_gpu_are_close_to_exact_ones_and_to_those_of_the_processor_and_have_the_same_bits_in_any_batch() {
    compare_fast_vectors("int8", 1e-7..3e-4);
}

#[test]
fn vectors_of_cooperative_matrices_are_close_to_exact_ones_and_have_the_same_bits_in_any_batch() {
    let Backend::Gpu(gpu) = block_on(Backend::gpu()).unwrap() else { panic!("opened on the GPU") };
    for size in support::matrix_sizes(&gpu) {
        compare_fast_vectors(&format!("matrix{size}"), 1e-12..2e-8);
    }
}

/// Loads models with a fast family, whose vectors are to be within this 1 - cosine of exact ones.
fn compare_fast_vectors(family: &str, within: std::ops::Range<f64>) {
    let longer = with_heads_of_128();
    let json = std::fs::read("tests/fixtures/expected/f32-gqa2.json").unwrap();
    for checkpoint in [Path::new("models/demo"), longer.path()] {
        for weights in [WeightChoice::Q4, WeightChoice::Q8] {
            let fast = load_on_gpu(checkpoint, family, weights, Precision::Fast);
            let info = fast.info();
            assert_eq!(info.precision, Precision::Fast);
            let in_one = fast.config().head_dim == 128;
            for operation in ["matmul", "swiglu"].into_iter().chain(in_one.then_some("heads")) {
                let kernel = format!("{operation}.{family}.{}", info.weights.name());
                assert!(info.kernels.contains(&kernel), "{:?}", info.kernels);
            }

            let made = vectors(&fast);
            let exact = load(checkpoint, Device::Gpu, weights, Precision::Exact).unwrap();
            let from_exact = distances(&made, &vectors(&exact));
            assert!(from_exact.iter().all(|d| within.contains(d)), "{weights:?}: 1 - cosine = {from_exact:?}");
            if can_be_fast() && family == "int8" {
                // Both round alike, but where attention or a norm put a number on the other side of a half.
                let there = load(checkpoint, Device::Cpu, weights, Precision::Fast).unwrap();
                let from_there = distances(&made, &vectors(&there));
                assert!(from_there.iter().all(|d| d.abs() < 5e-7), "{weights:?}: 1 - cosine = {from_there:?}");
            }
            if in_one {
                block_on(support::bits_do_not_depend_on_the_batch(&fast, &json));
            }

            // For each layer rounded rows, heads, attention; rounded rows and a product for the output and for each of the
            // MLP's two; then the last norm, the mean and the result. Other heads have a norm, rounded rows, three products,
            // two rotations.
            let Backend::Gpu(gpu) = fast.backend() else { panic!("opened on the GPU") };
            let before = gpu.dispatches();
            block_on(fast.embed(&["a text"], EmbedOptions::default(), &())).unwrap();
            let heads = if in_one { 2 } else { 7 };
            assert_eq!(gpu.dispatches() - before, u64::from(fast.config().layers) * (heads + 7) + 3, "{checkpoint:?}");
            if info.adapter.name.contains("SwiftShader") {
                // It takes seconds for each kernel: those of the other format are left to other drivers.
                break;
            }
        }
    }
}

#[test]
fn a_software_gpu_stays_exact_and_a_gpu_is_fast_only_if_it_is_asked_for() {
    let of = |precision| load("models/demo", Device::Gpu, WeightChoice::Q8, precision).unwrap();
    assert_eq!(
        load_on_gpu("models/demo", "int8", WeightChoice::Q8, Precision::Exact).info().precision,
        Precision::Exact
    );
    let (exact, fast) = (of(Precision::Exact), of(Precision::Fast));
    assert_eq!(exact.info().precision, Precision::Exact);
    if fast.info().adapter.software {
        assert_eq!(fast.info().precision, Precision::Exact);
        assert_eq!(vectors(&exact), vectors(&fast));
    }
}
