//! Sets in every form that people have them in: Parquet against what pandas reads, packed files, TREC's columns.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::runs::{Folder, refused};

const CORPUS: &str = "{\"_id\": \"d1\", \"title\": \"Wheels\", \"text\": \"a bicycle\"}\n{\"_id\": \"2\", \"text\": \"rain\"}\n{\"_id\": \"3\", \"text\": \"\"}\n";
const QUERIES: &str = "{\"_id\": \"q1\", \"text\": \"a bicycle\"}\n{\"_id\": \"7\", \"text\": \"rain\"}\n";
const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\td1\t1\n7\t2\t2\n7\td1\t0\n";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn arguments(set: &str) -> Vec<&str> {
    vec!["--model", "models/demo", "--bm25", "--dimensions", "64", "--dataset", set]
}

/// What was measured of the set in `folder`, and how often something was odd.
#[track_caller]
fn measured(folder: &Folder, more: &[&str]) -> Value {
    let set = folder.path("set");
    let report = folder.report(&[&arguments(&set)[..], more].concat());
    json!([report["results"], report["unknown"], report["unjudged"]])
}

/// A set of these files.
fn with(name: &str, files: &[(&str, &[u8])]) -> Folder {
    let folder = Folder::new(name);
    for (file, bytes) in files {
        std::fs::create_dir_all(folder.0.join("set").join(file).parent().unwrap()).unwrap();
        folder.holding(file, bytes);
    }
    folder
}

