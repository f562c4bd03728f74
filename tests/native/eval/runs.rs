//! Sets, and runs of the command on them.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// A folder, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pplx-embed-eval-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(path.join("set/qrels")).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn holding(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join("set").join(name), text).unwrap();
    }

    /// A set: documents, each a text or chunks, queries and judgements.
    pub(crate) fn set(&self, corpus: &[Value], queries: &[(&str, &str)], qrels: &[(&str, &str, i64)]) {
        let lines = |lines: Vec<Value>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        self.holding("corpus.jsonl", lines(corpus.to_vec()));
        let queries = queries.iter().map(|(id, text)| json!({ "_id": id, "text": text })).collect();
        self.holding("queries.jsonl", lines(queries));
        let judged: String = qrels.iter().map(|(q, d, score)| format!("{q}\t{d}\t{score}\n")).collect();
        self.holding("qrels/test.tsv", format!("query-id\tcorpus-id\tscore\n{judged}"));
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        command.args(["eval", "--work", &self.path("work")]);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// The report of a run that went well.
    #[track_caller]
    pub(crate) fn report(&self, arguments: &[&str]) -> Value {
        let path = self.path("report.json");
        let output = self.run(&[arguments, &["--output", &path]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The run failed with `code`, printed nothing, and said every one of `words`.
#[track_caller]
pub(crate) fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
}
