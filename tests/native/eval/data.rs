//! Sets as Python's tools write them, where these differ from what JSON and columns of text are elsewhere; and empty ones.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

use super::runs::{Folder, refused};

const CORPUS: &str = "{\"_id\": \"d1\", \"text\": \"a bicycle\"}\n{\"_id\": \"d2\", \"text\": \"rain\"}\n";
const QUERIES: &str = "{\"_id\": \"q1\", \"text\": \"a bicycle\"}\n{\"_id\": \"q2\", \"text\": \"rain\"}\n";
const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\n";

/// A set of these files, with the usual ones where there are no others.
fn set(name: &str, files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new(name);
    for (file, text) in [("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES), ("qrels/test.tsv", QRELS)] {
        folder.holding(file, text);
    }
    files.iter().for_each(|(file, text)| folder.holding(file, text));
    folder
}

fn arguments(set: &str) -> [&str; 8] {
    ["--model", "models/demo", "--dimensions", "64", "--forms", "float", "--dataset", set]
}

/// What was measured of the set in `folder`.
#[track_caller]
fn measured(folder: &Folder) -> Value {
    let report = folder.report(&arguments(&folder.path("set")));
    json!([report["results"], report["unknown"], report["unjudged"]])
}

#[track_caller]
fn wrong(folder: &Folder, words: &[&str]) {
    refused(&folder.run(&arguments(&folder.path("set"))), 1, words);
}

#[test]
fn json_as_python_writes_it_is_read() {
    let want = measured(&set("json", &[]));
    assert_eq!(want[0][0]["queries"].as_array().unwrap().len(), 2);
    let corpus = "{\"_id\": \"d1\", \"title\": NaN, \"text\": \"a bicycle\", \"metadata\": {\"y\": NaN}}\n\
                  {\"_id\": \"d2\", \"text\": \"rain\", \"metadata\": [Infinity, -Infinity, 1e999, \"\\ud83d\"]}\n";
    let queries =
        "\u{feff}{\"_id\": \"q1\", \"text\": \"a bicycle\", \"y\": NaN}\n{\"_id\": \"q2\", \"text\": \"rain\"}\n";
    let qrels = "{\"query-id\": \"q1\", \"corpus-id\": \"d1\", \"score\": 1, \"time\": NaN}\n\
                 {\"query-id\": \"q2\", \"corpus-id\": \"d2\", \"score\": 2}\n";
    let python = set("python", &[("corpus.jsonl", corpus), ("queries.jsonl", queries), ("qrels/test.jsonl", qrels)]);
    assert_eq!(measured(&python), want);
    // A half of a surrogate pair is what a damaged character is elsewhere.
    let half = |half: &str| {
        let corpus =
            format!("{{\"_id\": \"d1\", \"text\": \"a bicycle {half}\"}}\n{{\"_id\": \"d2\", \"text\": \"rain\"}}\n");
        measured(&set("half", &[("corpus.jsonl", &corpus)]))
    };
    assert_eq!(half("\\ud83d"), half("\u{fffd}"));
    assert_ne!(half("\\ud83d"), want);
    // The word is a title and a text, the number is none.
    let word = CORPUS.replace("\"text\": \"a", "\"title\": \"NaN\", \"text\": \"a");
    assert_ne!(measured(&set("word", &[("corpus.jsonl", &word)])), want);
}

#[test]
fn a_number_that_json_does_not_have_is_no_text_id_or_score() {
    let line = |line: &str| format!("{CORPUS}{line}\n");
    for (file, text, words) in [
        ("corpus.jsonl", line("{\"_id\": \"d3\", \"text\": NaN}"), ["corpus.jsonl", "line 3: text is NaN"]),
        ("corpus.jsonl", line("{\"_id\": NaN, \"text\": \"\"}"), ["corpus.jsonl", "line 3: _id is NaN"]),
        ("corpus.jsonl", line("{\"_id\": 1, \"title\": Infinity}"), ["corpus.jsonl", "line 3: title is Infinity"]),
        ("queries.jsonl", line("{\"_id\": \"d3\", \"text\": NaN}"), ["queries.jsonl", "line 3: text is NaN"]),
        (
            "qrels/test.jsonl",
            "{\"query-id\": \"q1\", \"corpus-id\": \"d1\", \"score\": NaN}".into(),
            ["test.jsonl", "line 1: score NaN, allowed are whole numbers"],
        ),
    ] {
        wrong(&set("numbers", &[(file, &text)]), &words);
    }
}

#[test]
fn quoted_columns_are_read_as_python_does() {
    let want = measured(&set("unquoted", &[]));
    for qrels in [
        "\"query-id\"\t\"corpus-id\"\t\"score\"\r\n\"q1\"\t\"d1\"\t\"1\"\r\n\"q2\"\t\"d2\"\t\"2\"\r\n",
        "\"q1\"\t\"d1\"\t\"1\"\n\"q2\"\t\"d2\"\t\"2\"\n",
        "query-id\tcorpus-id\tscore\n\"q1\"\t\"d1\"\t1\nq2\t\"d2\"\t2\n",
        "\"q1\"\t\"0\"\t\"d1\"\t1\n\"q2\"\t\"0\"\t\"d2\"\t2\n",
    ] {
        assert_eq!(measured(&set("quoted", &[("qrels/test.tsv", qrels)])), want, "{qrels}");
    }
    // Python's csv.writer of [["q1", "a \"b\"\tc", 1], ["q2", "\"", 2], ["q2", "d2", 0]], and a quote that nothing ends.
    let ids = ["a \"b\"\tc", "\"", "d2", "\"d"];
    let corpus: String = ids.iter().map(|id| format!("{}\n", json!({ "_id": id, "text": "rain" }))).collect();
    let qrels = "query-id\tcorpus-id\tscore\nq1\t\"a \"\"b\"\"\tc\"\t1\nq2\t\"\"\"\"\t2\nq2\td2\t0\nq2\t\"d\t1\n";
    let folder = set("odd-ids", &[("corpus.jsonl", &corpus), ("qrels/test.tsv", qrels)]);
    assert_eq!(measured(&folder)[1], want[1]);
}

#[test]
fn ids_may_begin_with_the_sign_of_a_comment() {
    let signed = |text: &str| text.replace("q1", "#q1").replace("d2", "#d2");
    let (corpus, queries) = (signed(CORPUS), signed(QUERIES));
    let texts = [("corpus.jsonl", &corpus[..]), ("queries.jsonl", &queries)];
    let want = measured(&set("signed", &[&texts[..], &[("qrels/test.tsv", &signed(QRELS))]].concat()));
    assert_eq!(want[0][0]["queries"].as_array().unwrap().len(), 2);
    for qrels in [
        "#q1\td1\t1\nq2\t#d2\t2\n",
        "# by hand\nquery-id\tcorpus-id\tscore\n# of q1\n#q1\td1\t1\n# 2 of 2\nq2\t#d2\t2\n#",
        "#by\thand\n#q1\t0\td1\t1\nq2\t0\t#d2\t2\n",
        "# 3 4 5\n# a b 6\n#q1 0 d1 1\nq2 0 #d2 2\n#q3 0 d1\n",
    ] {
        let folder = set("comments", &[&texts[..], &[("qrels/test.tsv", qrels)]].concat());
        assert_eq!(measured(&folder), want, "{qrels}");
    }
    let fraction = set("fraction", &[("qrels/test.tsv", "q1\td1\t1\n#q1\td1\t0.5\n")]);
    wrong(&fraction, &["line 2", "\"0.5\"", "whole numbers"]);
}

#[test]
fn a_set_without_documents_queries_or_judgements_is_refused() {
    for (file, what) in [
        ("corpus.jsonl", "corpus.jsonl: has no document"),
        ("queries.jsonl", "queries.jsonl: has no query"),
        ("qrels/test.tsv", "test.tsv: has no judgement"),
    ] {
        wrong(&set("empty", &[(file, "\n")]), &[what]);
    }
    let folder = set("no-rows", &[]);
    std::fs::remove_file(folder.0.join("set/corpus.jsonl")).unwrap();
    texts(&folder.0.join("set/corpus.parquet"), Compression::SNAPPY, &[]);
    wrong(&folder, &["corpus.parquet: has no document"]);
}

#[test]
fn a_pointer_of_git_lfs_is_named_as_one() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for file in ["corpus.parquet", "corpus.jsonl", "queries.jsonl", "queries.jsonl.gz", "qrels/test.tsv"] {
        let folder = set("pointer", &[(file, pointer)]);
        // Of several files for a part, this one is to be read.
        if file.ends_with(".gz") {
            std::fs::remove_file(folder.0.join("set/queries.jsonl")).unwrap();
        }
        wrong(&folder, &[&format!("{file}: is a Git LFS pointer"), "git lfs pull"]);
    }
}

