//! Texts from files.

use std::io::Read;
use std::path::Path;

use pplx_embed::{Error, Result};

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Object { text: String },
}

/// The texts of `path`: one per line; of `.jsonl`, a JSON string or an object with a `text` per line. Blank lines are
/// empty texts, and nothing in `.jsonl`. A byte order mark is not part of the first text.
pub(crate) fn texts(path: &Path) -> Result<Vec<String>> {
    let (text, json) = read(path, &["txt", "jsonl"])?;
    if !json {
        return Ok(text.lines().map(String::from).collect());
    }
    let text_of = |line| match line {
        Line::Text(text) | Line::Object { text } => text,
    };
    let wanted = "neither a string nor an object with a string text";
    Ok(json_lines(path, &text, wanted)?.into_iter().map(text_of).collect())
}

/// The documents of `path`, a `.jsonl` file or standard input: an array of strings per line, a document's chunks. Blank
/// lines are nothing.
pub(crate) fn documents(path: &Path) -> Result<Vec<Vec<String>>> {
    let (text, _) = read(path, &["jsonl"])?;
    json_lines(path, &text, "not an array of strings")
}

/// Each line that is not blank, parsed; `wanted` says of JSON that is not a `T` what is wrong with it.
fn json_lines<T: serde::de::DeserializeOwned>(path: &Path, text: &str, wanted: &str) -> Result<Vec<T>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(number, line)| {
        serde_json::from_str(line).map_err(|_| {
            // Parsed apart, for the reason that a line of the wrong kind does not tell.
            let reason =
                serde_json::from_str::<serde_json::Value>(line).map_or_else(|e| e.to_string(), |_| wanted.into());
            Error::Io { file: path.display().to_string(), message: format!("line {number}: {reason}") }
        })
    });
    parsed.collect()
}

/// The text of a file with one of `extensions`, without its byte order mark, and whether it is `.jsonl`.
fn read(path: &Path, extensions: &[&str]) -> Result<(String, bool)> {
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
            return Err(Error::InvalidArgument { argument: "--input".into(), message });
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
