//! A GPU that is taken away: every call says so, indexes are saved all the same and go on elsewhere.

use pollster::block_on;
use pplx_embed::Error;
use pplx_embed::backend::{Backend, Device};
use pplx_embed::hub::Folder;
use pplx_embed::index::{AddMode, Hit, Index, IndexKind, IndexOptions, Item, ItemText, SearchOptions};
use pplx_embed::maxsim::{Options, Scorer, TokenVectors};
use pplx_embed::model::{EmbedOptions, LoadOptions, Model};
use pplx_embed::numbers::{RowData, RowFormat};

const TEXTS: [&str; 4] = ["a red bicycle", "the library opens at nine", "", "bicycles and libraries"];

fn gpu() -> Backend {
    block_on(Backend::gpu()).unwrap()
}

fn lose(backend: &Backend) {
    let Backend::Gpu(gpu) = backend else { panic!("not a GPU") };
    gpu.lose();
}

fn load(name: &str, backend: &Backend) -> Model {
    let folder = Folder::new(format!("tests/fixtures/checkpoints/{name}"));
    let options = LoadOptions { device: Device::Gpu, ..LoadOptions::default() };
    block_on(Model::load_on(&folder, async |_, _| Ok((backend.clone(), String::new())), options, &())).unwrap()
}

fn is_lost<T>(result: Result<T, Error>, what: &str) {
    match result {
        Ok(_) => panic!("{what} works on a device that is gone"),
        Err(error) => assert_eq!(error.code(), "device-lost", "{what}: {error}"),
    }
}

#[test]
fn every_later_call_says_that_the_device_is_gone() {
    let backend = gpu();
    let model = load("f32-odd", &backend);
    assert!(block_on(model.embed(&TEXTS, EmbedOptions::default(), &())).is_ok());
    lose(&backend);
    let vectors = [0.5f32; 8];
    let tokens = TokenVectors { data: RowData::Float32(&vectors), offsets: &[0, 2], dim: 4 };
    for round in 0..3 {
        is_lost(block_on(model.embed(&TEXTS, EmbedOptions::default(), &())), &format!("embed, {round}"));
        is_lost(block_on(model.hidden_states("a")), "hidden_states");
        is_lost(block_on(model.int8_codes(&[0.0; 52], &())), "int8_codes");
        is_lost(block_on(Scorer::new().score(&backend, tokens, tokens, Options::default(), &())), "score");
    }
}

/// What an index holds and finds.
fn seen(index: &Index, model: &Model) -> (Vec<Vec<Hit>>, Vec<u8>) {
    let found = block_on(index.search_texts(model, &TEXTS, SearchOptions { k: 4, ..Default::default() }, &())).unwrap();
    (found, saved(index))
}

fn saved(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    block_on(index.save(&mut bytes, &())).unwrap();
    bytes
}

fn add(index: &mut Index, model: &Model, ids: &[&str]) -> Result<(), Error> {
    let items: Vec<Item<'_>> = ids.iter().map(|id| Item { id, data: None }).collect();
    let texts: Vec<ItemText<'_>> = TEXTS.iter().take(ids.len()).map(|text| ItemText::One(text)).collect();
    block_on(index.add_texts(model, &items, &texts, AddMode::Add, &())).map(drop)
}

fn survives(checkpoint: &str, options: IndexOptions) {
    let backend = gpu();
    let model = load(checkpoint, &backend);
    let mut index = Index::new(backend.clone(), options.clone()).unwrap();
    add(&mut index, &model, &["a", "b", "c", "d"]).unwrap();
    assert_eq!(block_on(index.remove(&["b", "unknown"])).unwrap(), 1);
    let before = seen(&index, &model);

    lose(&backend);
    is_lost(add(&mut index, &model, &["e"]), "add");
    is_lost(block_on(index.search_texts(&model, &TEXTS, SearchOptions::default(), &())), "search");
    assert_eq!(saved(&index), before.1, "what was not saved is saved after the loss");
    assert_eq!(index.len(), 3);

    // On another device of the same kind: the same bits.
    let other = gpu();
    let model = load(checkpoint, &other);
    block_on(index.move_to(other.clone())).unwrap();
    assert_eq!(seen(&index, &model), before);
    add(&mut index, &model, &["e", "f"]).unwrap();
    assert_eq!(index.len(), 5);

    // Lost again, after rows were moved and added: still all there, and on the processor, too.
    let before = saved(&index);
    lose(&other);
    block_on(index.move_to(Backend::cpu())).unwrap();
    assert_eq!(saved(&index), before);
}

#[test]
fn a_dense_index_outlives_its_device() {
    for rows in [RowFormat::Int8, RowFormat::Binary, RowFormat::Float32] {
        survives("f32-odd", IndexOptions { rows, ..IndexOptions::new(IndexKind::Dense, 52) });
    }
}

#[test]
fn a_late_index_outlives_its_device() {
    for (rows, first_pass) in [(RowFormat::Float16, true), (RowFormat::Int8, false)] {
        survives("late-st", IndexOptions { rows, first_pass, ..IndexOptions::new(IndexKind::Late, 24) });
    }
}

#[test]
fn a_load_on_a_device_that_is_gone_says_so() {
    let backend = gpu();
    lose(&backend);
    let folder = Folder::new("tests/fixtures/checkpoints/f32-odd");
    let load = Model::load_on(&folder, async |_, _| Ok((backend.clone(), String::new())), LoadOptions::default(), &());
    is_lost(block_on(load), "load");
}
