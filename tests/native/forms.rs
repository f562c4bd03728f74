//! The forms weights can be held in: what loading makes of them is what `quantize` writes, and what the codes stand for.

use std::path::{Path, PathBuf};
use std::process::Command;

use pplx_embed::checkpoint::MatrixRows;
use pplx_embed::hub::Folder;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::numbers::{Dtype, Float, MatrixFormat};
use safetensors::{Dtype as Stored, SafeTensors, tensor::TensorView};

use crate::support;

const CHECKPOINTS: &str = "tests/fixtures/checkpoints";
const TEXTS: [&str; 3] = ["When does the library open?", "", "Ünïcödé, 漢字 and a few more words than before"];

fn load(folder: &Path, weights: WeightChoice, memory: Option<u64>) -> Model {
    let options = LoadOptions { weights, memory, device: support::device(), ..LoadOptions::default() };
    pollster::block_on(Model::load(&Folder::new(folder), options, &())).unwrap()
}

fn vectors(model: &Model) -> Vec<f32> {
    let options = EmbedOptions { dtype: Some(Dtype::Float32), normalize: Some(false), ..EmbedOptions::default() };
    let Data::Float32(data) = pollster::block_on(model.embed(&TEXTS, options, &())).unwrap().data else {
        panic!("not float32")
    };
    data
}

