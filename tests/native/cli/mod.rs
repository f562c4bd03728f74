//! The command line: what it writes, what it refuses, and how it says so.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use safetensors::SafeTensors;
use serde_json::Value;

mod documents;

const MODEL: &str = "tests/fixtures/checkpoints/f32-gqa2";
const LATE: &str = "tests/fixtures/checkpoints/late-st";

fn run(arguments: &[&str], input: &[u8]) -> Output {
    run_with(Command::new(env!("CARGO_BIN_EXE_pplx-embed")).args(arguments), input)
}

fn run_with(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A run that refuses its arguments may end before it has read its input.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// A path in the temporary folder, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("pplx-embed-cli-{}-{name}", std::process::id())))
    }

    fn holding(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let file = Self::new(name);
        std::fs::write(&file.0, bytes).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// The run failed with `code`, printed nothing, and said so in one line that has every one of `words`.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    assert_eq!(error.lines().count(), 1, "{error}");
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
}

fn texts() -> (Vec<String>, Vec<i8>) {
    let json = std::fs::read("tests/fixtures/expected/f32-gqa2.json").unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let texts = json["texts"].as_array().unwrap().iter().map(|t| t["text"].as_str().unwrap().to_owned()).collect();
    let tensors = std::fs::read("tests/fixtures/expected/f32-gqa2.safetensors").unwrap();
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    (texts, bytemuck::cast_slice(tensors.tensor("int8").unwrap().data()).to_vec())
}

#[test]
fn jsonl_in_and_npy_out_equal_transformers() {
    let (texts, codes) = texts();
    // Both spellings of a line, and blank lines between them.
    let lines = texts.iter().enumerate().map(|(i, t)| match i % 2 {
        0 => format!("{}\n\n", serde_json::json!(t)),
        _ => format!("{}\n", serde_json::json!({ "id": i, "text": t })),
    });
    let input = Temporary::holding("in.jsonl", lines.collect::<String>());
    let output = Temporary::new("out.npy");
    let arguments = ["embed", "--model", MODEL, "--input", input.path(), "--output", output.path(), "--json"];
    let result = run(&arguments, b"");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let summary: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!(summary["shape"], serde_json::json!([26, 128]));
    assert_eq!(summary["dtype"], "int8");

    let bytes = std::fs::read(output.path()).unwrap();
    let array = npyz::NpyFile::new(&bytes[..]).unwrap();
    assert_eq!(array.shape(), [26, 128]);
    let got: Vec<i8> = array.into_vec().unwrap();
    let close = got.iter().zip(&codes).filter(|(a, b)| a == b).count();
    assert!(got.iter().zip(&codes).all(|(a, b)| a.abs_diff(*b) <= 1));
    assert!(close as f64 >= 0.995 * codes.len() as f64);
}

#[test]
fn each_dtype_has_its_shape_and_its_npy_type() {
    for (dtype, dimensions, shape, type_string) in [
        ("int8", "128", [2, 128], "|i1"),
        ("float32", "7", [2, 7], "<f4"),
        ("binary", "64", [2, 64], "|i1"),
        ("ubinary", "20", [2, 3], "|u1"),
    ] {
        let output = Temporary::new(&format!("{dtype}.npy"));
        let arguments =
            ["embed", "--model", MODEL, "--output", output.path(), "--dtype", dtype, "--dimensions", dimensions];
        let result = run(&arguments, b"one text\r\nanother\n");
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        let bytes = std::fs::read(output.path()).unwrap();
        let array = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(array.shape(), shape);
        assert_eq!(array.dtype().descr(), format!("'{type_string}'"));
    }
}

#[test]
fn without_output_each_text_is_a_line_of_json() {
    let result = run(&["embed", "--model", MODEL, "--dimensions", "4", "--quiet"], "Äpfel\n\n\u{feff}x".as_bytes());
    let lines: Vec<Value> = result
        .stdout
        .split(|&b| b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["index"], &lines[0]["text"]), (&serde_json::json!(0), &serde_json::json!("Äpfel")));
    // An empty line is an empty text, and its vector zero.
    assert_eq!(lines[1]["embedding"], serde_json::json!([0, 0, 0, 0]));
    assert_eq!(lines[2]["embedding"].as_array().unwrap().len(), 4);
}

