//! What repositories set, against sentence-transformers: `fixtures/make_settings.py` made the cases.

use std::cell::RefCell;
use std::path::Path;

use pollster::block_on;
use pplx_embed::backend::Device;
use pplx_embed::hub::Folder;
use pplx_embed::model::late::Role;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model, Prompt};
use pplx_embed::numbers::Dtype;
use pplx_embed::{Error, Progress, Watch};
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

use crate::support::Copy;

const FIXTURES: &str = "tests/fixtures";
const BASE: &str = "causal-last-f32";

/// A copy of the base with some files replaced.
struct Repository(Copy);

impl Repository {
    fn new(files: &Map<String, Value>) -> Self {
        let copy = Copy::of(BASE);
        for (name, content) in files {
            let path = copy.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content {
                Value::Null => std::fs::remove_file(path).unwrap(),
                Value::String(fixture) => drop(std::fs::copy(Path::new(FIXTURES).join(fixture), path).unwrap()),
                json => std::fs::write(path, json.to_string()).unwrap(),
            }
        }
        Self(copy)
    }

    /// The same with one more file.
    fn with(self, name: &str, bytes: &[u8]) -> Self {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
        self
    }

    fn load(&self, device: Device) -> Result<(Model, Vec<String>), Error> {
        let heard = Heard::default();
        let options = LoadOptions { device, ..LoadOptions::default() };
        let model = block_on(Model::load(&Folder::new(self.0.path()), options, &heard))?;
        Ok((model, heard.0.into_inner()))
    }

    fn error(&self) -> Error {
        match self.load(Device::Cpu) {
            Ok(_) => panic!("{} is loaded", self.0.path().display()),
            Err(error) => error,
        }
    }
}

/// The notices of a load.
#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl Watch for Heard {
    fn progress(&self, progress: Progress) {
        if let Progress::Notice { message } = progress {
            self.0.borrow_mut().push(message);
        }
    }
}

fn prompt(call: &Value) -> Prompt {
    let text = |key: &str| call.get(key).map(|value| value.as_str().unwrap().to_owned());
    let role = match call["call"].as_str().unwrap() {
        "encode_query" => Some(Role::Query),
        "encode_document" => Some(Role::Document),
        _ => None,
    };
    Prompt::choose(text("prompt"), text("prompt_name"), role).unwrap()
}

fn floats(model: &Model, texts: &[&str], prompt: Prompt) -> (Vec<f32>, usize) {
    let options = EmbedOptions { dtype: Some(Dtype::Float32), prompt, ..EmbedOptions::default() };
    let embeddings = block_on(model.embed(texts, options, &())).unwrap();
    let Data::Float32(data) = embeddings.data else { panic!("not float32") };
    (data, embeddings.dimensions)
}

fn all_cases(device: Device, chosen: impl Fn(&str) -> bool) {
    let cases: Value =
        serde_json::from_slice(&std::fs::read(format!("{FIXTURES}/settings/cases.json")).unwrap()).unwrap();
    let bytes = std::fs::read(format!("{FIXTURES}/settings/expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let texts: Vec<&str> = cases["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let mut count = 0;
    for case in cases["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if !chosen(name) {
            continue;
        }
        count += 1;
        let repository = Repository::new(case["files"].as_object().unwrap());
        let (model, notices) = repository.load(device).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(notices.is_empty(), "{name}: {notices:?}");
        for call in case["calls"].as_array().unwrap() {
            let tensor = expected.tensor(call["tensor"].as_str().unwrap()).unwrap();
            let want: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
            let (got, dimensions) = floats(&model, &texts, prompt(call));
            assert_eq!([texts.len(), dimensions], tensor.shape(), "{name}, {call}");
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let off = (got - want).abs() / (1.0 + want.abs());
                assert!(off < 2e-5, "{name}, {call}: number {i} is {got}, expected {want}");
            }
        }
    }
    assert!(count > 0);
}

#[test]
fn every_setting_gives_the_vectors_of_sentence_transformers() {
    all_cases(Device::Cpu, |_| true);
}