fn usual(name: &str) -> Value {
    let files = [("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES), ("qrels/test.tsv", QRELS)];
    measured(&with(name, &files.map(|(file, text)| (file, text.as_bytes()))), &[])
}

#[test]
fn judgements_may_be_kept_in_any_form() {
    let want = usual("usual-judgements");
    let same = [
        ("qrels/test.tsv", "q1\td1\t1\n7\t2\t2\n7\td1\t0\n"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\r\nq1\td1\t1.0\r\n7\t2\t2.0\r\n7\td1\t0.0\r\n"),
        ("qrels/test.tsv", "corpus-id\tscore\tquery-id\nd1\t1\tq1\n2\t2\t7\nd1\t0\t7\n"),
        ("qrels/test.txt", "q1 0 d1 1\n7 0 2 2\n7 Q0 d1 0"),
        ("qrels/test.trec", "q1\t0\td1\t1\n7\t0\t2\t2\n\n7\t0\td1\t0\n"),
        ("qrels.txt", "# by hand\nq1  0   d1  1\n7 0 2 2\n7 0 d1 0\n"),
        ("qrels/test.qrels", "q1\t0\td1\t1\t\n7 0 2  2 \n7 0\td1 0\n"),
        ("qrels.tsv", "qid iter docno rel\nq1 0 d1 1\n7 0 2 2\n7 0 d1 0\n"),
        (
            "qrels/test.jsonl",
            "{\"query-id\": \"q1\", \"corpus-id\": \"d1\", \"score\": 1.0}\n{\"query-id\": 7, \"corpus-id\": 2, \"score\": 2}\n{\"query-id\": \"7\", \"corpus-id\": \"d1\", \"score\": \"0\"}\n",
        ),
        (
            "default/test.jsonl",
            "{\"query_id\": \"q1\", \"corpus_id\": \"d1\", \"score\": 1}\n{\"query_id\": \"7\", \"corpus_id\": \"2\", \"score\": 2}\n{\"query_id\": \"7\", \"corpus_id\": \"d1\", \"score\": 0}",
        ),
    ];
    for (file, text) in same {
        let files = [("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES), (file, text)];
        let folder = with("judgements", &files.map(|(file, text)| (file, text.as_bytes())));
        assert_eq!(measured(&folder, &[]), want, "{file}: {text}");
        let packed = gzip(text);
        std::fs::remove_file(folder.0.join("set").join(file)).unwrap();
        folder.holding(&format!("{file}.gz"), packed);
        assert_eq!(measured(&folder, &[]), want, "{file}.gz");
    }
}

#[test]
fn numbers_nulls_parts_and_packed_files_are_read() {
    let want = usual("usual-parts");
    let corpus = [
        "{\"_id\": \"d1\", \"title\": \"Wheels\", \"text\": \"a bicycle\", \"metadata\": {\"a\": [1]}}\n",
        "{\"id\": 2, \"title\": null, \"text\": \"rain\"}\n{\"_id\": 3, \"title\": \"\", \"text\": null}",
    ];
    let queries = "{\"_id\": \"q1\", \"text\": \"a bicycle\"}\n{\"_id\": 7, \"query\": \"rain\", \"text\": null}\n";
    let (first, second) = (gzip(corpus[0]), gzip(corpus[1]));
    let parts: [(&str, &[u8]); 5] = [
        ("corpus/part-00000-of-00002.jsonl.gz", &first),
        ("corpus/part-00001-of-00002.jsonl", corpus[1].as_bytes()),
        ("queries/test.jsonl", queries.as_bytes()),
        ("queries/train.jsonl", b"no JSON"),
        ("qrels/test.tsv", QRELS.as_bytes()),
    ];
    assert_eq!(measured(&with("parts", &parts), &[]), want);
    // A split in two forms is read once.
    let other: (&str, &[u8]) = ("qrels/test.jsonl", br#"{"query-id": "q1", "corpus-id": 2, "score": 1}"#);
    let [twice, once] =
        [&parts[..], &parts[..4]].map(|parts| measured(&with("twice", &[parts, &[other]].concat()), &[]));
    assert!(twice == once && once != want);
    // Several members of gzip, one after another, are one file; what is there unpacked too is read once.
    let both = [first, second].concat();
    let packed: [(&str, &[u8]); 4] = [
        ("corpus.jsonl.gz", &both),
        ("queries.jsonl", queries.as_bytes()),
        ("queries.jsonl.gz", b"no gzip"),
        ("qrels/test.tsv", QRELS.as_bytes()),
    ];
    let folder = with("packed", &packed);
    assert_eq!(measured(&folder, &[]), want);
    folder.holding("corpus.jsonl.gz", &both[..both.len() - 20]);
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["corpus.jsonl.gz", "line", "deflate"]);
    folder.holding("corpus.jsonl.gz", "no gzip, but a line");
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["corpus.jsonl.gz", "line 1", "gzip"]);
}

#[test]
fn parquet_gives_what_pandas_reads() {
    let expected: Value = serde_json::from_slice(&std::fs::read("tests/fixtures/expected/sets.json").unwrap()).unwrap();
    let sets = expected["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 5);
    for set in sets {
        let lines =
            |part: &str| -> String { set[part].as_array().unwrap().iter().map(|row| format!("{row}\n")).collect() };
        let files = [
            ("corpus.jsonl", lines("corpus")),
            ("queries.jsonl", lines("queries")),
            ("qrels/some.jsonl", lines("qrels")),
        ];
        let folder = with("pandas", &[]);
        files.iter().for_each(|(file, text)| folder.holding(file, text));
        let want = measured(&folder, &[]);
        assert!(!want[0][0]["queries"].as_array().unwrap().is_empty());
        let path = Path::new("tests/fixtures/sets").join(set["folder"].as_str().unwrap());
        let split = set["split"].as_str().unwrap();
        let mut more = vec!["--split", split];
        more.extend(set["subset"].as_str().iter().flat_map(|subset| ["--subset", *subset]));
        let report = folder.report(&[&arguments(path.to_str().unwrap())[..], &more].concat());
        assert_eq!(json!([report["results"], report["unknown"], report["unjudged"]]), want, "{set}");
    }
}

#[test]
fn a_set_that_lacks_a_part_or_has_several_is_told_so() {
    let subsets = arguments("tests/fixtures/sets/subsets");
    let folder = Folder::new("lacking");
    refused(&folder.run(&subsets), 2, &["--subset", "is not given", "de, en"]);
    refused(&folder.run(&[&subsets[..], &["--subset", "fr"]].concat()), 2, &["--subset", "\"fr\"", "de, en"]);
    let hub = arguments("tests/fixtures/sets/hub");
    refused(&folder.run(&[&hub[..], &["--split", "dev"]].concat()), 2, &["--split", "\"dev\"", "test, train"]);
    let without: [(&str, &[u8]); 2] = [("corpus.jsonl", b"{}"), ("queries.jsonl", b"{}")];
    let folder = with("without", &without);
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["qrels", "not found", ".parquet"]);
    let columns = std::fs::read("tests/fixtures/sets/hub/qrels/test-00000-of-00001.parquet").unwrap();
    let other: [(&str, &[u8]); 3] =
        [("corpus.parquet", &columns), ("queries.jsonl", b""), ("qrels/test.tsv", QRELS.as_bytes())];
    let folder = with("columns", &other);
    refused(
        &folder.run(&arguments(&folder.path("set"))),
        1,
        &["corpus.parquet", "query-id, corpus-id, score", "none of _id"],
    );
    folder.holding("corpus.parquet", "PAR1 and no more PAR1");
    std::fs::write(folder.0.join("set/queries.jsonl"), QUERIES).unwrap();
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["corpus.parquet"]);
    std::fs::remove_file(folder.0.join("set/corpus.parquet")).unwrap();
    folder.holding("corpus.jsonl", "{\"_id\": 1, \"contents\": \"a\"}\n{\"_id\": 2, \"contents\": \"b\"}\n");
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["corpus.jsonl", "line 1", "no text, title or chunks"]);
}

#[test]
fn what_is_there_again_or_not_judged_is_counted_and_named() {
    let corpus = format!("{CORPUS}{{\"_id\": 2, \"text\": \"rain\"}}\n{{\"_id\": 2, \"text\": \"rain\"}}\n");
    let queries = format!(
        "{QUERIES}{{\"_id\": 8, \"text\": \"rain\"}}\n{{\"_id\": 9, \"text\": \"rain\"}}\n{{\"_id\": 7, \"text\": \"rain\"}}\n"
    );
    let qrels = format!("{QRELS}# a comment\n7\t2\t2\n7\tgone\t1\n7\tlost\t1\nnobody\td1\t1\n");
    let files = [("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.tsv", qrels)];
    let folder = with("odd", &[]);
    files.iter().for_each(|(file, text)| folder.holding(file, text));
    let output = folder.run(&arguments(&folder.path("set")));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for words in [
        "1 judgements are there again with the same score, and count once; the first is \"7\" and \"2\" at line 6",
        "3 ids are there again with the same text, and count once; the first is \"2\" on line 2 and line 4",
        "2 queries have no judgement and are left out, as in trec_eval; the first is \"8\"",
        "2 judgements are of documents that are not there, and cannot be found; the first is \"gone\"",
        "1 judgements are of queries that are not there, and count for nothing; the first is \"nobody\"",
        "1 texts are empty; the first is \"3\"",
        "1 lines of judgements begin with #",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    // Where nobody can know which of two was meant, it fails, as trec_eval does.
    folder.holding(
        "corpus.jsonl",
        format!("{CORPUS}{{\"_id\": 2, \"text\": \"snow\"}}\n{{\"_id\": 2, \"text\": \"ice\"}}\n"),
    );
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["line 4", "\"2\"", "line 2", "2 ids"]);
    folder.holding("qrels/test.tsv", format!("{QRELS}7\t2\t1\nq1\td1\t0\n"));
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["line 5", "score 1, but 2", "line 3", "2 pairs"]);
    // Scores that are no whole numbers are nobody's relevance levels.
    folder.holding("qrels/test.tsv", "q1 0 d1 0.5\n");
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["line 1", "\"0.5\"", "whole numbers"]);
    folder.holding("qrels/test.tsv", "q1 0 d1 nan\n");
    refused(&folder.run(&arguments(&folder.path("set"))), 1, &["line 1", "whole numbers"]);
}
