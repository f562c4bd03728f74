//! Models that are broken in one way each: loading ends in the typed error that names the thing.

use std::fs;
use std::path::{Path, PathBuf};

use pplx_embed::hub::Folder;
use pplx_embed::model::{EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::{Error, Watch};
use serde_json::{Value, json};

use crate::support::device;

/// A copy of a fixture checkpoint, removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn of(checkpoint: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let to = std::env::temp_dir().join(format!("pplx-embed-faults-{}-{number}", std::process::id()));
        copy(&Path::new("tests/fixtures/checkpoints").join(checkpoint), &to);
        Self(to)
    }

    fn load(&self, held: WeightChoice, watch: &dyn Watch) -> Result<Model, Error> {
        let options = LoadOptions { weights: held, device: device(), ..Default::default() };
        pollster::block_on(Model::load(&Folder::new(&self.0), options, watch))
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.join(file), bytes).unwrap();
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.0.join(file)).unwrap()
    }

    /// Rewrites the header of `model.safetensors`.
    fn edit_header(&self, edit: impl FnOnce(&mut Value)) {
        let bytes = self.read("model.safetensors");
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        edit(&mut header);
        let header = header.to_string();
        let parts = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]];
        self.write("model.safetensors", parts.concat());
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Breaks a copy of `checkpoint`, loads it, and wants an error of `code` whose message has every one of `words`.
#[track_caller]
fn broken(checkpoint: &str, damage: impl FnOnce(&Copy), code: &str, words: &[&str]) {
    let model = Copy::of(checkpoint);
    damage(&model);
    let Err(error) = model.load(WeightChoice::Auto, &()) else { panic!("the model loads all the same") };
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message:?}");
    }
}

const GATE: &str = "layers.0.mlp.gate_proj.weight";

#[test]
fn missing_files_are_named() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        broken("f32-odd", |m| fs::remove_file(m.0.join(file)).unwrap(), "not-found", &[file]);
    }
    let shard = "model-00002-of-00003.safetensors";
    broken("bf16-gqa4-sharded", |m| fs::remove_file(m.0.join(shard)).unwrap(), "not-found", &[shard]);
}

#[test]
fn a_weight_file_cut_anywhere_or_with_bytes_to_spare() {
    let size = fs::metadata("tests/fixtures/checkpoints/f32-odd/model.safetensors").unwrap().len() as usize;
    for keep in [0, 7] {
        let cut = |m: &Copy| m.write("model.safetensors", &m.read("model.safetensors")[..keep]);
        broken("f32-odd", cut, "io", &["model.safetensors", "ends after"]);
    }
    for keep in [8, 100, 2000, size / 2, size - 1] {
        let cut = |m: &Copy| m.write("model.safetensors", &m.read("model.safetensors")[..keep]);
        broken("f32-odd", cut, "invalid-checkpoint", &["model.safetensors"]);
    }
    let longer = |m: &Copy| m.write("model.safetensors", [m.read("model.safetensors"), vec![0]].concat());
    broken("f32-odd", longer, "invalid-checkpoint", &["its header describes"]);
}

#[test]
fn a_header_that_lies_about_its_length() {
    for length in [u64::MAX, 1 << 63, 100_000_001, 1 << 20] {
        let lie = |m: &Copy| {
            let mut bytes = m.read("model.safetensors");
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            m.write("model.safetensors", bytes);
        };
        broken("f32-odd", lie, "invalid-checkpoint", &["model.safetensors"]);
    }
}

#[test]
fn a_header_that_lies_about_a_tensor() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str); 7] = [
        (|h| h[GATE]["data_offsets"][1] = json!(u64::MAX), "layers.0.mlp.gate_proj.weight"),
        (|h| h[GATE]["data_offsets"] = json!([0, 14144]), "data starts at"),
        (|h| h[GATE]["data_offsets"] = json!([-4, 8]), "header"),
        (|h| h[GATE]["shape"] = json!([u64::MAX, 8]), "overflows"),
        (|h| h[GATE]["shape"] = json!([34, 52]), "do not hold"),
        (|h| h[GATE]["dtype"] = json!("Q7"), "dtype Q7"),
        (|h| h["extra"] = json!({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}), "data starts at"),
    ];
    for (edit, word) in cases {
        broken("f32-odd", |m| m.edit_header(edit), "invalid-checkpoint", &["model.safetensors", word]);
    }
    broken("f32-odd", |m| m.write("model.safetensors", b"\x02\0\0\0\0\0\0\0{]"), "invalid-checkpoint", &["header"]);
}

#[test]
fn a_tensor_that_is_missing_of_another_shape_or_of_another_dtype() {
    let rename = |h: &mut Value| {
        let gate = h.as_object_mut().unwrap().remove(GATE).unwrap();
        h["other"] = gate;
    };
    broken("f32-odd", |m| m.edit_header(rename), "invalid-checkpoint", &[GATE, "missing"]);
    let shape = [GATE, "[52, 68]", "[68, 52]"];
    broken("f32-odd", |m| m.edit_header(|h| h[GATE]["shape"] = json!([52, 68])), "invalid-checkpoint", &shape);
    let integer = |h: &mut Value| h[GATE]["dtype"] = json!("I32");
    broken("f32-odd", |m| m.edit_header(integer), "invalid-checkpoint", &["I32", GATE, "F32, F16, BF16"]);
}

