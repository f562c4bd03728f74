//! Written safetensors files, and `pplx-embed quantize`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use half::f16;
use pplx_embed::checkpoint::{Header, MatrixRows, Quantizer, ShardWriter, Tensor};
use pplx_embed::numbers::Float;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

/// A file in memory.
fn written(tensors: &[Tensor], parts: &[(&str, &[u8])]) -> pplx_embed::Result<Vec<u8>> {
    let mut file = Vec::new();
    pollster::block_on(async {
        let mut writer = ShardWriter::begin("f", tensors, async |bytes: &[u8]| {
            file.extend_from_slice(bytes);
            Ok(())
        })
        .await?;
        for (name, bytes) in parts {
            writer.write(name, bytes).await?;
        }
        writer.finish()
    })?;
    Ok(file)
}

fn tensor(name: &str, dtype: &str, shape: &[u64], bytes: u64) -> Tensor {
    Tensor { name: name.into(), file: "f".into(), dtype: dtype.into(), shape: shape.to_vec(), bytes }
}

#[test]
fn a_written_file_is_what_the_safetensors_crate_reads() {
    // Not in the order of names, one without bytes, and a name that JSON must escape.
    let tensors = [
        tensor("z.weight", "U32", &[2, 3], 24),
        tensor("empty", "F32", &[0, 4], 0),
        tensor("a \"quoted\" näme\n", "F16", &[5], 10),
        tensor("scalar", "I64", &[], 8),
    ];
    let (z, a, scalar) = ([1u8; 24], [2u8; 10], [3u8; 8]);
    let parts: [(&str, &[u8]); 4] =
        [("z.weight", &z[..7]), ("z.weight", &z[7..]), ("a \"quoted\" näme\n", &a), ("scalar", &scalar)];
    let file = written(&tensors, &parts).unwrap();
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    assert_eq!(length % 8, 0);
    assert_eq!(Header::parse("f", &file[8..8 + length]).unwrap().tensors, tensors);

    let read = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(read.len(), 4);
    assert_eq!(
        (read.tensor("z.weight").unwrap().dtype(), read.tensor("z.weight").unwrap().data()),
        (Dtype::U32, &z[..])
    );
    assert_eq!(read.tensor("empty").unwrap().shape(), [0, 4]);
    assert_eq!(read.tensor("a \"quoted\" näme\n").unwrap().data(), a);
    assert_eq!(read.tensor("scalar").unwrap().data(), scalar);
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "mlx");
}

#[test]
fn a_file_is_not_finished_unless_every_byte_came_in_order() {
    let tensors = [tensor("a", "U8", &[4], 4), tensor("b", "U8", &[2], 2)];
    let refused = |parts: &[(&str, &[u8])], words: &[&str]| {
        let error = written(&tensors, parts).unwrap_err();
        assert_eq!(error.code(), "invalid-checkpoint");
        for word in words {
            assert!(error.to_string().contains(word), "no {word:?} in {error}");
        }
    };
    refused(&[], &["4 bytes", "tensor a", "missing"]);
    refused(&[("a", &[0; 4]), ("b", &[0])], &["1 bytes", "tensor b", "missing"]);
    refused(&[("b", &[0; 2])], &["tensor b", "4 of a"]);
    refused(&[("a", &[0; 3]), ("b", &[0; 2])], &["1 of a"]);
    refused(&[("a", &[0; 5])], &["5 bytes", "4 of a"]);
    refused(&[("a", &[0; 4]), ("b", &[0; 2]), ("b", &[0])], &["0 of b"]);
    refused(&[("c", &[0])], &["tensor c"]);
    for bad in [
        vec![tensor("a", "U8", &[4], 4), tensor("a", "U8", &[4], 4)],
        vec![tensor("a", "U8", &[4], 5)],
        vec![tensor("a", "Q9", &[4], 4)],
        vec![tensor("a", "F32", &[u64::MAX, 8], 4)],
    ] {
        assert_eq!(written(&bad, &[]).unwrap_err().code(), "invalid-checkpoint", "{bad:?}");
    }
}

