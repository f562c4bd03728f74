//! Numbers that are not numbers: in weights they are an error of loading, in vectors one of the call, on every engine.

use std::path::Path;

use pollster::block_on;
use pplx_embed::Error;
use pplx_embed::backend::Device;
use pplx_embed::hub::Folder;
use pplx_embed::model::late::{EncodeOptions, Role};
use pplx_embed::model::{ContextOptions, EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::numbers::{Dtype, RowFormat};

use crate::support::Copy;

const DEVICES: [Device; 2] = [Device::Cpu, Device::Gpu];

/// Sets the number at `index` of a tensor to the bytes `value`.
fn set(folder: &Path, tensor: &str, index: usize, value: &[u8]) {
    let path = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    let at = 8 + length + start + index * value.len();
    bytes[at..at + value.len()].copy_from_slice(value);
    std::fs::write(path, bytes).unwrap();
}

fn load(folder: &Path, device: Device, weights: WeightChoice) -> Result<Model, Error> {
    block_on(Model::load(&Folder::new(folder), LoadOptions { device, weights, ..Default::default() }, &()))
}

#[test]
fn a_weight_that_is_not_finite_is_named_with_file_tensor_and_place() {
    // [128, 256], so that 300 is row 1, column 44.
    let down = "layers.0.mlp.down_proj.weight";
    for device in DEVICES {
        for weights in [WeightChoice::Auto, WeightChoice::F16, WeightChoice::Q8, WeightChoice::Q4] {
            for (tensor, index, value, place) in [
                (down, 300, f32::NAN, "NaN at [1, 44]"),
                ("embed_tokens.weight", 129, f32::INFINITY, "inf at [1, 1]"),
                ("layers.1.self_attn.k_norm.weight", 5, f32::NEG_INFINITY, "-inf at [5]"),
            ] {
                let copy = Copy::of("f32-gqa2");
                set(copy.path(), tensor, index, &value.to_le_bytes());
                let error = load(copy.path(), device, weights).err().unwrap();
                let words = ["model.safetensors", tensor, place];
                assert_eq!(error.code(), "invalid-checkpoint", "{error}");
                assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
            }
        }
    }
}

#[test]
fn a_half_that_is_not_finite_is_found_too() {
    let copy = Copy::of("f16-mha");
    set(copy.path(), "layers.1.mlp.up_proj.weight", 64, &0x7e00u16.to_le_bytes());
    let error = load(copy.path(), Device::Cpu, WeightChoice::Auto).err().unwrap().to_string();
    assert!(error.contains("up_proj.weight has NaN at [1, 0]"), "{error}");
}

/// Finite weights whose products overflow.
fn overflowing(name: &str, norm: &str) -> Copy {
    let copy = Copy::of(name);
    for i in 8..16 {
        set(copy.path(), norm, i, &3e38f32.to_le_bytes());
    }
    copy
}

#[test]
fn a_vector_that_is_not_finite_is_an_error_in_every_form() {
    let copy = overflowing("f32-gqa2", "norm.weight");
    for device in DEVICES {
        let model = load(copy.path(), device, WeightChoice::Auto).unwrap();
        for dtype in [Dtype::Float32, Dtype::Int8, Dtype::Binary, Dtype::Ubinary] {
            let options = EmbedOptions { dtype: Some(dtype), ..EmbedOptions::default() };
            // The empty text has no numbers to be wrong.
            let error = block_on(model.embed(&["", "some words, and others"], options.clone(), &())).err().unwrap();
            assert_eq!(error.code(), "not-finite", "{error}");
            assert!(error.to_string().starts_with("the vector of texts[1] is not finite"), "{error}");
            assert!(block_on(model.embed(&[""], options, &())).is_ok());
        }
        // What is cut off does not matter.
        let options = EmbedOptions { dimensions: Some(8), ..EmbedOptions::default() };
        assert!(block_on(model.embed(&["some words"], options, &())).is_ok());
    }
}

#[test]
fn so_is_a_chunk_s_and_a_token_s() {
    for device in DEVICES {
        let copy = overflowing("context", "norm.weight");
        let model = load(copy.path(), device, WeightChoice::Auto).unwrap();
        let documents = [vec!["a"], vec!["some words", "and others"]];
        let error = block_on(model.embed_context(&documents, ContextOptions::default(), &())).err().unwrap();
        assert!(error.code() == "not-finite" && error.to_string().contains("documents["), "{error}");

        let copy = overflowing("late-st", "norm.weight");
        let model = load(copy.path(), device, WeightChoice::Auto).unwrap();
        for dtype in [RowFormat::Float32, RowFormat::Int8, RowFormat::Binary] {
            let options = EncodeOptions { dtype, ..EncodeOptions::default() };
            let error = block_on(model.encode(Role::Document, &["some words"], options, &())).err().unwrap();
            assert!(error.code() == "not-finite" && error.to_string().contains("texts[0]"), "{error}");
        }
    }
}
