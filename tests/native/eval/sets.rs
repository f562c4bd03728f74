//! What a set may be, and what it may not.

use serde_json::{Value, json};

use super::runs::{Folder, refused};

const CORPUS: &str = "{\"_id\": \"d1\", \"title\": \"Wheels\", \"text\": \"a bicycle\", \"metadata\": {}}\n\n{\"_id\": \"d2\", \"chunks\": [\"bread\", \"rain\"]}\n";
const QUERIES: &str = "{\"_id\": \"q1\", \"text\": \"a bicycle\"}\n{\"_id\": \"q2\", \"text\": \"rain\"}\n";
const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n";

fn with(folder: &Folder, file: &str, text: &[u8]) {
    for (name, usual) in [("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES), ("qrels/test.tsv", QRELS)] {
        folder.holding(name, if name == file { text } else { usual.as_bytes() });
    }
}

fn arguments(set: &str) -> [&str; 4] {
    ["--model", "models/demo", "--dataset", set]
}

#[test]
fn a_line_that_is_wrong_is_named_by_file_and_number() {
    let folder = Folder::new("hostile");
    let set = folder.path("set");
    let id = "x".repeat(1025);
    let long = format!("{{\"_id\": \"{id}\", \"text\": \"\"}}");
    let cases: [(&str, &[u8], &[&str]); 20] = [
        (
            "corpus.jsonl",
            b"{\"_id\": \"d1\", \"text\": \"a\"}\n\n{\"_id\": \"d1\", \"text\": \"b\"}",
            &["line 3", "\"d1\"", "line 1"],
        ),
        ("corpus.jsonl", b"{\"text\": \"a\"}", &["line 1", "_id is missing"]),
        ("corpus.jsonl", b"{\"_id\": \"d1\", \"text\": 7}", &["line 1", "text is not a text"]),
        ("corpus.jsonl", b"{\"_id\": \"d1\", \"text\": \"a\", \"chunks\": []}", &["line 1", "text as well as chunks"]),
        ("corpus.jsonl", b"{\"_id\": 0.5, \"text\": \"a\"}", &["line 1", "0.5", "whole numbers"]),
        ("corpus.jsonl", b"{\"_id\": true, \"text\": \"a\"}", &["line 1", "neither a text nor a number"]),
        ("corpus.jsonl", b"{\"_id\": \"\", \"text\": \"a\"}", &["line 1", "1 to 1024"]),
        ("corpus.jsonl", long.as_bytes(), &["line 1", "1025 bytes"]),
        ("corpus.jsonl", b"{\"_id\": \"d1\", \"text\": \"a\"}\n{\"_id\"", &["line 2", "EOF"]),
        ("corpus.jsonl", b"{\"_id\": \"d1\", \"text\": \"\xff\"}", &["line 1", "UTF-8"]),
        ("corpus.jsonl", b"[1, 2]", &["line 1"]),
        (
            "queries.jsonl",
            b"{\"_id\": \"q1\", \"text\": \"\"}\n{\"_id\": \"q1\", \"text\": \"a\"}",
            &["line 2", "\"q1\""],
        ),
        ("qrels/test.tsv", b"q1 d1\n", &["line 1", "2 columns", "header"]),
        ("qrels/test.tsv", b"query\tscore\tlanguage\n", &["line 1", "\"language\"", "whole numbers"]),
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq1\td1\n", &["line 2", "2 columns"]),
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq1\td1\tx\n", &["line 2", "\"x\""]),
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq1\td1\t99999999999999999999\n", &["line 2", "whole numbers"]),
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td1\t1\nq1\td1\t2\n", &["line 4", "line 2"]),
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq1\td2#0\t1\nq2\td2\t1\n", &["line 3", "\"d2\"", "chunks"]),
        ("qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq9\td1\t1\n", &["test.tsv", "no judgement"]),
    ];
    for (file, text, words) in cases {
        with(&folder, file, text);
        let file = file.rsplit('/').next().unwrap();
        refused(&folder.run(&arguments(&set)), 1, &[&[file], words].concat());
    }
    with(&folder, "", b"");
    std::fs::remove_file(folder.0.join("set/queries.jsonl")).unwrap();
    refused(&folder.run(&arguments(&set)), 1, &["queries.jsonl", "not found"]);
}

#[test]
fn judgements_of_what_is_not_there_are_counted_and_said() {
    let folder = Folder::new("unknown");
    let lines = "q1\td1\t1\nq1\tgone\t1\nq1\td2#2\t1\nq1\td2#00\t1\nq9\td1\t1\nq2\td2\t0\n";
    with(&folder, "qrels/test.tsv", format!("query-id\tcorpus-id\tscore\n{lines}").as_bytes());
    let set = folder.path("set");
    let report = folder.report(&arguments(&set));
    assert_eq!(report["unknown"], json!({ "queries": 1, "documents": 3 }));
    // One of four relevant documents can be found; the other query has none, and counts.
    let result = &report["results"][0];
    let each: Vec<&Value> = result["queries"].as_array().unwrap().iter().map(|q| &q["recall@100"]).collect();
    assert_eq!((each, &result["recall@100"]), (vec![&json!(0.25), &json!(0.0)], &json!(0.125)));
    let error = String::from_utf8(folder.run(&arguments(&set)).stderr).unwrap();
    for words in ["1 judgements are of queries", "3 judgements are of documents", "1 queries have no relevant"] {
        assert!(error.contains(words), "no {words:?} in {error}");
    }
}

#[test]
fn test_is_the_usual_split_and_the_only_one_needs_no_name() {
    let folder = Folder::new("splits");
    with(&folder, "", b"");
    let set = folder.path("set");
    let queries = |arguments: &[&str]| folder.report(arguments)["results"][0]["queries"].as_array().unwrap().len();
    folder.holding("qrels/dev.tsv", "query-id\tcorpus-id\tscore\r\nq2\td2\t1\r\n");
    let named = [&arguments(&set)[..], &["--split", "dev"]].concat();
    assert_eq!((queries(&arguments(&set)), queries(&named)), (2, 1));
    std::fs::remove_file(folder.0.join("set/qrels/test.tsv")).unwrap();
    assert_eq!(queries(&arguments(&set)), 1);
    folder.holding("qrels/train.tsv", QRELS);
    refused(&folder.run(&arguments(&set)), 2, &["--split", "dev, train"]);
}

#[test]
fn the_table_and_the_lines_say_what_the_report_says() {
    let folder = Folder::new("printed");
    with(&folder, "", b"");
    let set = folder.path("set");
    let report = folder.report(&[&arguments(&set)[..], &["--bm25"]].concat());
    let results = report["results"].as_array().unwrap();
    let stdout = |more: &[&str]| {
        let output = folder.run(&[&arguments(&set)[..], &["--bm25", "--quiet"], more].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let lines: Vec<Value> = stdout(&["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let table = stdout(&[]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["form", "dims", "nDCG@10", "recall@100", "MRR@10", "queries"]);
    assert_eq!((lines.len(), rows.len(), results.len()), (7, 8, 7));
    for ((line, row), result) in lines.iter().zip(&rows[1..]).zip(results) {
        assert_eq!(line["queries"], 2);
        for (measure, column) in [("ndcg@10", 4), ("recall@100", 3), ("mrr@10", 2)] {
            assert_eq!(line[measure], result[measure]);
            assert_eq!(row[row.len() - column], format!("{:.4}", result[measure].as_f64().unwrap()));
        }
        assert_eq!((row[0], &line["form"]), (result["form"].as_str().unwrap(), &result["form"]));
    }
}