#[test]
fn settings_that_reach_the_kernels_do_on_the_gpu_too() {
    let reaches = ["windows", "dense", "attention_bias", "yarn", "pooling weightedmean", "is_causal false"];
    all_cases(Device::Gpu, |name| reaches.iter().any(|start| name.starts_with(start)));
}

fn files(name: &str, json: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), json)])
}

fn base(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(format!("{FIXTURES}/checkpoints/{BASE}/{name}")).unwrap()).unwrap()
}

/// A file of the base with one key set.
fn changed(name: &str, key: &str, value: Value) -> Map<String, Value> {
    let mut file = base(name);
    file[key] = value;
    files(name, file)
}

#[test]
fn a_setting_that_is_not_known_is_warned_of_by_file_key_and_value() {
    for (name, key, value) in [
        ("config.json", "residual_multiplier", json!(0.5)),
        ("config.json", "use_alibi", json!(true)),
        ("config.json", "norm_style", json!("pre")),
        ("config.json", "scales", json!([1, 2])),
        ("1_Pooling/config.json", "temperature", json!(2)),
        ("config_sentence_transformers.json", "scale", json!(20.0)),
        ("config.json", "rope_parameters", json!({"rope_theta": 1e6, "rope_type": "default", "twist": 3})),
    ] {
        let (_, notices) = Repository::new(&changed(name, key, value.clone())).load(Device::Cpu).unwrap();
        let key = if key == "rope_parameters" { "rope_parameters.twist" } else { key };
        let named = notices.iter().any(|n| n.contains(name) && n.contains(key) && n.contains("not known"));
        assert!(named, "{name} {key} {value}: {notices:?}");
    }
}

#[test]
fn what_says_nothing_or_cannot_change_a_vector_is_passed_over() {
    for (key, value) in [
        ("something", json!(null)),
        ("something", json!(false)),
        ("something", json!({})),
        ("transformers_version", json!("5.24.0")),
        ("max_window_layers", json!(28)),
        ("torch_dtype", json!("bfloat16")),
        ("partial_rotary_factor", json!(1.0)),
    ] {
        let (_, notices) = Repository::new(&changed("config.json", key, value)).load(Device::Cpu).unwrap();
        assert!(notices.is_empty(), "{key}: {notices:?}");
    }
}

