//! `pplx-embed maxsim`.

use std::path::Path;
use std::process::{Command, Output};

use pplx_embed::numbers::RowFormat;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::support::maxsim::{FORMS, Items, close, oracle};

/// A folder for the command line's files, removed at the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pplx-embed-maxsim-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    fn items(&self, name: &str, items: &Items) {
        let offsets: Vec<i64> = items.offsets.iter().map(|&o| o as i64).collect();
        let rows = items.scales.len();
        let bytes = |dtype, shape, data| TensorView::new(dtype, shape, data).unwrap();
        let mut tensors = vec![("offsets", bytes(Dtype::I64, vec![offsets.len()], bytemuck::cast_slice(&offsets)))];
        tensors.push((
            "data",
            match items.form {
                RowFormat::Float32 => bytes(Dtype::F32, vec![rows, items.dim], bytemuck::cast_slice(&items.floats)),
                RowFormat::Float16 => bytes(Dtype::F16, vec![rows, items.dim], bytemuck::cast_slice(&items.halves)),
                RowFormat::Int8 => bytes(Dtype::I8, vec![rows, items.dim], bytemuck::cast_slice(&items.codes)),
                RowFormat::Binary => bytes(Dtype::U8, vec![rows, items.dim.div_ceil(8)], &items.bits),
            },
        ));
        tensors.push(("tokens", bytes(Dtype::U8, vec![3], &[1, 2, 3])));
        if items.form == RowFormat::Int8 {
            tensors.push(("scales", bytes(Dtype::F32, vec![rows], bytemuck::cast_slice(&items.scales))));
        }
        self.write(name, safetensors::serialize(tensors, None).unwrap());
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        command.current_dir(&self.0).args(["maxsim", "--queries", "q.safetensors", "--documents"]);
        command.args(arguments).output().unwrap()
    }

    fn lines(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
            .stdout
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn the_command_line_scores_files_in_every_form() {
    let folder = Folder::new("forms");
    let queries = Items::random(RowFormat::Float32, 20, &[3, 9], 1);
    folder.items("q.safetensors", &queries);
    folder.write("pairs.jsonl", "[1, 2]\n\n[0, 0]\n[0, 1]\n");
    for form in FORMS {
        let documents = Items::random(form, 20, &[5, 0, 70], 2);
        folder.items("d.safetensors", &documents);
        for (device, normalize) in [("gpu", false), ("cpu", true)] {
            let expected = oracle(&queries, &documents, normalize);
            let mut arguments = vec!["d.safetensors", "--device", device, "--output", "s.npy"];
            arguments.extend(normalize.then_some("--normalize"));
            assert!(folder.run(&arguments).status.success());
            let bytes = std::fs::read(folder.0.join("s.npy")).unwrap();
            let array = npyz::NpyFile::new(&bytes[..]).unwrap();
            assert_eq!(array.shape(), [2, 3]);
            close(&array.into_vec().unwrap(), &expected, &format!("{form:?} on {device}"));
        }
    }
    let lines = folder.lines(&["d.safetensors", "--pairs", "pairs.jsonl"]);
    let named: Vec<_> = lines.iter().map(|l| (l["query"].as_u64().unwrap(), l["document"].as_u64().unwrap())).collect();
    assert_eq!(named, [(1, 2), (0, 0), (0, 1)]);
    assert!(lines[0]["score"].is_f64() && lines[2]["score"].is_null());
    let all = folder.lines(&["d.safetensors"]);
    assert_eq!((all.len(), &all[5]["score"]), (6, &lines[0]["score"]));
    let matches = folder.lines(&["d.safetensors", "--explain", "1", "2"]);
    let sum: f64 = matches.iter().map(|m| m["similarity"].as_f64().unwrap()).sum();
    assert_eq!(matches.len(), 9);
    assert!((sum - lines[0]["score"].as_f64().unwrap()).abs() < 1e-4);
    assert!(matches.iter().all(|m| m["document_token"].as_u64().unwrap() < 70));
}

#[test]
fn the_command_line_refuses_files_that_lie() {
    let folder = Folder::new("lies");
    folder.items("q.safetensors", &Items::random(RowFormat::Float32, 4, &[2], 1));
    let good = std::fs::read(folder.0.join("q.safetensors")).unwrap();
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = folder.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}");
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
    };
    let tensors = |name: &str, data: (Dtype, Vec<usize>, &[u8]), offsets: Option<&[i64]>| {
        let mut all = vec![("data", TensorView::new(data.0, data.1, data.2).unwrap())];
        let offsets = offsets.map(bytemuck::cast_slice::<i64, u8>);
        if let Some(offsets) = offsets {
            all.push(("offsets", TensorView::new(Dtype::I64, vec![offsets.len() / 8], offsets).unwrap()));
        }
        folder.write(name, safetensors::serialize(all, None).unwrap());
    };
    refused(&["none.safetensors"], 1, &["none.safetensors", "not found"]);
    refused(&["q.safetensors", "--output", "s.csv"], 2, &["--output", ".npy"]);
    folder.write("cut.safetensors", &good[..good.len() - 1]);
    refused(&["cut.safetensors"], 1, &["cut.safetensors"]);
    folder.write("long.safetensors", [&[0xff; 8][..], &good[8..]].concat());
    refused(&["long.safetensors"], 1, &["header length"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 4], &[0; 32]), None);
    refused(&["a.safetensors"], 1, &["a.safetensors", "no tensor offsets"]);
    tensors("a.safetensors", (Dtype::F64, vec![1, 4], &[0; 32]), Some(&[0, 1]));
    refused(&["a.safetensors"], 1, &["tensor data", "F64"]);
    tensors("a.safetensors", (Dtype::F32, vec![8], &[0; 32]), Some(&[0, 2]));
    refused(&["a.safetensors"], 1, &["tensor data", "2 axes"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 4], &[0; 32]), Some(&[0, -1, 2]));
    refused(&["a.safetensors"], 1, &["offsets hold -1"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 4], &[0; 32]), Some(&[0, i64::MAX]));
    refused(&["a.safetensors"], 2, &["documents.data"]);
    tensors("a.safetensors", (Dtype::F32, vec![2, 0], &[]), Some(&[0, 2]));
    refused(&["a.safetensors"], 2, &["documents.dim: 0"]);
    folder.write("pairs.jsonl", "[0, 0]\n[0, -1]\n");
    refused(&["q.safetensors", "--pairs", "pairs.jsonl"], 1, &["pairs.jsonl", "line 2"]);
    folder.write("pairs.jsonl", "[0, 1]\n");
    refused(&["q.safetensors", "--pairs", "pairs.jsonl"], 2, &["pairs[0]", "document 1"]);
    assert!(!Path::new("s.csv").exists());
}
