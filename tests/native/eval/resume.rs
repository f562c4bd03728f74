//! Vectors that are kept: a run that was cut goes on, and what is damaged or of something else is not taken.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::runs::Folder;

const MODEL: &str = "tests/fixtures/checkpoints/f32-gqa2";
/// So many that a run can be cut between the second and the last.
const DOCUMENTS: usize = 80;

fn set(folder: &Folder, documents: usize) {
    let text = |i: usize| format!("document number {i} speaks of {} and of {}", i * 7 % 13, i * 5 % 11);
    let corpus: Vec<Value> = (0..documents).map(|i| json!({ "_id": format!("d{i}"), "text": text(i) })).collect();
    let queries = [("q1", "the number 7"), ("q2", "a document")];
    folder.set(&corpus, &queries, &[("q1", "d1", 1), ("q2", "d2", 1), ("q2", "d3", 2)]);
}

fn report(folder: &Folder, more: &[&str]) -> Value {
    let set = folder.path("set");
    let block: &[&str] = if more.contains(&"--block") { &[] } else { &["--block", "1"] };
    folder.report(&[&["--model", MODEL, "--dataset", &set], block, more].concat())
}

/// Texts that went through the model, and texts whose vectors were there.
#[track_caller]
fn counted(report: &Value, embedded: usize, reused: usize) {
    let texts = &report["texts"];
    assert_eq!((&texts["embedded"], &texts["reused"]), (&json!(embedded), &json!(reused)));
}

/// The files of blocks, in order, of documents or of queries.
fn blocks(folder: &Folder, of: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(folders) = std::fs::read_dir(folder.0.join("work")) else { return found };
    for stream in folders.map(|entry| entry.unwrap().path()) {
        let Ok(about) = std::fs::read_to_string(stream.join("about.json")) else { continue };
        if serde_json::from_str::<Value>(&about).unwrap()["of"]["texts"] == of {
            let files = std::fs::read_dir(stream).unwrap().map(|entry| entry.unwrap().path());
            found.extend(files.filter(|path| path.extension().is_some_and(|e| e == "block")));
        }
    }
    found.sort();
    found
}

#[test]
fn a_run_that_was_killed_goes_on_from_its_last_block_and_ends_as_another() {
    let folder = Folder::new("killed");
    set(&folder, DOCUMENTS);
    let path = folder.path("set");
    let mut child = folder.command().args(["--model", MODEL, "--dataset", &path, "--block", "1"]).spawn().unwrap();
    let start = Instant::now();
    while blocks(&folder, "documents").len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(120), "no block came");
        assert!(child.try_wait().unwrap().is_none_or(|status| status.success()));
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = blocks(&folder, "documents").len();
    assert!(done < DOCUMENTS, "it was too quick to be cut");
    let after = report(&folder, &[]);
    counted(&after, DOCUMENTS - done, done + 2);

    let whole = Folder::new("whole");
    set(&whole, DOCUMENTS);
    let other = report(&whole, &[]);
    counted(&other, DOCUMENTS + 2, 0);
    assert_eq!(after["results"], other["results"]);
}

#[test]
fn blocks_that_are_damaged_cut_or_of_another_shape_are_made_anew() {
    let folder = Folder::new("damaged");
    set(&folder, 9);
    let first = report(&folder, &[]);
    let files = blocks(&folder, "documents");
    assert_eq!(files.len(), 9);
    let bytes = std::fs::read(&files[0]).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let mut wide = bytes.clone();
    wide[8] = 64;
    let mut many = bytes.clone();
    many[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let longer = [&bytes[..], &[0]].concat();
    let mut unsigned = bytes[..bytes.len() - 4].to_vec();
    unsigned[16] = 2;
    unsigned.extend(crc32(&unsigned).to_le_bytes());
    let all: [&[u8]; 8] = [&flipped, &wide, &many, &longer, &unsigned, b"", &bytes[..bytes.len() - 1], &bytes[..20]];
    for (file, bytes) in files.iter().zip(all) {
        std::fs::write(file, bytes).unwrap();
    }
    let again = report(&folder, &[]);
    counted(&again, 8, 1 + 2);
    assert_eq!(again["results"], first["results"]);
    assert_eq!(std::fs::read(&files[0]).unwrap(), bytes);
    counted(&report(&folder, &[]), 0, 11);
}

/// CRC-32 as in zip files, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn other_texts_weights_blocks_or_models_have_vectors_of_their_own() {
    let folder = Folder::new("keys");
    set(&folder, 5);
    counted(&report(&folder, &[]), 7, 0);
    // Forms and sizes are made of what is there.
    counted(&report(&folder, &["--forms", "binary", "--dimensions", "3,9", "--bm25"]), 0, 7);
    counted(&report(&folder, &["--weights", "q8"]), 7, 0);
    counted(&report(&folder, &["--block", "2"]), 7, 0);
    let corpus = std::fs::read_to_string(folder.0.join("set/corpus.jsonl")).unwrap();
    folder.holding("corpus.jsonl", corpus.replace("number 3", "number three"));
    counted(&report(&folder, &[]), 5, 2);
    folder.holding("corpus.jsonl", corpus);
    counted(&report(&folder, &[]), 0, 7);

    // A folder whose weights are replaced by others of the same size.
    let model = folder.0.join("model");
    copy(std::path::Path::new(MODEL), &model);
    let (path, set) = (folder.path("model"), folder.path("set"));
    let arguments = ["--model", &path, "--dataset", &set];
    counted(&folder.report(&arguments), 7, 0);
    counted(&folder.report(&arguments), 0, 7);
    let weights = model.join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    counted(&folder.report(&arguments), 7, 0);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        match entry.is_dir() {
            true => copy(&entry, &target),
            false => assert!(std::fs::copy(&entry, target).is_ok()),
        }
    }
}