#[test]
fn an_index_that_lies() {
    const INDEX: &str = "model.safetensors.index.json";
    let edit = |m: &Copy, edit: &dyn Fn(&mut Value)| {
        let mut index: Value = serde_json::from_slice(&m.read(INDEX)).unwrap();
        edit(&mut index["weight_map"]);
        m.write(INDEX, index.to_string());
    };
    for path in ["../../secret.safetensors", "/etc/passwd", "https://evil.example/x.safetensors", "a.bin", ""] {
        let lead_out = |m: &Copy| edit(m, &|map| map["model.norm.weight"] = json!(path));
        broken("bf16-gqa4-sharded", lead_out, "invalid-checkpoint", &["model.norm.weight"]);
    }
    let forget = |m: &Copy| edit(m, &|map| drop(map.as_object_mut().unwrap().remove("model.norm.weight")));
    broken("bf16-gqa4-sharded", forget, "invalid-checkpoint", &["norm.weight", "missing"]);
    // All tensors in the first shard, says the index; the loader then never opens the others.
    let misplace = |m: &Copy| {
        edit(m, &|map| {
            for shard in map.as_object_mut().unwrap().values_mut() {
                *shard = json!("model-00001-of-00003.safetensors");
            }
        });
    };
    broken("bf16-gqa4-sharded", misplace, "invalid-checkpoint", &["not in the shard"]);
    let twice = |m: &Copy| {
        m.write("model-00004-of-00003.safetensors", m.read("model-00003-of-00003.safetensors"));
        edit(m, &|map| map["spare"] = json!("model-00004-of-00003.safetensors"));
    };
    broken("bf16-gqa4-sharded", twice, "invalid-checkpoint", &["spare", "not in the shard"]);
    broken("bf16-gqa4-sharded", |m| m.write(INDEX, "{}"), "invalid-checkpoint", &["weight_map"]);
}

#[test]
fn a_tokenizer_that_is_garbage_or_too_large_for_the_vocabulary() {
    broken("f32-odd", |m| m.write("tokenizer.json", "{\"version\": 1"), "invalid-tokenizer", &["tokenizer.json"]);
    broken("f32-odd", |m| m.write("tokenizer.json", b"\xff\xfe"), "invalid-tokenizer", &["tokenizer.json"]);
    let grow = |m: &Copy| {
        let mut tokenizer: Value = serde_json::from_slice(&m.read("tokenizer.json")).unwrap();
        tokenizer["model"]["vocab"]["a"] = json!(1009);
        m.write("tokenizer.json", tokenizer.to_string());
    };
    broken("f32-odd", grow, "invalid-tokenizer", &["1009", "vocab_size"]);
}

#[test]
fn weights_of_mixed_formats_are_held_each_as_it_is_stored() {
    // The last shard's weights become F32, with the same values.
    let model = Copy::of("bf16-gqa4-sharded");
    let file = "model-00003-of-00003.safetensors";
    let bytes = model.read(file);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    for (_, tensor) in header.as_object_mut().unwrap().iter_mut().filter(|(name, _)| *name != "__metadata__") {
        tensor["dtype"] = json!("F32");
        let [from, to] = [0, 1].map(|i| tensor["data_offsets"][i].as_u64().unwrap() * 2);
        tensor["data_offsets"] = json!([from, to]);
    }
    let header = header.to_string();
    let wide: Vec<u8> = bytes[8 + length..].chunks(2).flat_map(|b| [0, 0, b[0], b[1]]).collect();
    model.write(file, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &wide].concat());
    let embed =
        |model: &Model| pollster::block_on(model.embed(&["a text"], EmbedOptions::default(), &())).unwrap().data;
    let original = Copy::of("bf16-gqa4-sharded").load(WeightChoice::Auto, &()).unwrap();
    let mixed = model.load(WeightChoice::Auto, &()).unwrap();
    let kernels = mixed.info().kernels;
    for format in ["bf16", "f32"] {
        let reads = |kernel: &&String| kernel.starts_with("matmul.") && kernel.ends_with(&format!(".{format}"));
        assert!(kernels.iter().any(|kernel| reads(&kernel)), "{kernels:?}");
    }
    assert_eq!(embed(&mixed), embed(&original));
    assert_eq!(embed(&model.load(WeightChoice::F32, &()).unwrap()), embed(&original));
}

#[test]
fn f16_refuses_weights_beyond_its_range() {
    let model = Copy::of("f32-odd");
    let mut bytes = model.read("model.safetensors");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let at = 8 + length + header[GATE]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[at..at + 4].copy_from_slice(&1e6f32.to_le_bytes());
    model.write("model.safetensors", bytes);
    let error = model.load(WeightChoice::F16, &()).err().unwrap();
    assert_eq!(error.code(), "unsupported");
    assert!(error.to_string().contains(GATE), "{error}");
}

/// Cancels when it is asked for the nth time.
struct CancelAt(std::cell::Cell<u32>);

impl Watch for CancelAt {
    fn cancelled(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

/// How often a load asks whether it was cancelled.
fn questions(model: &Copy) -> u32 {
    let count = CancelAt(u32::MAX.into());
    model.load(WeightChoice::Auto, &count).unwrap();
    u32::MAX - count.0.get()
}

#[test]
fn a_load_can_be_cancelled_at_any_point_and_then_repeated() {
    let model = Copy::of("f32-odd");
    for at in [1, 2, 6, questions(&model)] {
        let error = model.load(WeightChoice::Auto, &CancelAt(at.into())).err().unwrap();
        assert_eq!(error.code(), "aborted");
    }
    assert!(model.load(WeightChoice::Auto, &()).is_ok());
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        for make in ["mkdir", "mkfifo"].into_iter().filter(|make| *make == "mkdir" || cfg!(unix)) {
            let copy = Copy::of("f32-gqa2");
            let path = copy.0.join(file);
            fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new(make).arg(&path).status().unwrap().success());
            let error = copy.load(WeightChoice::Auto, &()).err().unwrap();
            assert_eq!(error.code(), "io", "{make} {file}: {error}");
            assert!(error.to_string().contains(file) && error.to_string().contains("pipe"), "{error}");
        }
    }
}