/// A folder under `target/tmp`, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// `pplx-embed quantize` of a checkpoint.
fn quantized(checkpoint: &str, bits: u32) -> Temporary {
    let out = Temporary::new(&format!("{checkpoint}-{bits}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
    command.args(["quantize", "--model", &format!("{CHECKPOINTS}/{checkpoint}"), "--bits", &bits.to_string()]);
    let result = command.arg("--output").arg(&out.0).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    out
}

/// The codes of a quantized folder as float32 numbers, in a folder of their own.
fn dequantized(folder: &Path, checkpoint: &str) -> Temporary {
    let out = Temporary::new(&format!("{checkpoint}-wide"));
    std::fs::create_dir_all(out.0.join("1_Pooling")).unwrap();
    for file in ["config.json", "modules.json", "tokenizer.json", "tokenizer_config.json", "1_Pooling/config.json"] {
        std::fs::copy(Path::new(CHECKPOINTS).join(checkpoint).join(file), out.0.join(file)).unwrap();
    }
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut wide: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, view) in tensors.iter() {
        let path = name.strip_suffix(".weight");
        let scales = path.and_then(|path| tensors.tensor(&format!("{path}.scales")).ok());
        match (path, scales) {
            (Some(path), Some(scales)) => {
                let (halves, biases) = (scales.data(), tensors.tensor(&format!("{path}.biases")).unwrap());
                let (rows, groups) = (scales.shape()[0], scales.shape()[1]);
                let columns = groups * 64;
                let bits = (view.shape()[1] * 32 / columns) as u32;
                let group = 64;
                let format = if bits == 4 { MatrixFormat::Q4 { group } } else { MatrixFormat::Q8 { group } };
                let (mut scale, mut bias, mut values) = (Vec::new(), Vec::new(), Vec::new());
                Float::F16.widen(halves, &mut scale);
                Float::F16.widen(biases.data(), &mut bias);
                let pairs: Vec<[f32; 2]> = scale.into_iter().zip(bias).map(|(s, b)| [s, b]).collect();
                for (codes, pairs) in view.data().chunks(view.shape()[1] * 4).zip(pairs.chunks(groups)) {
                    format.widen_row(codes, pairs, columns, &mut values);
                }
                wide.push((name.into(), vec![rows, columns], bytemuck::cast_slice(&values).to_vec()));
            }
            _ if name.ends_with(".scales") || name.ends_with(".biases") => {}
            _ => {
                let mut values = Vec::new();
                Float::parse(&format!("{:?}", view.dtype())).unwrap().widen(view.data(), &mut values);
                wide.push((name.into(), view.shape().to_vec(), bytemuck::cast_slice(&values).to_vec()));
            }
        }
    }
    let views = wide.iter().map(|(n, shape, data)| (n, TensorView::new(Stored::F32, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, &out.0.join("model.safetensors")).unwrap();
    out
}

#[test]
fn weights_quantized_while_loading_are_those_that_quantize_writes() {
    for (checkpoint, bits, held, kernel) in [
        ("f32-gqa2", 8, WeightChoice::Q8, MatrixFormat::Q8 { group: 64 }),
        ("f32-gqa2", 4, WeightChoice::Q4, MatrixFormat::Q4 { group: 64 }),
        // Rows of 96 are no whole groups of 64 and stay as they are; the others are quantized.
        ("bf16-gqa4-sharded", 4, WeightChoice::Q4, MatrixFormat::Bf16),
    ] {
        let original = Path::new(CHECKPOINTS).join(checkpoint);
        let written = quantized(checkpoint, bits);
        let (loading, reading) = (load(&original, held, None), load(&written.0, WeightChoice::Auto, None));
        assert_eq!(loading.info().weights, kernel, "{checkpoint}");
        assert_eq!(loading.info().kernels, reading.info().kernels, "{checkpoint}");
        assert_eq!(loading.info().bytes, reading.info().bytes, "{checkpoint}");
        assert_eq!(vectors(&loading), vectors(&reading), "{checkpoint} in {bits} bits: the same codes, the same bits");
        assert_ne!(
            vectors(&loading),
            vectors(&load(&original, WeightChoice::Auto, None)),
            "{checkpoint}: nothing was quantized"
        );
    }
}

#[test]
fn quantized_weights_are_what_their_codes_stand_for() {
    for bits in [8, 4] {
        let written = quantized("f32-gqa2", bits);
        let wide = dequantized(&written.0, "f32-gqa2");
        let (codes, numbers) =
            (vectors(&load(&written.0, WeightChoice::Auto, None)), vectors(&load(&wide.0, WeightChoice::F32, None)));
        for (got, want) in codes.chunks(128).zip(numbers.chunks(128)).filter(|(_, want)| want.iter().any(|&w| w != 0.0))
        {
            let cosine = support::cosine(got, want);
            assert!(cosine >= 0.999999, "{bits} bits: cosine {cosine}");
        }
    }
}

#[test]
fn rounding_to_16_and_8_bits_costs_little() {
    // The least cosine to the original of three texts. Random weights lose more than trained ones; in 4 bits they lose
    // too much for a bound to mean anything.
    let original = vectors(&load(&Path::new(CHECKPOINTS).join("f32-gqa2"), WeightChoice::Auto, None));
    for (held, least) in [(WeightChoice::F16, 0.999_999), (WeightChoice::Q8, 0.999)] {
        let got = vectors(&load(&Path::new(CHECKPOINTS).join("f32-gqa2"), held, None));
        for (got, want) in got.chunks(128).zip(original.chunks(128)).filter(|(_, want)| want.iter().any(|&w| w != 0.0))
        {
            let cosine = support::cosine(got, want);
            assert!(cosine >= least, "{held:?}: cosine {cosine}");
            assert!(held == WeightChoice::F16 || cosine < 0.999_999, "{held:?} is suspiciously exact");
        }
    }
}

#[test]
fn auto_takes_the_largest_form_that_memory_allows_and_says_so() {
    let folder = Path::new(CHECKPOINTS).join("f32-gqa2");
    let bytes = |held| load(&folder, held, None).info().bytes.device;
    let [f32, f16, q8, q4] = [WeightChoice::F32, WeightChoice::F16, WeightChoice::Q8, WeightChoice::Q4].map(bytes);
    assert!(f32 > f16 && f16 > q8 && q8 > q4, "{f32} {f16} {q8} {q4}");
    for (memory, want, note) in [
        (f32, MatrixFormat::F32, None),
        (f16, MatrixFormat::F16, Some("f16: stored would take")),
        (f16 - 8192, MatrixFormat::Q8 { group: 64 }, Some("q8: stored would take")),
        (q8 - 8192, MatrixFormat::Q4 { group: 64 }, Some("q4: stored would take")),
        // The smallest is tried whatever the estimate says.
        (0, MatrixFormat::Q4 { group: 64 }, Some("q4: stored would take")),
    ] {
        let info = load(&folder, WeightChoice::Auto, Some(memory)).info();
        assert_eq!(info.weights, want, "{memory} bytes: {:?}", info.weights_note);
        assert_eq!(info.weights_note.is_some(), note.is_some());
        assert!(info.weights_note.unwrap_or_default().starts_with(note.unwrap_or_default()));
    }
    // What was asked for is taken, whatever memory there is.
    assert_eq!(load(&folder, WeightChoice::F32, Some(0)).info().weights, MatrixFormat::F32);
}

#[test]
fn a_checkpoint_that_is_stored_smaller_stays_as_it_is() {
    let written = quantized("f32-gqa2", 4);
    let q4 = load(&written.0, WeightChoice::Auto, None);
    for held in [WeightChoice::Q8, WeightChoice::Q4, WeightChoice::F16] {
        assert_eq!(vectors(&load(&written.0, held, None)), vectors(&q4), "{held:?}");
    }
    // In float32 numbers it is what its codes stand for.
    let wide = load(&written.0, WeightChoice::F32, None);
    assert_eq!(wide.info().weights, MatrixFormat::F32);
    let (wide, q4) = (vectors(&wide), vectors(&q4));
    assert!(support::cosine(&wide[..128], &q4[..128]) >= 0.999999);
}

#[test]
fn rows_of_codes_are_what_arithmetic_says() {
    let mut values = Vec::new();
    let rows = MatrixRows { values: vec![0x10, 0x32, 0x54, 0x76], groups: vec![[0.5, -1.0], [2.0, 0.25]] };
    MatrixFormat::Q4 { group: 4 }.widen_row(&rows.values, &rows.groups, 8, &mut values);
    assert_eq!(values, [-1.0, -0.5, 0.0, 0.5, 8.25, 10.25, 12.25, 14.25]);
}