/// Writes a corpus of these ids and texts as Parquet.
fn texts(path: &Path, compression: Compression, rows: &[(u64, &str)]) {
    let schema = "message rows { required int64 _id (INTEGER(64,false)); required binary text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id as i64).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
    column.close().unwrap();
    let texts: Vec<ByteArray> = rows.iter().map(|(_, text)| ByteArray::from(*text)).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

/// Writes judgements of "q1" and `document` with float16 scores.
fn float16_scores(path: &Path, document: u64, score: half::f16) {
    let schema = "message rows { required binary query-id (UTF8); required int64 corpus-id (INTEGER(64,false)); \
                  required fixed_len_byte_array(2) score (FLOAT16); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("q1")], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[document as i64], None, None).unwrap();
    column.close().unwrap();
    let bytes = FixedLenByteArray::from(score.to_le_bytes().to_vec());
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<FixedLenByteArrayType>().write_batch(&[bytes], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn compressions_that_are_not_read_are_told_from_those_that_are() {
    let folder = set("packed", &[]);
    std::fs::remove_file(folder.0.join("set/corpus.jsonl")).unwrap();
    let path = folder.0.join("set/corpus.parquet");
    texts(&path, Compression::UNCOMPRESSED, &[(1, "a bicycle"), (2, "rain")]);
    let bytes = std::fs::read(&path).unwrap();
    // In the metadata the compression follows the column's name: 4 is brotli, 5 and 7 are forms of lz4.
    for codec in [4, 5, 7] {
        let (mut bytes, mut found) = (bytes.clone(), 0);
        for at in 0..bytes.len() - 6 {
            if bytes[at..].starts_with(b"\x04text\x15\x00") || bytes[at..].starts_with(b"\x03_id\x15\x00") {
                let codec_at = at + usize::from(bytes[at]) + 2;
                bytes[codec_at] = 2 * codec;
                found += 1;
            }
        }
        assert_eq!(found, 2);
        std::fs::write(&path, bytes).unwrap();
        wrong(&folder, &["corpus.parquet", "allowed are snappy, zstd, gzip and none"]);
    }
}

#[test]
fn ids_of_64_bits_without_a_sign_and_scores_of_16_are_numbers() {
    const LARGEST: u64 = u64::MAX;
    const LARGE: u64 = 1 << 63;
    let corpus = format!("{{\"_id\": {LARGE}, \"text\": \"a bicycle\"}}\n{{\"_id\": {LARGEST}, \"text\": \"rain\"}}\n");
    let qrels = format!("q1\t{LARGEST}\t2\n");
    let lines = set("large", &[("corpus.jsonl", &corpus), ("qrels/test.tsv", &qrels)]);
    let want = measured(&lines);
    assert_eq!(want[0][0]["queries"][0]["hits"][0][0], json!(LARGE.to_string()));
    let rows = [(LARGE, "a bicycle"), (LARGEST, "rain")];
    let folder = set("unsigned", &[]);
    std::fs::remove_file(folder.0.join("set/corpus.jsonl")).unwrap();
    std::fs::remove_file(folder.0.join("set/qrels/test.tsv")).unwrap();
    texts(&folder.0.join("set/corpus.parquet"), Compression::SNAPPY, &rows);
    float16_scores(&folder.0.join("set/qrels/test.parquet"), LARGEST, half::f16::from_f32(2.0));
    assert_eq!(measured(&folder), want);
    // JSON's numbers end there: what is larger would be another number.
    let larger = set("larger", &[("corpus.jsonl", "{\"_id\": 18446744073709551616, \"text\": \"\"}\n")]);
    wrong(&larger, &["corpus.jsonl", "line 1: _id is 1.8446744073709552e+19, allowed are texts and whole numbers"]);
}
