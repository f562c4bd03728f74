//! What is printed beside vectors, and texts that are documents.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const MODEL: &str = "tests/fixtures/checkpoints/f32-gqa2";
const LATE: &str = "tests/fixtures/checkpoints/late-st";

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A run that refuses its arguments may end before it has read its input.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// A folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pplx-embed-documents-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Lines of JSON that a run which went well has printed.
#[track_caller]
fn printed(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn a_text_is_printed_cut_or_not_at_all() {
    let long = format!("{} end\nshort\n", "w\u{f6}rd ".repeat(400));
    for (command, vectors) in [
        (&["embed", "--model", MODEL][..], "embedding"),
        (&["encode", "--role", "document", "--model", LATE], "embeddings"),
    ] {
        let output = run(command, long.as_bytes());
        let lines = printed(&output);
        assert_eq!(lines[0]["text"].as_str().unwrap().chars().count(), 1000);
        assert!(long.starts_with(lines[0]["text"].as_str().unwrap()));
        assert_eq!(
            (&lines[0]["textCut"], &lines[1]["text"], lines[1].get("textCut")),
            (&1004.into(), &"short".into(), None)
        );
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("note: of 1 texts only the first 1000 characters are printed; --no-text"), "{said}");
        let without = printed(&run(&[command, &["--no-text", "--quiet"]].concat(), long.as_bytes()));
        assert!(without.iter().all(|line| line.get("text").is_none() && line.get("textCut").is_none()));
        assert_eq!((&without[0]["index"], &without[0][vectors]), (&0.into(), &lines[0][vectors]));
    }
}

#[test]
fn documents_are_texts_of_their_own() {
    let folder = Folder::new("documents");
    std::fs::create_dir_all(folder.0.join("sub")).unwrap();
    for (file, text) in
        [("sub/a.md", "one\n\ntwo"), ("b.html", "<p>three<p>four"), ("c.jsonl", "\"five\"\n\n\"six\"\n")]
    {
        std::fs::write(folder.0.join(file), text).unwrap();
    }
    let of = |input: &str, more: &[&str], stdin: &[u8]| {
        let lines = printed(&run(&[&["embed", "--model", MODEL, "--quiet", "--input", input], more].concat(), stdin));
        let field = |line: &Value, name: &str| line.get(name).map_or(String::new(), |v| v.as_str().unwrap().to_owned());
        lines.iter().map(|line| (field(line, "id"), field(line, "text"))).collect::<Vec<_>>()
    };
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>();
    let want =
        own(&[("b.html", "three\n\nfour"), ("c.jsonl:1", "five"), ("c.jsonl:3", "six"), ("sub/a.md", "one\n\ntwo")]);
    assert_eq!(of(folder.path(), &[], b""), want);
    assert_eq!(of(&format!("{}/sub/a.md", folder.path()), &[], b""), own(&[("", "one\n\ntwo")]));
    assert_eq!(of("-", &["--format", "text"], b"one\ntwo"), own(&[("", "one\ntwo")]));
    assert_eq!(of("-", &["--format", "jsonl"], b"{\"text\": \"x\"}\n"), own(&[("", "x")]));
    // A file of vectors says in which order they are.
    let vectors = Folder::new("vectors");
    let output = format!("{}/documents.npy", vectors.path());
    let arguments = ["embed", "--model", MODEL, "--input", folder.path(), "--output", &output, "--json"];
    let summary = printed(&run(&arguments, b""));
    assert_eq!(summary[0]["ids"], serde_json::json!(["b.html", "c.jsonl:1", "c.jsonl:3", "sub/a.md"]));
    assert!(Path::new(&output).is_file());
}

#[test]
fn jsonl_as_python_writes_it_is_read() {
    let folder = Folder::new("python");
    let embed = |lines: &str| {
        let input = folder.0.join("python.jsonl");
        std::fs::write(&input, lines).unwrap();
        run(&["embed", "--model", MODEL, "--quiet", "--input", input.to_str().unwrap()], b"")
    };
    let plain = printed(&embed("{\"text\": \"a \\ufffd\"}\n\"NaN\"\n"));
    let python = "\u{feff}{\"text\": \"a \\ud83d\", \"y\": NaN, \"z\": {\"a\": -Infinity}}\n\"NaN\"\n";
    assert_eq!((printed(&embed(python)), plain.len()), (plain, 2));
    for (lines, said) in [
        ("\"a\"\n{\"text\": NaN}\n", "python.jsonl: line 2: text is NaN; the line is neither a string"),
        ("\"a\"\nNaN\n", "python.jsonl: line 2: neither a string nor an object"),
    ] {
        let output = embed(lines);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(said), "{error}");
    }
}
