//! Whole models against Hugging Face transformers, on the adapter that `VK_ICD_FILENAMES` chooses and on the processor.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod support;

use pplx_embed::backend::Device;
use pplx_embed::hub::Folder;
use pplx_embed::model::{LoadOptions, Model, WeightChoice};

fn load(name: &str, device: Device, weights: WeightChoice) -> Model {
    let folder = Folder::new(format!("tests/fixtures/checkpoints/{name}"));
    pollster::block_on(Model::load(&folder, LoadOptions { device, weights, ..Default::default() }, &())).unwrap()
}

fn expected(name: &str) -> [Vec<u8>; 2] {
    ["json", "safetensors"].map(|end| std::fs::read(format!("tests/fixtures/expected/{name}.{end}")).unwrap())
}

#[test]
fn every_form_of_every_checkpoint_equals_transformers() {
    for name in support::CHECKPOINTS {
        let [json, tensors] = expected(name);
        let model = load(name, Device::Gpu, WeightChoice::Auto);
        pollster::block_on(support::vectors_equal_transformers(&model, &json, &tensors));
    }
}

#[test]
fn the_processor_equals_transformers_in_every_format_of_weights() {
    for (name, weights) in support::CHECKPOINTS
        .map(|name| (name, WeightChoice::Auto))
        .into_iter()
        .chain([("bf16-gqa4-sharded", WeightChoice::F32), ("f16-mha", WeightChoice::F32)])
    {
        let [json, tensors] = expected(name);
        let model = load(name, Device::Cpu, weights);
        assert_eq!((model.info().device, model.info().adapter.backend.as_str()), ("cpu", "cpu"));
        // Its loops are slow without optimisation, which tests are built without.
        pollster::block_on(support::short_texts_equal_transformers(&model, &json, &tensors));
    }
}

#[test]
fn weights_widened_to_f32_equal_transformers() {
    for name in ["bf16-gqa4-sharded", "f16-mha"] {
        let [json, tensors] = expected(name);
        let model = load(name, Device::Gpu, WeightChoice::F32);
        pollster::block_on(support::vectors_equal_transformers(&model, &json, &tensors));
    }
}

#[test]
fn every_layer_equals_transformers() {
    for name in support::CHECKPOINTS {
        let [json, tensors] = expected(name);
        let model = load(name, Device::Gpu, WeightChoice::Auto);
        pollster::block_on(support::hidden_states_equal_transformers(&model, &json, &tensors));
    }
}

#[test]
fn a_text_has_the_same_bits_alone_and_in_any_batch() {
    for (name, device) in support::CHECKPOINTS.map(|n| (n, Device::Gpu)).into_iter().chain([("f32-odd", Device::Cpu)]) {
        let model = load(name, device, WeightChoice::Auto);
        pollster::block_on(support::bits_do_not_depend_on_the_batch(&model, &expected(name)[0]));
    }
}
