//! Documents of chunks, and token vectors.

use safetensors::SafeTensors;
use serde_json::Value;

use super::{LATE, MODEL, Temporary, refused, run};

/// Tensors of a safetensors file by name: dtype, shape and bytes.
fn tensors(path: &str) -> std::collections::BTreeMap<String, (String, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let entry = |(name, t): (String, safetensors::tensor::TensorView<'_>)| {
        (name, (format!("{:?}", t.dtype()), t.shape().to_vec(), t.data().to_vec()))
    };
    file.tensors().into_iter().map(entry).collect()
}

fn counts(bytes: &[u8]) -> Vec<i64> {
    bytemuck::pod_collect_to_vec(bytes)
}

const CONTEXT: &str = "tests/fixtures/checkpoints/context";

#[test]
fn documents_of_chunks_become_ragged_safetensors() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read("tests/fixtures/expected/context.json").unwrap()).unwrap();
    let documents: Vec<&Value> = expected["texts"].as_array().unwrap().iter().map(|t| &t["chunks"]).collect();
    let lines: String = documents.iter().map(|d| format!("{d}\n\n")).collect();
    let input = Temporary::holding("docs.jsonl", lines);
    let output = Temporary::new("docs.safetensors");
    let arguments = ["embed-context", "--model", CONTEXT, "--input", input.path(), "--output", output.path(), "--json"];
    let result = run(&arguments, b"");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let summary: Value = serde_json::from_slice(&result.stdout).unwrap();
    let mut offsets = vec![0];
    for document in &documents {
        offsets.push(offsets[offsets.len() - 1] + document.as_array().unwrap().len() as i64);
    }
    let rows = offsets[documents.len()] as usize;
    assert_eq!(summary["shape"], serde_json::json!([rows, 32]));
    assert_eq!(summary["documents"], documents.len());

    let written = tensors(output.path());
    let (dtype, shape, codes) = &written["data"];
    assert_eq!((dtype.as_str(), &shape[..]), ("I8", &[rows, 32][..]));
    let want = tensors("tests/fixtures/expected/context.safetensors").remove("int8").unwrap().2;
    assert!(codes.iter().zip(&want).all(|(a, b)| (*a as i8).abs_diff(*b as i8) <= 1));
    let (dtype, shape, bytes) = &written["offsets"];
    assert_eq!((dtype.as_str(), &shape[..]), ("I64", &[documents.len() + 1][..]));
    assert_eq!(counts(bytes), offsets);
}

#[test]
fn token_vectors_become_ragged_safetensors_in_every_form() {
    for (dtype, tensor, columns) in
        [("float32", "F32", 24), ("float16", "F16", 24), ("int8", "I8", 24), ("binary", "U8", 3)]
    {
        let output = Temporary::new(&format!("{dtype}.safetensors"));
        let arguments = ["encode", "--model", LATE, "--role", "document", "--output", output.path(), "--dtype", dtype];
        let result = run(&arguments, "A text, with marks.\n\nstra\u{df}e\n".as_bytes());
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        let written = tensors(output.path());
        let offsets = counts(&written["offsets"].2);
        // The empty text has its marker alone.
        assert_eq!((offsets.len(), offsets[0], offsets[2] - offsets[1]), (4, 0, 1));
        let rows = offsets[3] as usize;
        assert_eq!((written["data"].0.as_str(), &written["data"].1[..]), (tensor, &[rows, columns][..]));
        let ids = counts(&written["ids"].2);
        assert_eq!((ids.len(), ids[0], ids[offsets[1] as usize]), (rows, 1001, 1001));
        let ranges = counts(&written["ranges"].2);
        assert_eq!((written["ranges"].1.as_slice(), &ranges[..2]), (&[rows, 2][..], &[0, 0][..]));
        // In bytes: the last text has 7.
        assert_eq!(ranges[rows * 2 - 1], 7);
        assert_eq!(written.get("scales").map(|s| s.1.clone()), (dtype == "int8").then(|| vec![rows]));
    }
}

#[test]
fn without_output_documents_and_token_vectors_are_lines_of_json() {
    let result = run(&["embed-context", "--model", CONTEXT, "--dimensions", "3"], b"[\"a\", \"\"]\n[]\n");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let lines: Vec<Value> =
        String::from_utf8(result.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0]["index"].as_u64(), &lines[0]["embeddings"][1]), (Some(0), &serde_json::json!([0, 0, 0])));
    assert_eq!(lines[1]["embeddings"], serde_json::json!([]));

    let arguments = ["encode", "--model", LATE, "--role", "query", "--dtype", "int8", "--marker-position", "1"];
    let result = run(&arguments, b"where\n");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let line: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!((line["text"].as_str(), line["tokens"][1].as_u64()), (Some("where"), Some(1000)));
    for field in ["tokens", "scales", "embeddings"] {
        assert_eq!(line[field].as_array().unwrap().len(), 32, "{field}");
    }
    assert_eq!(line["embeddings"][0].as_array().unwrap().len(), 24);
}

#[test]
fn what_documents_and_roles_may_be_is_said() {
    let context = |input: &str| run(&["embed-context", "--model", CONTEXT], input.as_bytes());
    refused(&context("[\"a\"]\n[\"a\", 5]\n"), 1, &["line 2", "array of strings"]);
    refused(&context("{\"text\": \"a\"}\n"), 1, &["line 1", "array of strings"]);
    refused(&context("[\"a\"\n"), 1, &["line 1", "EOF"]);
    let long = format!("[\"b\"]\n[\"{}\"]", "a\\n".repeat(2000));
    refused(&context(&long), 2, &["documents[1]", "1024"]);
    let outputs = ["embed-context", "--model", CONTEXT, "--output", "x.npy"];
    refused(&run(&outputs, b""), 2, &["--output", ".safetensors"]);
    refused(&run(&["embed-context", "--model", CONTEXT, "--input", "x.txt"], b""), 2, &["--input", ".jsonl"]);
    refused(&run(&["embed-context", "--model", MODEL], b"[\"a\"]"), 1, &["embedContext", "not supported"]);
    let query = |more: &[&str]| run(&[&["encode", "--model", LATE, "--role", "query"], more].concat(), b"a");
    refused(&query(&["--marker-position", "2"]), 2, &["markerPosition", "0 and 1"]);
    refused(&query(&["--pool-factor", "2"]), 2, &["poolFactor", "documents"]);
    refused(&run(&["encode", "--model", MODEL, "--role", "query"], b"a"), 1, &["encodeQuery"]);
    refused(&run(&["embed", "--model", LATE], b"a"), 1, &["encodeQuery"]);
    assert_eq!(run(&["encode", "--model", LATE, "--role", "passage"], b"a").status.code(), Some(2));
}