#[test]
fn info_names_the_model_the_adapter_and_the_kernels() {
    let result = run(&["info", "--model", MODEL, "--json"], b"");
    let info: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!(info["dimensions"], 128);
    assert_eq!(info["maxTokens"], 32768);
    assert_eq!(info["weights"], "f32");
    // The GPU of tests is software, so that the processor is taken.
    assert_eq!((&info["device"], &info["adapter"]["software"]), (&serde_json::json!("cpu"), &serde_json::json!(false)));
    assert!(info["why"].as_str().unwrap().starts_with("the only GPU is software"), "{info}");
    assert!(info["threads"].as_u64().unwrap() > 0);
    assert_eq!(info["precision"], "exact");
    let result = run(&["info", "--model", MODEL, "--device", "gpu", "--json"], b"");
    let info: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!((&info["device"], &info["adapter"]["software"]), (&serde_json::json!("gpu"), &serde_json::json!(true)));
    assert_eq!((&info["why"], &info["threads"]), (&serde_json::json!("asked for"), &serde_json::json!(0)));
    assert!(info["kernels"].as_array().unwrap().contains(&serde_json::json!("matmul.register.f32")));
    let result = run(&["info", "--model", MODEL, "--threads", "3"], b"");
    let text = String::from_utf8(result.stdout).unwrap();
    assert!(text.contains("128 dimensions") && text.contains(", 3 threads): "), "{text}");
    let result = run(&["info", "--model", MODEL, "--threads", "0"], b"");
    let message = String::from_utf8(result.stderr).unwrap();
    assert!(!result.status.success() && message.contains("threads: is 0, allowed are 1 to 256"), "{message}");
}

/// Everything is there and makes sense; how long it took is not looked at.
#[test]
fn bench_measures_what_it_is_asked_to() {
    let cases = ["--cases", "16,3,mixed", "--seconds", "0.01", "--device", "cpu"];
    let result = run(&[&["bench", "--model", MODEL, "--json"], &cases[..]].concat(), b"");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let report: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!((&report["schema"], &report["info"]["device"]), (&serde_json::json!(1), &serde_json::json!("cpu")));
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);
    assert!(report["load"]["openSeconds"].as_f64().unwrap() > 0.0);
    assert!(report["load"]["firstVectorSeconds"].as_f64().unwrap() > 0.0);
    let found: Vec<_> =
        report["cases"].as_array().unwrap().iter().map(|c| (&c["name"], &c["texts"], &c["tokens"])).collect();
    let json = |name: &str, texts: u64, tokens: u64| (name.into(), texts.into(), tokens.into());
    let wanted: [(Value, Value, Value); 3] = [json("16", 1, 16), json("3", 1, 3), json("mixed", 8, 416)];
    assert_eq!(found, wanted.iter().map(|(name, texts, tokens)| (name, texts, tokens)).collect::<Vec<_>>());
    for case in report["cases"].as_array().unwrap() {
        let seconds = |field: &str| case["seconds"][field].as_f64().unwrap();
        assert!(
            0.0 < seconds("least") && seconds("least") <= seconds("median") && seconds("median") <= seconds("most")
        );
        assert_eq!(case["seconds"]["all"].as_array().unwrap().len() as u64, case["runs"].as_u64().unwrap());
        assert!(case["tokensPerSecond"].as_f64().unwrap() > 0.0 && case["gflops"].as_f64().unwrap() > 0.0);
    }
    if cfg!(target_os = "linux") {
        assert!(report["memory"]["peakBytes"].as_u64().unwrap() > 1 << 20);
    }

    // A table for people, a row a case; files instead of made-up texts; late interaction.
    let input = Temporary::holding("own.txt", "two words\nand three more\n");
    let result = run(&["bench", "--model", MODEL, "--input", input.path(), "--seconds", "0.01"], b"");
    let table = String::from_utf8(result.stdout).unwrap();
    assert!(table.contains("tokens/s") && table.contains("-own ") && table.contains("peak of memory"), "{table}");
    let late = run(&["bench", "--model", LATE, "--json", "--cases", "16", "--seconds", "0.01"], b"");
    assert!(late.status.success(), "{}", String::from_utf8_lossy(&late.stderr));

    let few = ["bench-search", "--items", "50", "--documents", "2", "--seconds", "0.01", "--device", "cpu"];
    let result = run(&[&few[..], &["--json"]].concat(), b"");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let report: Value = serde_json::from_slice(&result.stdout).unwrap();
    let names: Vec<_> = report["cases"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(
        names.iter().any(|n| n.starts_with("reading")) && names.iter().any(|n| n.starts_with("MaxSim")),
        "{names:?}"
    );
    assert!(String::from_utf8(run(&few, b"").stdout).unwrap().contains("GB/s"));
}

