//! Texts from files.

use std::io::Read;
use std::path::Path;

use pplx_embed::{Error, Result};

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum InputLine {
    Text(String),
    Object { text: String },
}

/// The texts of `path`: one per line; of `.jsonl`, a JSON string or an object with a `text` per line. Blank lines are
/// empty texts, and nothing in `.jsonl`. A byte order mark is not part of the first text.
pub(crate) fn texts(path: &Path) -> Result<Vec<String>> {
    let (text, json) = read(path, "--input", &["txt", "jsonl"])?;
    if !json {
        return Ok(text.lines().map(String::from).collect());
    }
    let text_of = |line| match line {
        InputLine::Text(text) | InputLine::Object { text } => text,
    };
    let wanted = "neither a string nor an object with a string text";
    Ok(json_lines(path, &text, wanted)?.into_iter().map(text_of).collect())
}

/// The documents of `path`, a `.jsonl` file or standard input: an array of strings per line, a document's chunks. Blank
/// lines are nothing.
pub(crate) fn documents(path: &Path) -> Result<Vec<Vec<String>>> {
    let (text, _) = read(path, "--input", &["jsonl"])?;
    json_lines(path, &text, "not an array of strings")
}

/// A text of a corpus, or its chunks.
pub(crate) struct CorpusEntry {
    pub(crate) id: String,
    pub(crate) texts: Vec<String>,
    /// The texts are chunks.
    pub(crate) chunked: bool,
    /// The line as JSON: `{"text": ...}` or more.
    pub(crate) data: String,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum CorpusEntryLine {
    Text(String),
    Object { text: String, id: Option<String> },
    Chunks { chunks: Vec<String>, id: Option<String> },
}

/// The texts of `path`, a `.txt` or `.jsonl` file, called by their `id` or else by the number of their line. Blank lines
/// are nothing.
pub(crate) fn corpus(path: &Path) -> Result<Vec<CorpusEntry>> {
    let (text, json) = read(path, "--corpus", &["txt", "jsonl"])?;
    let of_text = |text: String| serde_json::json!({ "text": text }).to_string();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let wanted =
        "neither a string nor an object with a string text or an array of strings chunks, and perhaps a string id";
    let entry = |(number, line): (usize, &str)| {
        let parsed = if json { json_line(path, number, line, wanted)? } else { CorpusEntryLine::Text(line.into()) };
        let (texts, chunked, id, data) = match parsed {
            CorpusEntryLine::Text(text) => (vec![text.clone()], false, None, of_text(text)),
            CorpusEntryLine::Object { text, id } => (vec![text], false, id, line.trim().into()),
            CorpusEntryLine::Chunks { chunks, id } => (chunks, true, id, line.trim().into()),
        };
        Ok(CorpusEntry { id: id.unwrap_or_else(|| number.to_string()), texts, chunked, data })
    };
    lines.map(entry).collect()
}

/// The lines of standard input that are not blank.
pub(crate) fn lines() -> Result<Vec<String>> {
    let (text, _) = read(Path::new("-"), "QUERY", &[])?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(String::from).collect())
}

/// Each line that is not blank, parsed; `wanted` says of JSON that is not a `T` what is wrong with it.
fn json_lines<T: serde::de::DeserializeOwned>(path: &Path, text: &str, wanted: &str) -> Result<Vec<T>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| json_line(path, number, line, wanted)).collect()
}

fn json_line<T: serde::de::DeserializeOwned>(path: &Path, number: usize, line: &str, wanted: &str) -> Result<T> {
    serde_json::from_str(line).map_err(|_| {
        // Parsed apart, for the reason that a line of the wrong kind does not tell.
        let reason = serde_json::from_str::<serde_json::Value>(line).map_or_else(|e| e.to_string(), |_| wanted.into());
        Error::Io { file: path.display().to_string(), message: format!("line {number}: {reason}") }
    })
}

/// The text of a file with one of `extensions`, which is the value of `argument`, without its byte order mark, and
/// whether it is `.jsonl`.
fn read(path: &Path, argument: &str, extensions: &[&str]) -> Result<(String, bool)> {
    let name = path.display().to_string();
    let io = |e: std::io::Error| Error::Io { file: name.clone(), message: e.to_string() };
    let mut bytes = Vec::new();
    let extension = path.extension().and_then(|e| e.to_str()).filter(|e| extensions.contains(e));
    match extension {
        _ if name == "-" => drop(std::io::stdin().read_to_end(&mut bytes).map_err(io)?),
        Some(_) => bytes = std::fs::read(path).map_err(io)?,
        None => {
            let allowed = extensions.iter().map(|e| format!("a .{e} file, ")).collect::<String>();
            let message = format!("{name}, allowed are {allowed}and - for standard input");
            return Err(Error::InvalidArgument { argument: argument.into(), message });
        }
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|&&b| b == b'\n').count() + 1;
        Error::Io { file: name.clone(), message: format!("line {line}: not UTF-8 at byte {valid}") }
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok((text, extension == Some("jsonl")))
}
