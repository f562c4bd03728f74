//! The option `precision` of a whole model.

use pollster::block_on;
use pplx_embed::Result;
use pplx_embed::backend::{Backend, Device, Operation, Precision};
use pplx_embed::hub::Folder;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::numbers::{Dtype, MatrixFormat};

const TEXTS: [&str; 3] =
    ["one", "A somewhat longer text, of a sentence.", "Where is the library, and when does it open?"];

fn load(checkpoint: &str, device: Device, weights: WeightChoice, precision: Precision) -> Result<Model> {
    let folder = Folder::new(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(checkpoint));
    let options = LoadOptions { device, weights, precision, ..LoadOptions::default() };
    block_on(Model::load(&folder, options, &()))
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
        let dim = a.len() / TEXTS.len();
        for (a, b) in a.chunks_exact(dim).zip(b.chunks_exact(dim)) {
            let cosine: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((1e-7..3e-4).contains(&(1.0 - cosine)), "{weights:?}: 1 - cosine = {:e}", 1.0 - cosine);
        }
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

#[test]
fn a_gpu_has_exact_kernels_only() {
    let of = |precision| load("models/demo", Device::Gpu, WeightChoice::Q8, precision).unwrap();
    let (exact, fast) = (of(Precision::Exact), of(Precision::Fast));
    assert_eq!(fast.info().precision, Precision::Exact);
    assert_eq!(vectors(&exact), vectors(&fast));
}
