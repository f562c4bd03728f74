//! Repositories that lack a usual file: what is read all the same, and what is said of the others.

use std::path::{Path, PathBuf};

use pplx_embed::Error;
use pplx_embed::backend::Device;
use pplx_embed::hub::Folder;
use pplx_embed::model::{EmbedOptions, Embeddings, LoadOptions, Model, Tokenizer, tokenizer_json};
use serde_json::Value;

const CHECKPOINTS: &str = "tests/fixtures/checkpoints";
const SHARDED: &str = "bf16-gqa4-sharded";
const INDEX: &str = "model.safetensors.index.json";

/// A folder of its own, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pplx-embed-repositories-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// The files of a checkpoint.
    fn of(name: &str, checkpoint: &str) -> Self {
        let folder = Self::new(name);
        copy(&Path::new(CHECKPOINTS).join(checkpoint), &folder.0);
        folder
    }

    fn with(self, file: &str, bytes: impl AsRef<[u8]>) -> Self {
        std::fs::create_dir_all(self.0.join(file).parent().unwrap()).unwrap();
        std::fs::write(self.0.join(file), bytes).unwrap();
        self
    }

    fn without(self, files: &[&str]) -> Self {
        files.iter().for_each(|file| std::fs::remove_file(self.0.join(file)).unwrap());
        self
    }

    fn load(&self) -> Result<Model, Error> {
        let options = LoadOptions { device: Device::Cpu, threads: Some(1), ..LoadOptions::default() };
        pollster::block_on(Model::load(&Folder::new(&self.0), options, &()))
    }

    /// Loading fails with `code`, and says every one of `words`.
    #[track_caller]
    fn refused(&self, code: &str, words: &[&str]) {
        let Err(error) = self.load() else { panic!("{} was loaded", self.0.display()) };
        let message = error.to_string();
        assert_eq!(error.code(), code, "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "no {word:?} in {message}"));
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn embed(model: &Model) -> Embeddings {
    pollster::block_on(model.embed(&["a river", "bread"], EmbedOptions::default(), &())).unwrap()
}

#[test]
fn shards_without_an_index_give_the_vectors_of_those_with_one() {
    let with = Temporary::of("indexed", SHARDED);
    let without = Temporary::of("unindexed", SHARDED).without(&[INDEX]);
    assert_eq!(embed(&without.load().unwrap()), embed(&with.load().unwrap()));
}

#[test]
fn a_single_file_goes_before_an_index_beside_it() {
    let stale = br#"{"weight_map": {"embed_tokens.weight": "model-00001-of-00002.safetensors"}}"#;
    let both = Temporary::of("both", "f32-odd").with(INDEX, stale);
    assert_eq!(embed(&both.load().unwrap()), embed(&Temporary::of("single", "f32-odd").load().unwrap()));
}

#[test]
fn a_set_of_shards_has_to_be_whole_and_of_one_kind() {
    let shard = |n: u32, of: u32| format!("model-{n:05}-of-{of:05}.safetensors");
    let lacking = Temporary::of("lacking", SHARDED).without(&[INDEX, &shard(2, 3)]);
    lacking.refused("not-found", &[&shard(2, 3), "2 of the 3 shards", INDEX]);
    let bytes = std::fs::read(Path::new(CHECKPOINTS).join(SHARDED).join(shard(1, 3))).unwrap();
    let other = Temporary::of("other", SHARDED).without(&[INDEX]).with(&shard(1, 4), &bytes);
    other.refused("invalid-checkpoint", &[&shard(1, 4), "another set"]);
    // The same tensors in two of them.
    let twice = Temporary::of("twice", SHARDED).without(&[INDEX]).with(&shard(2, 3), &bytes);
    twice.refused("invalid-checkpoint", &["twice"]);
}

#[test]
fn what_is_there_instead_of_weights_is_named_with_what_would_do() {
    const MODEL: &str = "f32-odd";
    let without = |name: &str| Temporary::of(name, MODEL).without(&["model.safetensors"]);
    let path = |folder: &Temporary| folder.0.display().to_string();
    let pickle = without("pickle").with("pytorch_model.bin", b"PK").with("training_args.bin", b"PK");
    pickle
        .refused("unsupported", &["pytorch_model.bin", "AutoModel.from_pretrained", "save_pretrained", &path(&pickle)]);
    without("pickles").with("pytorch_model-00001-of-00002.bin", b"").refused("unsupported", &["pytorch_model-00001"]);
    without("gguf")
        .with("model-q8_0.gguf", b"GGUF")
        .refused("unsupported", &["model-q8_0.gguf", "GGUF", "safetensors"]);
    without("onnx").with("onnx/model.onnx", b"").refused("unsupported", &["onnx/model.onnx", "ONNX", "safetensors"]);
    let adapter = without("adapter")
        .with("adapter_model.safetensors", b"")
        .with("adapter_config.json", br#"{"base_model_name_or_path": "Qwen/Qwen3-Embedding-0.6B"}"#);
    adapter.refused("unsupported", &["adapter_model.safetensors", "Qwen/Qwen3-Embedding-0.6B", "merge_and_unload"]);
    without("renamed").with("weights.safetensors", b"").refused("not-found", &["weights.safetensors", "call it model"]);
    without("none").refused("not-found", &["model.safetensors", "which has", "modules.json"]);
    // The same where there is nothing else of a model either.
    let bare = |name: &str| Temporary::new(name);
    bare("empty").refused("not-found", &["config.json", "which is empty", "tokenizer.json and model.safetensors"]);
    bare("only-gguf").with("some.Q4_K_M.gguf", b"").refused("unsupported", &["some.Q4_K_M.gguf"]);
    bare("only-adapter")
        .with("adapter_model.bin", b"")
        .refused("unsupported", &["adapter_model.bin", "its base model"]);
    bare("text").with("notes.txt", b"").refused("not-found", &["which has notes.txt"]);
    let nested = bare("nested").with("main/config.json", b"{}").with("main/model.safetensors", b"");
    nested.refused("not-found", &["main/config.json is in a folder of its own"]);
    // What there is beside weights says nothing of them.
    let both = Temporary::of("both", MODEL).with("model.gguf", b"").with("pytorch_model.bin", b"");
    assert!(both.load().is_ok());
}

#[test]
fn no_module_is_given_as_a_model() {
    const MODEL: &str = "f32-odd";
    let said = |folder: &Temporary| folder.load().err().unwrap().to_string();
    let lacking = Temporary::of("no-config", MODEL).without(&["config.json"]);
    lacking.refused("not-found", &["config.json: not found", "which has 1_Pooling/config.json"]);
    assert!(!said(&lacking).contains("give that one"), "{}", said(&lacking));
    // A folder with another name that modules.json gives to a module.
    let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "pool", "type": "sentence_transformers.models.Pooling"}]"#;
    let named = Temporary::new("named-module").with("modules.json", modules).with("pool/config.json", "{}");
    named.refused("not-found", &["config.json: not found", "which has modules.json, pool/config.json"]);
    assert!(!said(&named).contains("give that one"), "{}", said(&named));
    // The encoder itself in a module's folder, alone and beside another one.
    let modules = modules.replace(r#""path": """#, r#""path": "0_Transformer""#);
    let apart = Temporary::new("apart-encoder").with("modules.json", &modules).with("pool/config.json", "{}");
    copy(&Path::new(CHECKPOINTS).join(MODEL), &apart.0.join("0_Transformer"));
    let words = ["Transformer in the folder 0_Transformer", "modules.json", "move the files of 0_Transformer there"];
    apart.refused("unsupported", &words);
    assert!(!said(&apart).contains("give that one"), "{}", said(&apart));
    Temporary::of("two-encoders", MODEL).with("modules.json", &modules).refused("unsupported", &words);
}

#[test]
fn the_folder_of_a_model_in_another_cache_is_told_from_that_of_its_files() {
    let folder = Temporary::new("models--a--b").with("blobs/12", "").with("refs/main", "abc");
    copy(&Path::new(CHECKPOINTS).join("f32-odd"), &folder.0.join("snapshots/abc"));
    folder
        .refused("not-found", &["config.json", "Hugging Face's cache", "give the folder of its files, snapshots/abc"]);
    let two = folder.with("snapshots/def/pytorch_model.bin", "");
    two.refused("not-found", &["snapshots/abc or snapshots/def"]);
}

#[test]
fn a_pointer_of_git_lfs_is_named_as_one() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let shard = "model-00002-of-00003.safetensors";
    for (checkpoint, file) in [
        ("f32-odd", "model.safetensors"),
        ("f32-odd", "tokenizer.json"),
        ("f32-odd", "config.json"),
        (SHARDED, shard),
        (SHARDED, INDEX),
    ] {
        let folder = Temporary::of("pointer", checkpoint).with(file, pointer);
        folder.refused("io", &[&format!("{file}: is a Git LFS pointer"), "git lfs pull"]);
    }
}

#[test]
fn weights_of_a_module_that_are_a_pickle_are_named_with_what_would_do() {
    let dense = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#;
    let hidden: Value =
        serde_json::from_slice(&std::fs::read(Path::new(CHECKPOINTS).join("f32-odd/config.json")).unwrap()).unwrap();
    let settings = serde_json::json!({ "in_features": hidden["hidden_size"], "out_features": 8, "bias": false,
        "activation_function": "torch.nn.modules.linear.Identity" });
    let folder = Temporary::of("pickled-dense", "f32-odd")
        .with("modules.json", dense)
        .with("2_Dense/config.json", settings.to_string());
    folder.refused("not-found", &["2_Dense/model.safetensors: not found"]);
    let folder = folder.with("2_Dense/pytorch_model.bin", b"PK");
    folder.refused(
        "unsupported",
        &["2_Dense/pytorch_model.bin, a pickle", "2_Dense/model.safetensors is not there", "SentenceTransformer("],
    );
}

#[test]
fn without_a_tokenizer_its_absence_is_named_with_what_would_do() {
    let without = |name: &str| Temporary::of(name, "f32-odd").without(&["tokenizer.json"]);
    without("none").refused("not-found", &["tokenizer.json", "vocab.json and merges.txt", "AutoTokenizer"]);
    without("no-merges").with("vocab.json", b"{}").refused(
        "not-found",
        &["tokenizer.json: not found", "and merges.txt, which vocab.json needs, is not there either", "AutoTokenizer"],
    );
    without("no-vocabulary")
        .with("merges.txt", b"")
        .refused("not-found", &["and vocab.json, which merges.txt needs, is not there either"]);
    let invalid = |name: &str, vocabulary: &str, merges: &str, file: &str, words: &[&str]| {
        let both = without(name).with("vocab.json", vocabulary).with("merges.txt", merges);
        both.refused("invalid-config", &[&[file], words].concat());
    };
    invalid("list", "[]", "", "vocab.json", &[]);
    invalid("negative", r#"{"a": -1}"#, "", "vocab.json", &[]);
    invalid("three", r#"{"a": 0}"#, "#version: 0.2\na b c\n", "merges.txt", &["line 2"]);
    invalid("one", r#"{"a": 0}"#, "a\n", "merges.txt", &["line 1"]);
    let unknown = without("unknown").with("vocab.json", r#"{"a": 0, "b": 1}"#).with("merges.txt", "a b\n");
    unknown.refused("invalid-config", &["merges.txt", "line 1", "\"ab\"", "vocab.json"]);
    let class = r#"{"tokenizer_class": "RobertaTokenizer"}"#;
    let other = without("class").with("vocab.json", "{}").with("merges.txt", "").with("tokenizer_config.json", class);
    other.refused("unsupported", &["RobertaTokenizer", "Qwen2Tokenizer"]);
    let gap = r#"{"added_tokens_decoder": {"7": {"content": "<x>"}}}"#;
    let gap =
        without("gap").with("vocab.json", r#"{"a": 0}"#).with("merges.txt", "").with("tokenizer_config.json", gap);
    gap.refused("invalid-config", &["tokenizer_config.json", "\"<x>\"", "7"]);
}

#[test]
fn vocabularies_with_merges_give_the_ids_of_transformers() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read("tests/fixtures/expected/byte-pairs.json").unwrap()).unwrap();
    let texts: Vec<&str> = expected["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for (i, case) in expected["cases"].as_array().unwrap().iter().enumerate() {
        let folder = Temporary::new(&format!("pairs{i}"));
        copy(Path::new("tests/fixtures/byte-pairs"), &folder.0);
        for (file, json) in case["files"].as_object().unwrap() {
            std::fs::write(folder.0.join(file), json.to_string()).unwrap();
        }
        let json = pollster::block_on(tokenizer_json(&Folder::new(&folder.0), 1 << 20)).unwrap();
        let tokenizer = Tokenizer::parse(&json, 2000, 4096).unwrap();
        for (text, want) in texts.iter().zip(case["ids"].as_array().unwrap()) {
            assert_eq!(serde_json::json!(tokenizer.encode(text).unwrap().ids), *want, "{}: {text:?}", case["name"]);
        }
    }
}

#[test]
fn a_model_with_vocabulary_and_merges_gives_the_vectors_of_its_tokenizer() {
    const MODEL: &str = "f32-gqa2";
    let pairs = |file: &str| std::fs::read(Path::new("tests/fixtures/byte-pairs").join(file)).unwrap();
    // Its added tokens are in tokenizer.json only.
    let whole = Temporary::of("whole", MODEL);
    let apart = Temporary::of("apart", MODEL)
        .without(&["tokenizer.json"])
        .with("vocab.json", pairs("vocab.json"))
        .with("merges.txt", pairs("merges.txt"));
    assert_eq!(embed(&apart.load().unwrap()), embed(&whole.load().unwrap()));
}

#[test]
fn what_is_quantized_may_lack_the_same_files_and_has_them_afterwards() {
    let quantize = |folder: &Temporary| {
        let output = folder.0.with_extension("out");
        drop(std::fs::remove_dir_all(&output));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        command.args(["quantize", "--bits", "8", "--group-size", "32", "--quiet", "--model"]).arg(&folder.0);
        (command.arg("--output").arg(&output).output().unwrap(), output)
    };
    let pairs = |file: &str| std::fs::read(Path::new("tests/fixtures/byte-pairs").join(file)).unwrap();
    let lacking = Temporary::of("to-quantize", SHARDED)
        .without(&[INDEX, "tokenizer.json"])
        .with("vocab.json", pairs("vocab.json"))
        .with("merges.txt", pairs("merges.txt"));
    let (done, output) = quantize(&lacking);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(output.join(INDEX).is_file() && output.join("tokenizer.json").is_file());
    let options = LoadOptions { device: Device::Cpu, threads: Some(1), ..LoadOptions::default() };
    let model = pollster::block_on(Model::load(&Folder::new(&output), options, &())).unwrap();
    assert_eq!(embed(&model).rows, 2);
    std::fs::remove_dir_all(output).unwrap();
    let pickle =
        Temporary::of("pickle-to-quantize", "f32-odd").without(&["model.safetensors"]).with("pytorch_model.bin", b"");
    let (refused, output) = quantize(&pickle);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("pytorch_model.bin, a pickle") && !output.exists(), "{said}");
}
