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
    let name = path.display().to_string();
    let io = |e: std::io::Error| Error::Io { file: name.clone(), message: e.to_string() };
    let mut bytes = Vec::new();
    let extension = path.extension().and_then(|e| e.to_str());
    let json = match extension {
        _ if name == "-" => {
            std::io::stdin().read_to_end(&mut bytes).map_err(io)?;
            false
        }
        Some("txt" | "jsonl") => {
            bytes = std::fs::read(path).map_err(io)?;
            extension == Some("jsonl")
        }
        _ => {
            let message = format!("{name}, allowed are a .txt file, a .jsonl file, and - for standard input");
            return Err(Error::InvalidArgument { argument: "--input".into(), message });
        }
    };
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        Error::Io { file: name.clone(), message: format!("line {line}: not UTF-8 at byte {}", e.valid_up_to()) }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !json {
        return Ok(text.lines().map(String::from).collect());
    }
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| match serde_json::from_str(line) {
            Ok(Line::Text(text) | Line::Object { text }) => Ok(text),
            Err(_) => {
                // Parsed apart, for the reason an untagged enum does not tell.
                let reason = serde_json::from_str::<serde_json::Value>(line)
                    .map_or_else(|e| e.to_string(), |_| "neither a string nor an object with a string text".into());
                Err(Error::Io { file: name.clone(), message: format!("line {number}: {reason}") })
            }
        })
        .collect()
}