/// A folder that is removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("pplx-embed-quantize-{}-{name}", std::process::id())))
    }

    fn copy_of(name: &str, source: &str) -> Self {
        let copy = Self::new(name);
        std::fs::create_dir_all(copy.0.join("1_Pooling")).unwrap();
        for file in files(Path::new(source)) {
            std::fs::copy(Path::new(source).join(&file), copy.0.join(&file)).unwrap();
        }
        copy
    }

    fn partial(&self) -> PathBuf {
        PathBuf::from(format!("{}.partial", self.0.display()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
        drop(std::fs::remove_dir_all(self.partial()));
    }
}

fn quantize(model: &Path, output: &Temporary, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
    command.arg("quantize").arg("--model").arg(model).arg("--output").arg(&output.0).args(arguments);
    command.output().unwrap()
}

#[track_caller]
fn refused(result: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8(result.stderr.clone()).unwrap();
    assert_eq!(result.status.code(), Some(code), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

/// The files of a model's folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        match entry.path().is_dir() {
            true => files.extend(self::files(&entry.path()).into_iter().map(|file| format!("{name}/{file}"))),
            false => files.push(name),
        }
    }
    files.sort();
    files
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every tensor of a folder: its file, dtype, shape and bytes.
fn tensors(folder: &Path) -> BTreeMap<String, (String, Dtype, Vec<usize>, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for file in files(folder).into_iter().filter(|f| f.ends_with(".safetensors")) {
        let bytes = std::fs::read(folder.join(&file)).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let tensor = (file.clone(), view.dtype(), view.shape().to_vec(), view.data().to_vec());
            assert!(all.insert(name, tensor).is_none());
        }
    }
    all
}

fn wide(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::new();
    Float::parse(&format!("{dtype:?}").to_uppercase()).unwrap().widen(bytes, &mut values);
    values
}

/// The folder holds what `source` does, quantized: every matrix whose K is a multiple of the group size by the
/// library's codes, with errors as small as its bits allow, and every other tensor as it was. How many were quantized.
fn check(source: &Path, output: &Path, bits: u32, group: u32, embedding_bits: u32) -> usize {
    let (before, mut after) = (tensors(source), tensors(output));
    let mut quantized = 0;
    for (name, (file, dtype, shape, bytes)) in before {
        let (out_file, out_dtype, out_shape, out_bytes) = after.remove(&name).unwrap();
        assert_eq!(out_file, file, "{name}");
        if shape.len() < 2 || shape[1] % group as usize != 0 {
            assert_eq!((out_dtype, out_shape, out_bytes), (dtype, shape, bytes), "{name}");
            continue;
        }
        quantized += 1;
        let path = name.strip_suffix(".weight").unwrap();
        let bits = if path.ends_with("embed_tokens") { embedding_bits } else { bits };
        let (n, k, g) = (shape[0], shape[1], group as usize);
        assert_eq!((out_dtype, out_shape), (Dtype::U32, vec![n, k * bits as usize / 32]), "{name}");
        let mut part = |part: &str| {
            let (part_file, dtype, shape, bytes) = after.remove(&format!("{path}.{part}")).unwrap();
            assert_eq!((part_file.as_str(), dtype, shape), (file.as_str(), Dtype::F16, vec![n, k / g]), "{name}");
            let halves: Vec<f16> = bytemuck::pod_collect_to_vec(&bytes);
            halves.into_iter().map(f16::to_f32).collect::<Vec<_>>()
        };
        let (scales, biases) = (part("scales"), part("biases"));
        let weights = wide(dtype, &bytes);
        let mut want = MatrixRows::default();
        Quantizer::new(bits, group).unwrap().rows(&name, &weights, k, &mut want).unwrap();
        assert_eq!(out_bytes, want.values, "{name}");
        let groups: Vec<[f32; 2]> = scales.iter().zip(&biases).map(|(s, b)| [*s, *b]).collect();
        assert_eq!(groups, want.groups, "{name}");

        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&out_bytes);
        let per_word = 32 / bits as usize;
        let (mut error, mut squares) = (0.0, 0.0);
        for (i, &w) in weights.iter().enumerate() {
            let code = words[i / per_word] >> (bits as usize * (i % per_word)) & ((1 << bits) - 1);
            let got = f64::from(code) * f64::from(scales[i / g]) + f64::from(biases[i / g]);
            error += (got - f64::from(w)).powi(2);
            squares += f64::from(w).powi(2);
        }
        // What normal weights lose with groups of up to 64, by bench/results/quantize.json.
        let most = if bits == 4 { 0.083 } else { 0.0051 };
        assert!((error / squares).sqrt() < most, "{name}: {}", (error / squares).sqrt());
    }
    assert!(after.is_empty(), "{:?}", after.keys());
    quantized
}