#[test]
fn what_would_change_vectors_and_is_not_supported_is_an_error_that_says_what_is_allowed() {
    let transformer = "sentence_bert_config.json";
    for (name, key, value, words) in [
        ("config.json", "add_cross_attention", json!(true), ["add_cross_attention true", "allowed are false"]),
        ("config.json", "layer_types", json!(["full_attention"]), ["layer_types has 1", "4"]),
        (
            "config.json",
            "layer_types",
            json!(vec!["sliding_attention"; 4]),
            ["sliding_attention", "use_sliding_window"],
        ),
        ("1_Pooling/config.json", "pooling_mode", json!("max"), ["pooling mode \"max\"", "allowed is one of mean"]),
        ("1_Pooling/config.json", "pooling_mode", json!(["mean", "cls"]), ["mean+cls", "allowed is one of"]),
        ("1_Pooling/config.json", "embedding_dimension", json!(49), ["embedding_dimension is 49", "48"]),
        ("config_sentence_transformers.json", "default_prompt_name", json!("q"), ["\"q\"", "\"document\", \"query\""]),
        ("config_sentence_transformers.json", "truncate_dim", json!(49), ["truncate_dim is 49", "48"]),
        (
            "config_sentence_transformers.json",
            "model_type",
            json!("CrossEncoder"),
            ["CrossEncoder", "SentenceTransformer"],
        ),
        ("tokenizer_config.json", "truncation_side", json!("middle"), ["middle", "left and right"]),
        (
            "tokenizer_config.json",
            "model_max_length",
            json!(0),
            ["tokenizer_config.json: model_max_length is 0", "at least 1"],
        ),
        ("tokenizer_config.json", "split_special_tokens", json!(true), ["split_special_tokens", "false"]),
        ("tokenizer_config.json", "add_prefix_space", json!(true), ["add_prefix_space", "false"]),
    ] {
        let error = Repository::new(&changed(name, key, value)).error().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    for (key, value, words) in [
        ("transformer_task", json!("fill-mask"), ["transformer_task \"fill-mask\"", "feature-extraction"]),
        ("processing_kwargs", json!({"text": {"padding": "max_length"}}), ["processing_kwargs", "allowed are {}"]),
        ("model_args", json!({"revision": "x"}), ["model_args.revision", "torch_dtype"]),
        ("tokenizer_args", json!({"add_eos_token": true}), ["tokenizer_args.add_eos_token", "padding_side"]),
        ("processor_kwargs", json!({"truncation_side": "left"}), ["truncation_side \"left\"", "right"]),
        ("config_args", json!({"num_hidden_layers": 3.5}), ["3.5", "config.json"]),
        ("config_args", json!([1]), ["config_args", "objects"]),
        ("max_seq_length", json!(0), ["sentence_bert_config.json: max_seq_length is 0", "at least 1"]),
        ("max_seq_length", json!(-1), ["sentence_bert_config.json: max_seq_length is -1", "at least 1"]),
        (
            "tokenizer_args",
            json!({"model_max_length": 0.5}),
            ["_bert_config.json: model_max_length is 0.5", "at least 1"],
        ),
    ] {
        let error = Repository::new(&files(transformer, json!({ key: value }))).error().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn modules_that_are_not_built_in_or_out_of_place_are_errors() {
    let modules = |kinds: &[&str]| {
        let entries = kinds.iter().enumerate().map(|(i, kind)| {
            let path = if kind.ends_with("Transformer") { String::new() } else { format!("{i}_Module") };
            json!({"idx": i, "name": i.to_string(), "path": path, "type": kind})
        });
        files("modules.json", entries.collect())
    };
    let own = |kind: &str| format!("sentence_transformers.models.{kind}");
    let [transformer, pooling, normalize, layer_norm] = ["Transformer", "Pooling", "Normalize", "LayerNorm"].map(own);
    for (kinds, word) in [
        (vec![transformer.as_str(), "custom_st.Pooling"], "custom_st.Pooling"),
        (vec![transformer.as_str(), layer_norm.as_str()], "LayerNorm"),
        (vec![transformer.as_str(), normalize.as_str(), pooling.as_str()], "in this place"),
        (vec![transformer.as_str(), pooling.as_str()], "1_Module/config.json"),
    ] {
        let error = Repository::new(&modules(&kinds)).error().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn an_argument_that_sentence_transformers_does_not_set_is_warned_of() {
    let file = files("sentence_bert_config.json", json!({"config_args": {"is_causal": false}}));
    let (model, notices) = Repository::new(&file).load(Device::Cpu).unwrap();
    assert!(model.config().causal && notices[0].contains("config_args.is_causal is false"), "{notices:?}");
}

#[test]
fn code_of_the_repository_is_named_since_it_is_not_run() {
    let map = json!({"AutoConfig": "configuration.OwnConfig", "AutoModel": "modeling.OwnModel"});
    let (_, notices) = Repository::new(&changed("config.json", "auto_map", map)).load(Device::Cpu).unwrap();
    assert!(notices.iter().any(|n| n.contains("OwnModel") && n.contains("not run")), "{notices:?}");
}

#[test]
fn prompts_are_told_of_and_a_name_that_is_none_is_refused() {
    let file = json!({"prompts": {"query": "Query: ", "title": "T: "}, "default_prompt_name": "query"});
    let (model, _) = Repository::new(&files("config_sentence_transformers.json", file)).load(Device::Cpu).unwrap();
    let info = model.info();
    assert_eq!(info.default_prompt_name.as_deref(), Some("query"));
    assert_eq!(info.prompts.keys().collect::<Vec<_>>(), ["document", "query", "title"]);
    let tokens = |prompt| {
        let options = EmbedOptions { prompt, ..EmbedOptions::default() };
        block_on(model.embed(&["a"], options, &())).map(|e| e.usage.tokens)
    };
    let counted = [Prompt::Text(String::new()), Prompt::Default, Prompt::Document].map(|p| tokens(p).unwrap());
    assert!(counted[1] > counted[0] && counted[2] == counted[0], "{counted:?}");
    let error = tokens(Prompt::Named("titel".into())).unwrap_err();
    assert!(error.code() == "invalid-argument" && error.to_string().contains("\"title\""), "{error}");
    let error = Prompt::choose(Some("a".into()), Some("b".into()), None).unwrap_err();
    assert_eq!(error.code(), "invalid-argument");
}

#[test]
fn what_python_writes_is_read() {
    let mut text = base("config.json").to_string();
    text.insert_str(1, "\"router_aux_loss_coef\": NaN, \"attention_dropout\": -Infinity, ");
    let bytes = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let (_, notices) = Repository::new(&Map::new()).with("config.json", &bytes).load(Device::Cpu).unwrap();
    assert!(notices.len() == 1 && notices[0].contains("router_aux_loss_coef is \"NaN\""), "{notices:?}");
    let wrong = text.replacen("\"rms_norm_eps\":1e-6", "\"rms_norm_eps\":NaN", 1);
    assert_ne!(wrong, text);
    let error = Repository::new(&Map::new()).with("config.json", wrong.as_bytes()).error();
    assert!(error.code() == "invalid-config" && error.to_string().contains("NaN"), "{error}");
}

/// The base's `tokenizer.json`, changed.
fn tokenizer(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let path = format!("{FIXTURES}/checkpoints/{BASE}/tokenizer.json");
    let mut json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut json);
    serde_json::to_vec(&json).unwrap()
}

#[test]
fn added_tokens_that_two_files_describe_in_two_ways_are_errors() {
    let token = |content: &str, lstrip: bool| json!({"content": content, "lstrip": lstrip, "rstrip": false});
    let config = |tokens: Value| json!({"added_tokens_decoder": tokens, "eos_token": "<|endoftext|>"});
    let cases = [
        ("tokenizer_config.json", config(json!({"996": token("<|im_start|>", true)})), "<|im_start|>"),
        ("tokenizer_config.json", config(json!({"1000": token("bicycle", false)})), "bicycle"),
        ("added_tokens.json", json!({"<|tool|>": 1000}), "<|tool|>"),
    ];
    for (file, content, named) in cases {
        let error = Repository::new(&Map::new()).with(file, content.to_string().as_bytes()).error();
        assert_eq!(error.code(), "unsupported");
        let message = error.to_string();
        assert!(message.contains(named) && message.contains(file), "{message}");
    }
    // transformers' Qwen2Tokenizer forgets those that are not listed.
    let mut one = config(json!({"996": token("<|im_start|>", false)}));
    one["tokenizer_class"] = "Qwen2Tokenizer".into();
    let error = Repository::new(&Map::new()).with("tokenizer_config.json", one.to_string().as_bytes()).error();
    assert!(error.to_string().contains("and not in added_tokens_decoder"), "{error}");
}

#[test]
fn a_text_has_the_same_tokens_however_often_it_is_read() {
    let json = tokenizer(|json| json["model"]["dropout"] = 0.5.into());
    let (model, _) = Repository::new(&Map::new()).with("tokenizer.json", &json).load(Device::Cpu).unwrap();
    let (plain, _) = Repository::new(&Map::new()).load(Device::Cpu).unwrap();
    for _ in 0..8 {
        let text = "Scientists explore the universe";
        assert_eq!(model.tokenizer().encode(text).unwrap(), plain.tokenizer().encode(text).unwrap());
    }
}

#[test]
fn a_tokenizer_that_its_class_would_not_make_is_warned_of() {
    let json = tokenizer(|json| json["normalizer"] = json!({"type": "Lowercase"}));
    let (_, heard) = Repository::new(&Map::new()).with("tokenizer.json", &json).load(Device::Cpu).unwrap();
    assert!(heard.iter().any(|notice| notice.contains("another normalizer")), "{heard:?}");
    let (_, heard) = Repository::new(&Map::new()).load(Device::Cpu).unwrap();
    assert_eq!(heard, Vec::<String>::new());
}

#[test]
fn a_settings_file_of_an_older_name_is_refused() {
    let file = "sentence_roberta_config.json";
    let error = Repository::new(&Map::new()).with(file, br#"{"max_seq_length": 4}"#).error();
    assert!(error.to_string().contains(file), "{error}");
}