#[test]
fn bench_refuses_what_it_cannot_time() {
    let bench = |more: &[&str]| run(&[&["bench", "--model", MODEL], more].concat(), b"");
    refused(&bench(&["--cases", "16,much"]), 2, &["--cases", "much", "mixed"]);
    refused(&bench(&["--cases", "0"]), 2, &["--cases"]);
    refused(&bench(&["--seconds", "0"]), 2, &["--seconds", "0"]);
    refused(&bench(&["--input", "a.csv"]), 2, &["--input", "a.csv"]);
    refused(&run(&["bench-search", "--items", "0"], b""), 2, &["--items", "0"]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_eq!(run(&["embed"], b"").status.code(), Some(2));
    assert_eq!(run(&["embed", "--model", MODEL, "--dtype", "int4"], b"").status.code(), Some(2));
    assert_eq!(run(&["frobnicate"], b"").status.code(), Some(2));
    let device = run(&["info", "--model", MODEL, "--device", "tpu"], b"");
    assert_eq!(device.status.code(), Some(2));
    let text = String::from_utf8(device.stderr).unwrap();
    assert!(text.contains("--device") && text.contains("tpu") && text.contains("auto, gpu, webgpu, cpu"), "{text}");
    refused(&run(&["embed", "--model", MODEL, "--dimensions", "129"], b"a"), 2, &["dimensions", "129", "1 to 128"]);
    refused(&run(&["embed", "--model", MODEL, "--normalize"], b"a"), 2, &["normalize", "float32"]);
    refused(&run(&["embed", "--model", MODEL, "--input", "a.csv"], b""), 2, &["--input", "a.csv", ".jsonl"]);
    refused(&run(&["embed", "--model", MODEL, "--output", "a.csv"], b""), 2, &["--output", "a.csv", ".npy"]);
    refused(&run(&["embed", "--model", MODEL, "--weights", "q9"], b"a"), 2, &["weights", "q9"]);
    let precision = run(&["embed", "--model", MODEL, "--precision", "quick"], b"");
    assert_eq!(precision.status.code(), Some(2));
    let text = String::from_utf8(precision.stderr).unwrap();
    assert!(text.contains("--precision") && text.contains("quick") && text.contains("exact, fast"), "{text}");
    let f16 = ["embed", "--model", MODEL, "--precision", "fast", "--weights", "f16"];
    refused(&run(&f16, b"a"), 2, &["precision", "fast", "auto, q8 and q4"]);
}

#[test]
fn a_failed_run_is_exit_code_1_and_one_line() {
    refused(&run(&["info", "--model", "tests"], b""), 1, &["config.json", "not found"]);
    refused(&run(&["embed", "--model", MODEL], b"good\nb\xffd\n"), 1, &["line 2", "UTF-8"]);
    refused(&run(&["embed", "--model", MODEL, "--input", "missing.txt"], b""), 1, &["missing.txt"]);
    for line in ["\"\\ud80\"", "{\"txt\": 1}", "[1]", "\"a"] {
        let input = Temporary::holding("bad.jsonl", format!("\"fine\"\n{line}\n"));
        refused(&run(&["embed", "--model", MODEL, "--input", input.path()], b""), 1, &["line 2"]);
    }
    let nowhere = "no/such/folder/out.npy";
    refused(&run(&["embed", "--model", MODEL, "--output", nowhere], b"a\n"), 1, &[nowhere]);
}

#[test]
fn errors_are_json_on_request() {
    let result = run(&["info", "--model", "tests", "--json"], b"");
    let error = String::from_utf8(result.stderr).unwrap();
    let error: Value = serde_json::from_str(error.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "not-found");
}

#[test]
fn a_machine_without_an_adapter_runs_on_the_processor_and_says_so() {
    let without = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        command.args(arguments).env("VK_ICD_FILENAMES", "none.json").env("VK_DRIVER_FILES", "none.json");
        run_with(&mut command, b"")
    };
    if cfg!(target_os = "linux") {
        refused(&without(&["info", "--model", MODEL, "--device", "gpu"]), 1, &["no GPU adapter", "Vulkan"]);
        let result = without(&["info", "--model", MODEL, "--json"]);
        let notice = String::from_utf8(result.stderr).unwrap();
        assert!(notice.contains("runs on the processor") && notice.contains("no GPU adapter"), "{notice}");
        let info: Value = serde_json::from_slice(&result.stdout).unwrap();
        assert_eq!(info["device"], "cpu", "{info}");
    }
}

/// Mesa says on standard error that it finds no XDG_RUNTIME_DIR, which servers do not have.
#[test]
fn drivers_are_heard_only_by_those_who_ask() {
    let info = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        command.env_remove("XDG_RUNTIME_DIR").args(["info", "--model", MODEL, "--device", "gpu"]).args(more);
        let output = run_with(&mut command, b"");
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(info(&[]), (true, String::new()));
    let (loaded, heard) = info(&["--verbose"]);
    assert!(loaded && (heard.is_empty() || heard.contains("XDG_RUNTIME_DIR")), "{heard}");
    // What this program has to say is heard all the same.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(name, "/nowhere");
    }
    let output = run_with(command.args(["embed", "--model", MODEL, "--dimensions", "2"]), b"a\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.starts_with("note: runs on the processor: no GPU adapter"), "{said}");
}

#[test]
fn a_model_that_is_no_folder_and_no_id_is_told_so() {
    let file = Temporary::holding("model.gguf", b"GGUF");
    let info = |model: &str| run(&["info", "--model", model], b"");
    refused(&info(file.path()), 2, &["--model", "is a file", "folder"]);
    for missing in ["./nowhere", "/nowhere", "~/nowhere", "a/b/c"] {
        refused(&info(missing), 2, &["--model", missing, "no folder"]);
    }
    let mut offline = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
    offline.env("HF_HUB_OFFLINE", "1").args(["info", "--no-cache", "--model", "tests/nowhere"]);
    let said = String::from_utf8(run_with(&mut offline, b"").stderr).unwrap();
    assert!(said.starts_with("note: there is no folder tests/nowhere; a server is asked"), "{said}");
}
