//! Quantized layouts against the libraries that made them, element by element. See `fixtures/README.md`.

use half::{bf16, f16};
use pplx_embed::Error;
use pplx_embed::checkpoint::Tensor;
use pplx_embed::checkpoint::{MatrixRows, Scheme};
use pplx_embed::hub::{Folder, NoDerivedFile, Source};
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model};
use pplx_embed::numbers::{Dtype, MatrixFormat};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support;
use crate::support::matrices::{FAMILIES, File, MATRICES, MODELS, cases, family, kept, weights};

#[test]
fn every_matrix_of_every_layout_is_what_its_own_library_makes_of_it() {
    for name in FAMILIES {
        let file = family(name);
        let expected = std::fs::read(format!("{MATRICES}/{name}.expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&expected).unwrap();
        for case in cases(name) {
            let label = format!("{name} {}", case.name);
            let matrix = file.matrix(&case).unwrap_or_else(|e| panic!("{label}: {e}"));
            assert_eq!(matrix.format(), kept(&case.kept), "{label}");
            let mut rows = MatrixRows::default();
            matrix.decode(&file.parts(&matrix), 0..case.shape[0], &mut rows).unwrap_or_else(|e| panic!("{label}: {e}"));
            let got = weights(&rows, matrix.format(), case.shape[1] as usize);
            let want = support::floats(&expected, &case.name);
            assert_eq!(got.len(), want.len(), "{label}");
            assert!(want.iter().any(|w| *w != 0.0));
            for (i, ((got, bias), &want)) in got.into_iter().zip(&want).enumerate() {
                // Where scales are f32: the bias is rounded once here, and up to three products there.
                let off = (bias.abs() + 3.0 * f64::from(want).abs()) * 2f64.powi(-24) * 1.001;
                let close = if case.exact { got as f32 == want } else { (got - f64::from(want)).abs() <= off };
                assert!(close, "{label}: weight {i} is {got}, the library has {want}");
            }
        }
    }
}

#[test]
fn codes_that_may_go_ahead_are_those_of_the_rows_and_the_rest_follows_without_them() {
    let mut found = 0;
    for name in FAMILIES {
        let file = family(name);
        for case in cases(name) {
            let matrix = file.matrix(&case).unwrap();
            let (mut parts, n) = (file.parts(&matrix), case.shape[0]);
            let (mut whole, mut groups) = (MatrixRows::default(), MatrixRows::default());
            matrix.decode(&parts, 0..n, &mut whole).unwrap();
            let Some(codes) = matrix.codes() else {
                assert!(matrix.decode_groups(&parts, 0..n, &mut groups).is_err(), "{name} {}", case.name);
                continue;
            };
            assert_eq!(parts[codes], whole.values, "{name} {}", case.name);
            parts[codes] = &[];
            matrix.decode_groups(&parts, 0..1, &mut groups).unwrap();
            matrix.decode_groups(&parts, 1..n, &mut groups).unwrap();
            assert_eq!((groups.values, groups.groups), (Vec::new(), whole.groups), "{name} {}", case.name);
            found += 1;
        }
    }
    assert!(found >= 6, "{found} matrices have codes that may go ahead");
}

#[test]
fn rows_decoded_in_blocks_of_any_size_are_the_rows_decoded_at_once() {
    for name in FAMILIES {
        let file = family(name);
        for case in cases(name) {
            let matrix = file.matrix(&case).unwrap();
            let (parts, n) = (file.parts(&matrix), case.shape[0]);
            let (mut whole, mut blocks) = (MatrixRows::default(), MatrixRows::default());
            matrix.decode(&parts, 0..n, &mut whole).unwrap();
            for (from, to) in [(0, 1), (1, 6), (6, 6), (6, n - 1), (n - 1, n)] {
                matrix.decode(&parts, from..to, &mut blocks).unwrap();
            }
            assert_eq!(whole, blocks, "{name} {}", case.name);
        }
    }
}

#[test]
fn a_tensor_that_is_missing_or_of_another_shape_or_dtype_is_named() {
    for name in FAMILIES {
        let mut file = family(name);
        for case in cases(name) {
            for tensor in file.matrix(&case).unwrap().tensors().to_vec() {
                let label = format!("{name} {tensor}");
                let sound = file.tensors[&tensor].clone();
                let mut wrong = Vec::new();
                for (dtype, size) in [("I64", 8), ("BOOL", 1), ("F8_E5M2", 1)] {
                    let bytes = sound.shape.iter().product::<u64>() * size;
                    wrong.push(Tensor { dtype: dtype.into(), bytes, ..sound.clone() });
                }
                // The JSON may be of any length.
                if !tensor.contains("quant_state") {
                    let mut longer = sound.clone();
                    longer.shape.push(2);
                    longer.bytes *= 2;
                    wrong.push(longer);
                }
                for wrong in wrong {
                    file.tensors.insert(tensor.clone(), wrong.clone());
                    match file.matrix(&case) {
                        Err(Error::InvalidCheckpoint { message, .. }) => {
                            assert!(message.contains(&case.name), "{label}: {message}");
                        }
                        Err(Error::Unsupported { .. }) => {}
                        other => panic!("{label} as {wrong:?}: {other:?}"),
                    }
                }
                file.tensors.remove(&tensor);
                // These may be left out, and then mean something else.
                let optional = ["zero_point", "g_idx"].iter().any(|o| tensor.ends_with(o));
                match file.matrix(&case) {
                    Ok(_) if optional => {}
                    Err(Error::InvalidCheckpoint { message, .. }) => assert!(message.contains(&case.name), "{message}"),
                    other => panic!("{label} missing: {other:?}"),
                }
                file.tensors.insert(tensor, sound);
            }
        }
    }
}

#[test]
fn bytes_that_are_not_those_of_the_header_are_refused() {
    for name in FAMILIES {
        let file = family(name);
        for case in cases(name) {
            let matrix = file.matrix(&case).unwrap();
            let sound = file.parts(&matrix);
            let decode = |parts: &[&[u8]], rows| matrix.decode(parts, rows, &mut MatrixRows::default());
            for i in 0..sound.len() {
                let mut parts = sound.clone();
                parts[i] = &parts[i][1..];
                let error = decode(&parts, 0..1).unwrap_err();
                assert!(error.to_string().contains(&matrix.tensors()[i]), "{error}");
            }
            assert_eq!(decode(&sound[1..], 0..1).unwrap_err().code(), "invalid-argument");
            assert_eq!(decode(&sound, 0..case.shape[0] + 1).unwrap_err().code(), "invalid-argument");
        }
    }
}

#[test]
fn a_scale_that_is_no_number_is_named() {
    for (name, suffix) in [
        ("mlx", "scales"),
        ("mlx", "biases"),
        ("compressed-tensors", "weight_scale"),
        ("gptq", "scales"),
        ("awq", "scales"),
        ("fp8", "weight_scale_inv"),
        ("bitsandbytes", "SCB"),
        ("bitsandbytes", "weight.absmax"),
        ("torchao", "_weight_scale"),
    ] {
        let (file, mut tried) = (family(name), 0);
        for case in cases(name) {
            let tensor = format!("{}.{suffix}", case.name);
            let matrix = file.matrix(&case).unwrap();
            let Some(at) = matrix.tensors().iter().position(|t| *t == tensor) else { continue };
            let nan = match file.tensors[&tensor].dtype.as_str() {
                "F32" => f32::NAN.to_le_bytes().to_vec(),
                "F16" => f16::INFINITY.to_le_bytes().to_vec(),
                "BF16" => bf16::NAN.to_le_bytes().to_vec(),
                _ => continue,
            };
            let mut parts = file.parts(&matrix);
            let mut scales = parts[at].to_vec();
            scales[..nan.len()].copy_from_slice(&nan);
            parts[at] = &scales;
            match matrix.decode(&parts, 0..case.shape[0], &mut MatrixRows::default()) {
                Err(Error::InvalidCheckpoint { message, .. }) => assert!(message.contains(&tensor), "{message}"),
                other => panic!("{tensor}: {other:?}"),
            }
            tried += 1;
        }
        assert!(tried > 0, "no {suffix} in {name}");
    }
}

#[test]
fn groups_that_are_not_where_the_settings_say_are_refused() {
    let file = family("gptq");
    let case = |wanted: &str| cases("gptq").into_iter().find(|c| c.name == wanted).unwrap();
    // Columns in an order of their own, but desc_act false.
    let mut quiet = case("b4-desc_act");
    quiet.config["quantization_config"]["desc_act"] = false.into();
    let matrix = file.matrix(&quiet).unwrap();
    assert_eq!(matrix.format(), MatrixFormat::Q4 { group: 32 });
    let error = matrix.decode(&file.parts(&matrix), 0..1, &mut MatrixRows::default()).unwrap_err();
    assert!(error.to_string().contains("b4-desc_act.g_idx") && error.to_string().contains("desc_act"), "{error}");
    // A group that is not there.
    for beyond in [6i32, -1, i32::MIN] {
        let matrix = file.matrix(&case("b4-desc_act")).unwrap();
        let mut parts = file.parts(&matrix);
        let at = matrix.tensors().iter().position(|t| t.ends_with("g_idx")).unwrap();
        let mut order = parts[at].to_vec();
        order[4..8].copy_from_slice(&beyond.to_le_bytes());
        parts[at] = &order;
        let error = matrix.decode(&parts, 0..1, &mut MatrixRows::default()).unwrap_err();
        assert!(error.to_string().contains(&format!("column 1 is in group {beyond}")), "{error}");
    }
}

#[test]
fn what_is_not_read_is_refused_by_name() {
    let settings = |method: &str, more: Value| {
        let mut settings = json!({"quant_method": method, "bits": 4});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"quantization_config": settings})
    };
    let group = |weights: Value| json!({"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}});
    for (config, named) in [
        (settings("mxfp4", json!({})), "mxfp4"),
        (settings("exl3", json!({})), "exl3"),
        (json!({"quantization": {"mode": "mxfp4", "group_size": 32, "bits": 4}}), "mxfp4"),
        (json!({"quantization": {"mode": "nvfp4", "group_size": 16, "bits": 4}}), "nvfp4"),
        (json!({"quantization": {"mode": "mxfp8", "group_size": 32, "bits": 8}}), "mxfp8"),
        (settings("gptq", json!({"bits": 5})), "bits 5"),
        (settings("gptq", json!({"checkpoint_format": "marlin"})), "marlin"),
        (settings("gptq", json!({"is_marlin_format": true})), "marlin"),
        (settings("awq", json!({"version": "gemv"})), "gemv"),
        (settings("awq", json!({"bits": 8})), "bits 8"),
        (settings("fp8", json!({"scale_fmt": "ue8m0"})), "ue8m0"),
        (settings("compressed-tensors", json!({"format": "nvfp4-pack-quantized"})), "nvfp4-pack-quantized"),
        (settings("compressed-tensors", json!({"format": "marlin-24"})), "marlin-24"),
        (
            settings("compressed-tensors", json!({"sparsity_config": {"format": "sparse-24-bitmask"}})),
            "sparsity_config",
        ),
        (settings("compressed-tensors", group(json!({"num_bits": 4, "type": "float"}))), "float with num_bits 4"),
        (settings("compressed-tensors", group(json!({"num_bits": 1}))), "num_bits 1"),
        (settings("compressed-tensors", group(json!({"strategy": "tensor_group", "group_size": 16}))), "tensor_group"),
    ] {
        match Scheme::parse(&config) {
            Err(Error::Unsupported { what, .. }) => assert!(what.contains(named), "{config}: {what}"),
            other => panic!("{config}: {other:?}"),
        }
    }
    for config in [
        settings("gptq", json!({"bits": 4.5})),
        settings("gptq", json!({"group_size": 0})),
        settings("fp8", json!({"weight_block_size": [128, 0]})),
        settings("fp8", json!({"weight_block_size": 128})),
        settings("compressed-tensors", json!({})),
        settings("compressed-tensors", group(json!({"strategy": "group"}))),
        settings("compressed-tensors", group(json!({"strategy": "block"}))),
        json!({"quantization": {"bits": 7, "group_size": 64}}),
        json!({"quantization": {"bits": 4, "group_size": 63}}),
        json!({"quantization": 4}),
        json!({"quantization_config": {"quant_method": 1}}),
        json!({"quantization_config": {"weights": "int8"}}),
    ] {
        assert_eq!(Scheme::parse(&config).unwrap_err().code(), "invalid-config", "{config}");
    }
    assert!(Scheme::parse(&json!({"quantization_config": null, "hidden_size": 8})).unwrap().is_none());
}

#[test]
fn tensors_of_a_class_that_is_not_read_are_refused_by_name() {
    let mut file = family("torchao");
    let case = cases("torchao").remove(0);
    let key = format!("{}.weight", case.name);
    for class in ["Int4Tensor", "Int4TilePackedTo4dTensor", "Float8Tensor", "MXTensor"] {
        file.metadata.insert(key.clone(), json!({"_type": class, "_data": {}}).to_string());
        let error = file.matrix(&case).unwrap_err();
        assert!(error.code() == "unsupported" && error.to_string().contains(class), "{error}");
    }
    file.metadata.remove(&key);
    assert!(file.matrix(&case).unwrap_err().to_string().contains(&key));
}

#[test]
fn a_config_that_says_nothing_is_mlx_where_shapes_leave_no_doubt_and_else_an_error() {
    for name in FAMILIES {
        let file = family(name);
        for case in cases(name) {
            let found = Scheme::default().find(&case.name, case.shape, &file.tensors, &file.metadata);
            match found {
                Ok(matrix) if name == "mlx" => assert_eq!(matrix.format(), kept(&case.kept)),
                Err(Error::InvalidCheckpoint { message, .. }) if name != "mlx" => {
                    assert!(message.contains(&case.name), "{message}");
                }
                other => panic!("{name} {}: {other:?}", case.name),
            }
        }
    }
}

#[test]
fn settings_of_one_mlx_module_go_before_what_its_shapes_say() {
    let file = family("mlx");
    let case = cases("mlx").into_iter().find(|c| c.name == "b4g32-bfloat16").unwrap();
    let find = |entry: Value| {
        let config = json!({"quantization": {"group_size": 64, "bits": 8, "model.b4g32-bfloat16": entry}});
        Scheme::parse(&config)?.unwrap().find(&case.name, case.shape, &file.tensors, &file.metadata)
    };
    assert!(find(json!({"group_size": 32, "bits": 4})).is_ok());
    for entry in [json!({"group_size": 64, "bits": 4}), json!({"group_size": 32, "bits": 8}), json!(false)] {
        assert_eq!(find(entry.clone()).unwrap_err().code(), "invalid-checkpoint", "{entry}");
    }
    assert_eq!(find(json!({"group_size": 32, "bits": 4, "mode": "mxfp4"})).unwrap_err().code(), "unsupported");
}

#[test]
fn a_bias_vector_must_be_zero() {
    let mut file = family("gptq");
    let case = cases("gptq").remove(0);
    let name = format!("{}.bias", case.name);
    let tensor = Tensor {
        name: name.clone(),
        dtype: "F16".into(),
        shape: vec![24],
        bytes: 48,
        ..file.tensors[&format!("{}.scales", case.name)].clone()
    };
    file.tensors.insert(name.clone(), tensor);
    for (bits, sound) in [(0u16, true), (0x8000, true), (1, false), (0x3c00, false)] {
        let mut bias = vec![0; 48];
        bias[46..].copy_from_slice(&bits.to_le_bytes());
        file.data.insert(name.clone(), bias);
        let matrix = file.matrix(&case).unwrap();
        assert!(matrix.tensors().contains(&name));
        let decoded = matrix.decode(&file.parts(&matrix), 0..24, &mut MatrixRows::default());
        assert_eq!(decoded.map_err(|e| e.code()), if sound { Ok(()) } else { Err("unsupported") });
    }
}

#[test]
fn modules_of_whole_checkpoints_are_found_and_the_rest_is_plain() {
    for name in FAMILIES {
        let file = File::read(&format!("{MODELS}/{name}/model.safetensors"));
        let config: Value =
            serde_json::from_slice(&std::fs::read(format!("{MODELS}/{name}/config.json")).unwrap()).unwrap();
        let scheme = Scheme::parse(&config).unwrap().unwrap();
        let find = |module: &str, shape| scheme.find(module, shape, &file.tensors, &file.metadata).unwrap();
        let embedding = find("embed_tokens", [1024, 128]);
        let key = find("layers.0.self_attn.k_proj", [64, 128]);
        if name == "mlx" {
            assert_eq!(embedding.format(), MatrixFormat::Q8 { group: 64 });
            assert_eq!(key.format(), MatrixFormat::Bf16);
            assert_eq!(find("layers.0.mlp.down_proj", [128, 256]).format(), MatrixFormat::Q8 { group: 32 });
        } else {
            assert_eq!(embedding.format(), MatrixFormat::Bf16);
            assert!(!key.tensors().contains(&"layers.0.self_attn.k_proj.weight".to_owned()) || key.tensors().len() > 1);
        }
        let mut rows = MatrixRows::default();
        embedding.decode(&file.parts(&embedding), 5..7, &mut rows).unwrap();
        assert_eq!(rows.values.len(), if name == "mlx" { 256 } else { 512 });
    }
}

/// A model's own files laid over the tokenizer and modules of an unquantized one.
struct Overlay(Folder, Folder);

impl Source for Overlay {
    type ByteStream = <Folder as Source>::ByteStream;
    type DerivedFile<'a> = NoDerivedFile;

    async fn open(&self, file: &str) -> pplx_embed::Result<Self::ByteStream> {
        match self.0.open(file).await {
            Err(Error::NotFound { .. }) => self.1.open(file).await,
            opened => opened,
        }
    }
}

#[test]
fn embeddings_of_quantized_checkpoints_equal_transformers_on_the_dequantized_weights() {
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(format!("{MODELS}/texts.json")).unwrap()).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let pooled = std::fs::read(format!("{MODELS}/pooled.safetensors")).unwrap();
    let pooled = SafeTensors::deserialize(&pooled).unwrap();
    for name in FAMILIES {
        let base = Folder::new("tests/fixtures/checkpoints/f32-gqa2");
        let source = Overlay(Folder::new(format!("{MODELS}/{name}")), base);
        let model = pollster::block_on(Model::load(
            &source,
            LoadOptions { device: support::device(), ..LoadOptions::default() },
            &(),
        ))
        .unwrap();
        let options = EmbedOptions { dtype: Some(Dtype::Float32), normalize: Some(false), ..EmbedOptions::default() };
        let got = pollster::block_on(model.embed(&texts, options, &())).unwrap();
        let Data::Float32(got) = got.data else { panic!("not float32") };
        let want = support::floats(&pooled, name);
        assert_eq!(got.len(), want.len());
        for ((got, want), text) in got.chunks(128).zip(want.chunks(128)).zip(&texts) {
            let cosine = support::cosine(got, want);
            assert!(cosine >= 0.99999, "{name}, {text:?}: cosine {cosine}");
            let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{name}, {text:?}: off by {worst}");
        }
    }
}