/// Tensors of a file in the order of their data.
fn order(file: &Path) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    Header::parse("f", &bytes[8..8 + length]).unwrap().tensors.into_iter().map(|t| t.name).collect()
}

#[test]
fn a_single_file_in_4_bits_has_its_embedding_in_8() {
    let (source, output) = (Path::new("tests/fixtures/checkpoints/f32-gqa2"), Temporary::new("single"));
    let result = quantize(source, &output, &["--bits", "4", "--json"]);
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    assert!(result.stderr.is_empty() && !output.partial().exists());
    assert_eq!(check(source, &output.0, 4, 64, 8), 1 + 3 * 7);

    let summary: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!((&summary["quantized"], &summary["kept"]), (&json!(22), &json!(1 + 3 * 4)));
    assert!(summary["relative_error"]["4"].as_f64().unwrap() < 0.083);
    assert!(summary["relative_error"]["8"].as_f64().unwrap() < 0.0051);

    let (before, mut after) = (json_of(&source.join("config.json")), json_of(&output.0.join("config.json")));
    let settings = json!({ "group_size": 64, "bits": 4, "embed_tokens": { "group_size": 64, "bits": 8 } });
    for field in ["quantization", "quantization_config"] {
        assert_eq!(after.as_object_mut().unwrap().remove(field).unwrap(), settings);
    }
    assert_eq!(after, before);
    for file in ["tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json"] {
        assert_eq!(std::fs::read(output.0.join(file)).unwrap(), std::fs::read(source.join(file)).unwrap(), "{file}");
    }
    assert_eq!(files(&output.0).len(), 7, "{:?}", files(&output.0));
    let card = std::fs::read_to_string(output.0.join("README.md")).unwrap();
    assert!(
        card.contains("`embed_tokens` has 8 bits") && card.contains("| 4 | ") && !card.contains("base_model"),
        "{card}"
    );

    // A reader needs to hold no more than one module.
    let order = order(&output.0.join("model.safetensors"));
    let mut parts = 0;
    for (i, name) in order.iter().enumerate() {
        let Some(path) = name.strip_suffix(".scales") else { continue };
        assert_eq!((&order[i - 1], &order[i + 1]), (&format!("{path}.weight"), &format!("{path}.biases")));
        parts += 1;
    }
    assert_eq!(parts, 22);
}

#[test]
fn a_late_model_keeps_every_file_that_says_how_texts_are_marked_and_filled() {
    for name in ["late-st", "late-pylate"] {
        let (source, output) = (Path::new("tests/fixtures/checkpoints").join(name), Temporary::new(name));
        let result = quantize(&source, &output, &["--bits", "8"]);
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        for file in files(&source) {
            if file != "config.json" && file != "model.safetensors" {
                let (before, after) = (std::fs::read(source.join(&file)).unwrap(), std::fs::read(output.0.join(&file)));
                assert_eq!(after.unwrap_or_else(|e| panic!("{file}: {e}")), before, "{file}");
            }
        }
    }
}

