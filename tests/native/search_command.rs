//! `pplx-embed search`: what it finds, what it keeps, and what it refuses.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const DENSE: &str = "tests/fixtures/checkpoints/f32-gqa2";
const CONTEXT: &str = "tests/fixtures/checkpoints/context";
const LATE: &str = "tests/fixtures/checkpoints/late-st";

fn search(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pplx-embed"))
        .arg("search")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that refuses its arguments may end before it has read its input.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

/// What was printed by a run that went well.
#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn answers(output: &Output) -> Vec<Value> {
    printed(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The run failed with `code`, printed nothing, and said every one of `words`.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
}

/// A folder for files, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pplx-embed-search-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }

    fn holding(&self, file: &str, text: &str) -> String {
        std::fs::write(self.0.join(file), text).unwrap();
        self.path(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn each_line_of_a_text_file_is_found_by_itself_and_called_by_its_number() {
    let folder = Folder::new("txt");
    let corpus = folder.holding("corpus.txt", "a red bicycle\n\nthe history of the wheel\r\nbread and butter\n");
    let queries = ["the history of the wheel", "bread and butter"];
    for dtype in ["int8", "binary", "float32"] {
        let arguments = ["--model", DENSE, "--corpus", &corpus, "--dtype", dtype, "--k", "2", "--json"];
        let found = answers(&search(&[&arguments[..], &queries].concat(), ""));
        for ((answer, query), id) in found.iter().zip(queries).zip(["3", "4"]) {
            assert_eq!(answer["query"], query);
            let hits = answer["hits"].as_array().unwrap();
            assert_eq!((hits.len(), &hits[0]["id"], &hits[0]["data"]), (2, &json!(id), &json!({ "text": query })));
            assert!(
                hits[0]["score"].as_f64().unwrap() > 0.999 && hits[0]["score"].as_f64() > hits[1]["score"].as_f64()
            );
        }
    }
    // For people: the query only where there are several.
    let text = printed(&search(&["--model", DENSE, "--corpus", &corpus, "--k", "1", queries[0]], ""));
    assert_eq!(text, "1.0000  3  the history of the wheel\n");
    let text =
        printed(&search(&["--model", DENSE, "--corpus", &corpus, "--k", "1"], "bread and butter\n\na red bicycle\n"));
    assert_eq!(text, "bread and butter\n  1.0000  4  bread and butter\na red bicycle\n  1.0000  1  a red bicycle\n");
}

#[test]
fn ids_and_data_of_jsonl_come_back_and_chunks_are_told_apart() {
    let folder = Folder::new("jsonl");
    let lines = [
        json!("a red bicycle").to_string(),
        json!({ "id": "wheel", "text": "the history of the wheel", "year": -3500 }).to_string(),
        String::new(),
        json!({ "chunks": ["bread", "and butter"], "title": "food" }).to_string(),
    ];
    let corpus = folder.holding("corpus.jsonl", &lines.join("\n"));
    let found = answers(&search(
        &["--model", CONTEXT, "--corpus", &corpus, "--json", "--quiet", "the history of the wheel"],
        "",
    ));
    let hits = found[0]["hits"].as_array().unwrap();
    assert_eq!((hits.len(), &hits[0]["id"], &hits[0]["data"]["year"]), (3, &json!("wheel"), &json!(-3500)));
    let chunked = hits.iter().find(|hit| hit["id"] == "4").unwrap();
    assert!(chunked["chunk"].as_u64().unwrap() < 2 && chunked["data"]["title"] == "food");
}

#[test]
fn lines_as_python_writes_them_are_read_and_kept_as_json() {
    let folder = Folder::new("python");
    let lines = "{\"_id\": 18446744073709551615, \"text\": \"a red bicycle\", \"y\": NaN, \"z\": [1, -Infinity]}\n\
                 {\"id\": \"half\", \"text\": \"bread \\ud83d\"}\n";
    let corpus = folder.holding("corpus.jsonl", lines);
    let found = answers(&search(&["--model", DENSE, "--corpus", &corpus, "--json", "--quiet", "a red bicycle"], ""));
    let hits = found[0]["hits"].as_array().unwrap();
    let data = |id: &str| hits.iter().find(|hit| hit["id"] == id).unwrap()["data"].clone();
    let id = u64::MAX;
    let first = json!({ "_id": id, "text": "a red bicycle", "y": null, "z": [1, null] });
    assert_eq!((data(&id.to_string()), &data("half")["text"]), (first, &json!("bread \u{fffd}")));
    let corpus = folder.holding("nan.jsonl", "{\"text\": \"a\"}\n{\"id\": 1, \"text\": NaN}\n");
    refused(
        &search(&["--model", DENSE, "--corpus", &corpus, "--quiet", "a"], ""),
        1,
        &["nan.jsonl: line 2: text is NaN"],
    );
}

#[test]
fn an_index_is_kept_and_answers_with_the_same_scores() {
    let folder = Folder::new("index");
    let corpus = folder.holding("corpus.txt", "a red bicycle\nthe history of the wheel\nbread and butter\n");
    let index = folder.path("some.index");
    for (model, more) in [(DENSE, &[][..]), (LATE, &["--dtype", "int8", "--first-pass"])] {
        let common = ["--model", model, "--index", &index, "--json", "--quiet"];
        let made = search(&[&common[..], &["--corpus", &corpus], more, &["a wheel"]].concat(), "");
        let again = search(&[&common[..], &["a wheel"]].concat(), "");
        assert_eq!(answers(&made), answers(&again));
        let hits = answers(&again)[0]["hits"].as_array().unwrap().clone();
        assert_eq!((hits.len(), hits[0].get("chunk").is_some()), (3, model == DENSE));
        // No queries: it is made, and that is all.
        assert!(printed(&search(&[&common[..], &["--corpus", &corpus], more].concat(), "\n")).is_empty());
    }
    let other = search(&["--model", DENSE, "--index", &index, "a"], "");
    refused(&other, 2, &["model", "late-st"]);
    std::fs::write(&index, &std::fs::read(&index).unwrap()[..200]).unwrap();
    refused(&search(&["--model", LATE, "--index", &index, "a"], ""), 1, &["some.index", "items are whole"]);
    refused(&search(&["--model", LATE, "--index", &folder.path("none"), "a"], ""), 1, &["none", "not found"]);
}

#[test]
fn what_is_searched_and_how_has_to_make_sense() {
    let folder = Folder::new("wrong");
    let corpus = folder.holding("corpus.jsonl", "\"a\"\n{\"id\": \"1\", \"text\": \"b\"}\n");
    let with = |more: &[&str]| search(&[&["--model", DENSE, "--corpus", &corpus], more].concat(), "");
    refused(&with(&["a"]), 2, &["items[1].id", "twice"]);
    let corpus = folder.holding("corpus.jsonl", "\"a\"\n{\"id\": [1], \"text\": \"b\"}\n");
    let with = |more: &[&str]| search(&[&["--model", DENSE, "--corpus", &corpus], more].concat(), "");
    refused(&with(&["a"]), 1, &["corpus.jsonl", "line 2", "perhaps an id"]);
    let corpus = folder.holding("corpus.txt", "a\n");
    let with = |more: &[&str]| search(&[&["--model", DENSE, "--corpus", &corpus], more].concat(), "");
    refused(&with(&["--k", "0", "a"]), 2, &["--k", "1 or more"]);
    refused(&with(&["--kind", "late", "a"]), 2, &["model", "one vector"]);
    refused(&with(&["--dtype", "float16", "a"]), 2, &["dtype", "float16"]);
    refused(&with(&["--dimensions", "129", "a"]), 2, &["129"]);
    refused(&with(&["--first-pass", "a"]), 2, &["firstPass"]);
    assert_eq!(with(&["--dtype", "int4", "a"]).status.code(), Some(2));
    refused(&search(&["--model", DENSE, "--corpus", "a.csv", "a"], ""), 2, &["--corpus", "a.csv", ".jsonl"]);
    refused(&search(&["--model", DENSE, "--corpus", "missing.txt", "a"], ""), 1, &["missing.txt"]);
    assert_eq!(search(&["--model", DENSE, "a"], "").status.code(), Some(2));
    assert_eq!(search(&["--model", DENSE, "--index", "x", "--kind", "dense", "a"], "").status.code(), Some(2));
}

/// A folder of documents of many kinds.
fn documents(name: &str) -> Folder {
    let folder = Folder::new(name);
    for (file, text) in [
        ("a/wheel.md", "# Wheels\n\nthe history of the wheel\n"),
        ("b.html", "<html><head><title>Food</title><script>var no = 1;</script></head><body><p>bread &amp; butter</p>"),
        ("c.txt", "a red bicycle\n\nwith two wheels\n"),
        ("README", "read me first"),
        ("d.jsonl", "{\"id\": 7, \"text\": \"tea with milk\", \"year\": 1850}\n\"coffee\"\n"),
        (".hidden.md", "hidden"),
        (".git/config", "hidden"),
        ("data.json", "{}"),
        ("empty.md", "\n"),
    ] {
        std::fs::create_dir_all(folder.0.join(file).parent().unwrap()).unwrap();
        folder.holding(file, text);
    }
    std::fs::write(folder.0.join("image.png"), b"\x89PNG\x0d\x0a\x1a\x0a\0").unwrap();
    std::fs::write(folder.0.join("large.md"), vec![b'a'; (8 << 20) + 1]).unwrap();
    folder
}

#[test]
fn the_documents_of_a_folder_are_found_by_their_paths() {
    let folder = documents("folder");
    let path = folder.0.to_str().unwrap();
    let output = search(&["--model", DENSE, "--corpus", path, "--k", "20", "--json", "the history of the wheel"], "");
    let found = answers(&output);
    let hits = found[0]["hits"].as_array().unwrap();
    let mut ids: Vec<&str> = hits.iter().map(|hit| hit["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["README", "a/wheel.md", "b.html", "c.txt", "d.jsonl:2", "d.jsonl:7"]);
    let hit = |id: &str| hits.iter().find(|hit| hit["id"] == id).unwrap();
    assert_eq!(hit("b.html")["text"], "Food\n\nbread & butter");
    assert_eq!(hit("b.html")["data"], json!({ "path": "b.html" }));
    assert_eq!(hit("c.txt")["text"], "a red bicycle\n\nwith two wheels");
    assert_eq!(hit("d.jsonl:7")["data"]["year"], 1850);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("note: 6 files are read; skipped: 2 hidden, 1 larger than 8 MiB, 2 not text for readers"),
        "{said}"
    );
    // For people, and with no text at all.
    let text = printed(&search(&["--model", DENSE, "--corpus", path, "--k", "1", "--quiet", "tea with milk"], ""));
    assert_eq!(text, "1.0000  d.jsonl:7  tea with milk\n");
    let arguments = ["--model", DENSE, "--corpus", path, "--k", "6", "--quiet", "--no-text", "tea with milk"];
    let text = printed(&search(&arguments, ""));
    assert!(text.starts_with("1.0000  d.jsonl:7\n") && text.lines().count() == 6, "{text}");
    let found = answers(&search(&[&arguments[..], &["--json"]].concat(), ""));
    assert_eq!(found[0]["hits"][0]["data"], json!({ "id": 7, "year": 1850 }));
    assert!(found[0]["hits"].as_array().unwrap().iter().all(|hit| hit.get("text").is_none()));
}

#[test]
fn a_long_document_is_cut_into_chunks_and_the_best_is_shown() {
    let folder = Folder::new("chunks");
    let paragraphs: Vec<String> = (0..40).map(|i| format!("Paragraph {i} is about the number {i}.")).collect();
    let file = folder.holding("long.md", &paragraphs.join("\n\n"));
    for (model, id) in [(DENSE, "long.md"), (CONTEXT, "long.md"), (LATE, "long.md#")] {
        let index = folder.path("long.index");
        let common = ["--model", model, "--json", "--quiet", "--k", "3", "--index", &index];
        let chunked = ["--corpus", &file, "--chunk-tokens", "40"];
        let made = answers(&search(&[&common[..], &chunked, &["number 17"]].concat(), ""));
        let hit = &made[0]["hits"][0];
        assert!(hit["id"].as_str().unwrap().starts_with(id), "{hit}");
        let text = hit["text"].as_str().unwrap();
        assert!(text.starts_with("Paragraph") && text.len() < 400 && paragraphs.join("\n\n").contains(text), "{text}");
        assert_eq!(hit["data"], json!({ "path": "long.md" }));
        // The same from the saved index, which has the texts.
        assert_eq!(answers(&search(&[&common[..], &["number 17"]].concat(), "")), made);
    }
}

#[test]
fn standard_input_and_files_of_other_names_are_read_as_they_are_said_to_be() {
    let folder = Folder::new("formats");
    let of = |corpus: &str, format: &[&str], input: &str| {
        let arguments = ["--model", DENSE, "--corpus", corpus, "--k", "9", "--json", "--quiet", "bread"];
        let found = answers(&search(&[&arguments[..], format].concat(), input));
        let mut ids: Vec<String> =
            found[0]["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(of("-", &[], "bread\n{\"id\": \"x\", \"text\": \"tea\"}\n"), ["1", "2"]);
    assert_eq!(
        of("-", &["--format", "jsonl"], "{\"id\": \"x\", \"text\": \"tea\"}\n{\"_id\": 5, \"text\": \"a\"}\n"),
        ["5", "x"]
    );
    assert_eq!(of("-", &["--format", "html"], "<p>bread"), ["-"]);
    let csv = folder.holding("some.csv", "a,b\nbread,butter\n");
    assert_eq!(of(&csv, &["--format", "lines"], ""), ["1", "2"]);
    assert_eq!(of(&folder.holding("READ.ME", "x"), &["--format", "text"], ""), ["READ.ME"]);
    assert_eq!(of(&folder.holding("X.HTM", "x"), &[], ""), ["X.HTM"]);
    refused(
        &search(&["--model", DENSE, "--corpus", &csv, "a"], ""),
        2,
        &["--corpus", "some.csv", "Markdown", "--format"],
    );
    refused(&search(&["--model", DENSE, "--corpus", "-"], "a\n"), 2, &["QUERY", "standard input is the corpus"]);
    let empty = Folder::new("nothing");
    refused(&search(&["--model", DENSE, "--corpus", empty.0.to_str().unwrap(), "a"], ""), 2, &["--corpus", "is empty"]);
    empty.holding(".x", "");
    refused(&search(&["--model", DENSE, "--corpus", empty.0.to_str().unwrap(), "a"], ""), 2, &["1 hidden"]);
}

#[test]
fn long_texts_are_shown_cut_and_it_is_said() {
    let folder = Folder::new("cut");
    let long = "word ".repeat(600);
    let corpus = folder.holding("corpus.txt", &long);
    let text = printed(&search(&["--model", DENSE, "--corpus", &corpus, "--k", "1", "word"], ""));
    assert!(text.len() < 400 && text.contains("more characters"), "{text}");
    let found = answers(&search(&["--model", DENSE, "--corpus", &corpus, "--k", "1", "--json", "word"], ""));
    let hit = &found[0]["hits"][0];
    assert_eq!((hit["data"]["text"].as_str().unwrap().len(), &hit["textCut"]), (1000, &json!(2_000)));
}
