//! int8 codes of vectors that were made as float32: one pass through the model serves every form and size.

use pollster::block_on;
use pplx_embed::hub::Folder;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model};
use pplx_embed::numbers::Dtype;
use pplx_embed::reference;

use crate::support::device;

const TEXTS: [&str; 6] = ["a red bicycle", "the history of the wheel", "", "Émile Zola, 1897.", "東京タワー", "x"];

fn load(folder: &str) -> Model {
    block_on(Model::load(&Folder::new(folder), LoadOptions { device: device(), ..LoadOptions::default() }, &()))
        .unwrap()
}

fn options(dtype: Dtype, dimensions: usize) -> EmbedOptions {
    EmbedOptions {
        dtype: Some(dtype),
        dimensions: Some(dimensions as u32),
        normalize: Some(false),
        ..EmbedOptions::default()
    }
}

#[test]
fn codes_of_float32_vectors_have_the_bits_that_embed_gives_at_every_size() {
    for (folder, sizes) in [("models/demo", [128, 64, 13]), ("tests/fixtures/checkpoints/f32-odd", [52, 51, 1])] {
        let model = load(folder);
        let embed = |dtype, size| block_on(model.embed(&TEXTS, options(dtype, size), &())).unwrap().data;
        let Data::Float32(vectors) = embed(Dtype::Float32, sizes[0]) else { panic!("not float32") };
        let codes = block_on(model.int8_codes(&vectors, &())).unwrap();
        for size in sizes {
            let cut = |codes: &[i8]| codes.chunks(sizes[0]).flat_map(|row| row[..size].to_vec()).collect::<Vec<_>>();
            assert_eq!(Data::Int8(cut(&codes)), embed(Dtype::Int8, size), "{folder} {size}");
            assert_eq!(Data::Binary(cut(&reference::binary(&vectors))), embed(Dtype::Binary, size), "{folder} {size}");
        }
        assert!(codes.iter().any(|&c| c != 0));
        assert_eq!(block_on(model.int8_codes(&vectors[1..], &())).unwrap_err().code(), "invalid-argument");
        assert!(block_on(model.int8_codes(&[], &())).unwrap().is_empty());
    }
    let other = load("tests/fixtures/checkpoints/causal-last-f32");
    assert_eq!(block_on(other.int8_codes(&[0.0; 48], &())).unwrap_err().code(), "invalid-argument");
}

#[test]
fn two_threads_of_one_model_do_not_disturb_each_other() {
    let model = load("models/demo");
    let embed = |dtype| block_on(model.embed(&TEXTS, options(dtype, 128), &())).unwrap().data;
    let (expected, Data::Float32(vectors)) = (embed(Dtype::Int8), embed(Dtype::Float32)) else { panic!("not float32") };
    let codes = block_on(model.int8_codes(&vectors, &())).unwrap();
    let vectors = vectors.repeat(40);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            for _ in 0..30 {
                assert!(block_on(model.int8_codes(&vectors, &())).unwrap().chunks(codes.len()).all(|c| c == codes));
            }
        });
        for _ in 0..15 {
            assert_eq!(embed(Dtype::Int8), expected);
        }
        other.join().unwrap();
    });
}