#[test]
fn shards_stay_shards_and_rows_that_do_not_fit_stay_dense() {
    let source = Path::new("tests/fixtures/checkpoints/bf16-gqa4-sharded");
    // K is 96, 160 or 512: by 64 only the last divides.
    for (bits, group, embedding_bits, want) in [(8, 64, 8, 2), (4, 32, 8, 1 + 2 * 7), (8, 32, 8, 1 + 2 * 7)] {
        let output = Temporary::new(&format!("shards-{bits}-{group}"));
        let (bits_text, group_text) = (bits.to_string(), group.to_string());
        let result = quantize(source, &output, &["--bits", &bits_text, "--group-size", &group_text]);
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        assert_eq!(check(source, &output.0, bits, group, embedding_bits), want);
        let index = json_of(&output.0.join("model.safetensors.index.json"));
        let all = tensors(&output.0);
        let places: BTreeMap<&String, &String> = all.iter().map(|(name, tensor)| (name, &tensor.0)).collect();
        assert_eq!(index["weight_map"], json!(places));
        assert_eq!(index["metadata"]["total_size"], all.values().map(|t| t.3.len()).sum::<usize>());
        let config = json_of(&output.0.join("config.json"));
        let mut settings = json!({ "group_size": group, "bits": bits });
        if bits == 4 {
            settings["model.embed_tokens"] = json!({ "group_size": group, "bits": 8 });
        }
        assert_eq!(config["quantization"], settings);
        assert_eq!(config["quantization_config"], settings);
    }
}

#[test]
fn what_is_quantized_already_or_wrongly_asked_for_is_refused() {
    let (source, output) = (Path::new("tests/fixtures/checkpoints/f32-gqa2"), Temporary::new("first"));
    assert!(quantize(source, &output, &["--bits", "8", "--quiet"]).status.success());
    let again = Temporary::new("again");
    refused(&quantize(&output.0, &again, &["--bits", "4"]), 1, &["quantized already", "quantization"]);
    let before = std::fs::read(output.0.join("model.safetensors")).unwrap();
    refused(&quantize(source, &output, &["--bits", "4"]), 2, &["--output", "is there already"]);
    assert_eq!(std::fs::read(output.0.join("model.safetensors")).unwrap(), before);
    refused(&quantize(source, &again, &["--bits", "5"]), 2, &["bits: 5", "4 and 8"]);
    refused(&quantize(source, &again, &["--bits", "4", "--group-size", "48"]), 2, &["48", "32, 64 and 128"]);
    // Paths that a `Temporary` must not be made of: it removes what it names.
    let into = |output: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        command.arg("quantize").arg("--model").arg(source).args(["--bits", "4", "--output", output]).output().unwrap()
    };
    refused(&into("no/such/folder/"), 1, &["no/such/folder.partial"]);
    refused(&into("no/such/.."), 2, &["--output", ".."]);
    refused(&quantize(Path::new("tests"), &again, &["--bits", "4"]), 1, &["config.json", "not found"]);
    assert!(!again.0.exists() && !again.partial().exists());
    std::fs::create_dir(again.partial()).unwrap();
    refused(&quantize(source, &again, &["--bits", "4"]), 2, &["--output", ".partial"]);
    assert!(again.partial().exists());
}

#[test]
fn a_run_that_fails_on_the_way_leaves_nothing() {
    for (name, damage, words) in [
        ("cut", (|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1)) as fn(&mut Vec<u8>), "long"),
        ("nan", |bytes: &mut Vec<u8>| bytes.iter_mut().rev().take(64 << 10).for_each(|b| *b = 0xff), "NaN"),
    ] {
        let source = Temporary::copy_of(name, "tests/fixtures/checkpoints/bf16-gqa4-sharded");
        let shard = source.0.join("model-00003-of-00003.safetensors");
        let mut bytes = std::fs::read(&shard).unwrap();
        damage(&mut bytes);
        std::fs::write(&shard, bytes).unwrap();
        let output = Temporary::new(&format!("{name}-out"));
        refused(&quantize(&source.0, &output, &["--bits", "4", "--group-size", "32"]), 1, &[words]);
        assert!(!output.0.exists() && !output.partial().exists());
    }
    // An index that lists a tensor no shard has.
    let source = Temporary::copy_of("index", "tests/fixtures/checkpoints/bf16-gqa4-sharded");
    let index = source.0.join("model.safetensors.index.json");
    let mut json = json_of(&index);
    json["weight_map"]["model.extra.weight"] = json!("model-00001-of-00003.safetensors");
    std::fs::write(&index, json.to_string()).unwrap();
    let output = Temporary::new("index-out");
    refused(&quantize(&source.0, &output, &["--bits", "4"]), 1, &["model.extra.weight", "none of the files"]);
    assert!(!output.0.exists() && !output.partial().exists());
}
