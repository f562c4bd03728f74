//! Whole models against Hugging Face transformers, on the processor and on the adapter that `VK_ICD_FILENAMES` chooses.
//! Every model with texts of every length takes minutes on an adapter that is software; that is behind `make test-full`.

use pollster::block_on;
use pplx_embed::backend::{Backend, Device};
use pplx_embed::hub::Folder;
use pplx_embed::model::{EmbedOptions, LoadOptions, Model, WeightChoice};

use crate::support;

/// The checkpoints as they are stored, and those of 16 bits widened.
fn every_format() -> impl Iterator<Item = (&'static str, WeightChoice)> {
    let stored = support::CHECKPOINTS.map(|name| (name, WeightChoice::Auto));
    stored.into_iter().chain([("bf16-gqa4-sharded", WeightChoice::F32), ("f16-mha", WeightChoice::F32)])
}

fn load(name: &str, device: Device, weights: WeightChoice) -> Model {
    let folder = Folder::new(format!("tests/fixtures/checkpoints/{name}"));
    let model = block_on(Model::load(&folder, LoadOptions { device, weights, ..Default::default() }, &())).unwrap();
    assert_eq!(model.info().device, if device == Device::Cpu { "cpu" } else { "gpu" });
    model
}

fn expected(name: &str) -> [Vec<u8>; 2] {
    ["json", "safetensors"].map(|end| std::fs::read(format!("tests/fixtures/expected/{name}.{end}")).unwrap())
}

fn every_form_equals_transformers(name: &str, device: Device, weights: WeightChoice) {
    let [json, tensors] = expected(name);
    block_on(support::vectors_equal_transformers(&load(name, device, weights), &json, &tensors));
}

#[test]
fn every_form_of_every_checkpoint_equals_transformers_on_the_processor() {
    for (name, weights) in every_format() {
        every_form_equals_transformers(name, Device::Cpu, weights);
    }
}

#[test]
fn every_form_equals_transformers_on_the_gpu() {
    every_form_equals_transformers("f32-odd", Device::Gpu, WeightChoice::Auto);
}

#[test]
#[ignore = "minutes on a software GPU: make test-full"]
fn every_form_of_every_checkpoint_equals_transformers_on_the_gpu() {
    for (name, weights) in every_format() {
        every_form_equals_transformers(name, Device::Gpu, weights);
    }
}

#[test]
fn short_texts_of_every_checkpoint_equal_transformers_on_the_gpu() {
    for (name, weights) in every_format() {
        let [json, tensors] = expected(name);
        let model = load(name, Device::Gpu, weights);
        block_on(support::short_texts_equal_transformers(&model, &json, &tensors));
    }
}

#[test]
fn a_gpu_that_is_slower_than_the_processor_is_left_to_those_who_ask_for_it() {
    let folder = Folder::new("tests/fixtures/checkpoints/f32-gqa2");
    let open = async |_, device| match device {
        // As if it were not known to be software.
        Device::Auto | Device::Gpu => Ok((Backend::gpu().await?, "there is a GPU".into())),
        Device::Cpu => Ok((Backend::cpu(), "asked for".into())),
    };
    for (device, name, words) in [(Device::Auto, "cpu", "faster than the GPU"), (Device::Gpu, "gpu", "there is a GPU")]
    {
        let options = LoadOptions { device, ..LoadOptions::default() };
        let info = block_on(Model::load_on(&folder, open, options, &())).unwrap().info();
        assert!(info.device == name && info.why.contains(words), "{}: {}", info.device, info.why);
    }
}

/// A model with the kernels of a family that this adapter would not get.
fn load_with(family: &str, name: &str, weights: WeightChoice) -> Model {
    let folder = Folder::new(format!("tests/fixtures/checkpoints/{name}"));
    let open = async |_, _| Ok((Backend::gpu_with(&[family, "lanes"]).await?, String::new()));
    let options = LoadOptions { device: Device::Gpu, weights, ..Default::default() };
    let model = block_on(Model::load_on(&folder, open, options, &())).unwrap();
    let kernels = model.info().kernels;
    // Heads in one have 128 dimensions.
    let heads = (model.config().head_dim == 128).then_some("heads");
    for operation in ["matmul", "swiglu"].into_iter().chain(heads) {
        assert!(kernels.iter().any(|k| k.starts_with(&format!("{operation}.{family}."))), "{kernels:?}");
    }
    model
}

#[test]
fn the_families_of_real_gpus_equal_transformers_with_bits_that_do_not_depend_on_the_batch() {
    for (name, weights) in every_format() {
        let [json, tensors] = expected(name);
        let model = load_with("tile", name, weights);
        block_on(support::short_texts_equal_transformers(&model, &json, &tensors));
        block_on(support::bits_do_not_depend_on_the_batch(&model, &json));
    }
    for weights in [WeightChoice::Q8, WeightChoice::Q4] {
        let model = load_with("narrow", "f32-gqa2", weights);
        block_on(support::bits_do_not_depend_on_the_batch(&model, &expected("f32-gqa2")[0]));
    }
}

#[test]
fn dispatches_of_a_text() {
    // For each layer heads, attention, output, the MLP's two; then the last norm, the mean and the result. Heads of other
    // sizes than 128 take six dispatches for the first of these.
    let first_of_layer = [("bf16-gqa4-sharded", 1), ("f32-odd", 6)];
    for (name, heads) in first_of_layer {
        let model = load_with("tile", name, WeightChoice::Auto);
        let Backend::Gpu(gpu) = model.backend() else { panic!("opened on the GPU") };
        let before = gpu.dispatches();
        block_on(model.embed(&["a text"], EmbedOptions::default(), &())).unwrap();
        let layers = u64::from(model.config().layers);
        assert_eq!(gpu.dispatches() - before, layers * (heads + 4) + 3, "{name}");
    }
}

#[test]
fn every_layer_equals_transformers() {
    for device in [Device::Cpu, Device::Gpu] {
        for name in support::CHECKPOINTS {
            let [json, tensors] = expected(name);
            let model = load(name, device, WeightChoice::Auto);
            block_on(support::hidden_states_equal_transformers(&model, &json, &tensors));
        }
    }
}

#[test]
fn a_text_has_the_same_bits_alone_and_in_any_batch() {
    // On the GPU one model with each mask.
    let gpu = ["f32-odd", "causal-last-f32"].map(|name| (name, Device::Gpu));
    for (name, device) in support::CHECKPOINTS.map(|name| (name, Device::Cpu)).into_iter().chain(gpu) {
        let model = load(name, device, WeightChoice::Auto);
        block_on(support::bits_do_not_depend_on_the_batch(&model, &expected(name)[0]));
    }
}

#[test]
fn quantized_weights_have_the_same_bits_in_any_batch_too() {
    for weights in [WeightChoice::Q8, WeightChoice::Q4] {
        let model = load("f32-gqa2", Device::Cpu, weights);
        block_on(support::bits_do_not_depend_on_the_batch(&model, &expected("f32-gqa2")[0]));
    }
}
