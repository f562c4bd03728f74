//! Texts from files.

use std::io::Read;
use std::path::Path;

use pplx_embed::{Error, Result, json};

use super::documents::{self, Format};
use super::progress::Console;

/// What files are read where texts are wanted.
const KINDS: &str = "a .txt file, a .jsonl file, Markdown, HTML, a folder of such, and - for standard input; --format says \
                     what another file is";

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum InputLine {
    Text(String),
    Object { text: String },
}

/// Texts, and what they are called where they come from files of their own.
#[derive(Default)]
pub(crate) struct InputTexts {
    pub(crate) texts: Vec<String>,
    pub(crate) ids: Option<Vec<String>>,
}

impl InputTexts {
    /// What the text with this index is called: its id, or else its number, counted from 1.
    pub(crate) fn name(&self, index: usize) -> String {
        let id = self.ids.as_ref().and_then(|ids| ids.get(index).cloned());
        id.unwrap_or_else(|| (index + 1).to_string())
    }
}

/// The texts of `path`: one per line; of `.jsonl`, a JSON string or an object with a `text` per line; the whole of a
/// document, and of a folder of each. Blank lines are empty texts, and nothing in `.jsonl`. A byte order mark is not part of
/// the first text.
pub(crate) fn texts(path: &Path, format: Option<Format>, console: &Console) -> Result<InputTexts> {
    if path.is_dir() {
        let mut found = InputTexts { ids: Some(Vec::new()), ..InputTexts::default() };
        let mut add = |id: String, text: String| {
            found.texts.push(text);
            found.ids.get_or_insert_default().push(id);
        };
        for file in documents::folder(path, "--input", console)? {
            if file.format != Format::JsonLines {
                add(file.name, file.text);
                continue;
            }
            for (number, text) in line_texts(&path.join(&file.name), &file.text)? {
                add(format!("{}:{number}", file.name), text);
            }
        }
        return Ok(found);
    }
    let (text, format) = read(path, "--input", format, KINDS)?;
    let texts = match format {
        Format::Lines => text.lines().map(String::from).collect(),
        Format::JsonLines => line_texts(path, &text)?.into_iter().map(|(_, text)| text).collect(),
        Format::Text | Format::Html => vec![format.readable(text)],
    };
    Ok(InputTexts { texts, ids: None })
}

/// The texts of lines of JSON, with the numbers of their lines.
fn line_texts(path: &Path, text: &str) -> Result<Vec<(usize, String)>> {
    let text_of = |(number, line)| match line {
        InputLine::Text(text) | InputLine::Object { text } => (number, text),
    };
    let wanted = "neither a string nor an object with a string text";
    Ok(json_lines(path, text, wanted)?.into_iter().map(text_of).collect())
}

/// The documents of `path`, a `.jsonl` file or standard input: an array of strings per line, a document's chunks. Blank
/// lines are nothing.
pub(crate) fn chunked(path: &Path) -> Result<Vec<Vec<String>>> {
    let format = (path.as_os_str() == "-" || Format::of(path) == Some(Format::JsonLines)).then_some(Format::JsonLines);
    let allowed = "a .jsonl file, and - for standard input";
    if format.is_none() {
        return Err(refused(path, "--input", allowed));
    }
    let (text, _) = read(path, "--input", format, allowed)?;
    Ok(json_lines(path, &text, "not an array of strings")?.into_iter().map(|(_, chunks)| chunks).collect())
}

/// The lines of standard input that are not blank.
pub(crate) fn lines() -> Result<Vec<String>> {
    let (text, _) = read(Path::new("-"), "QUERY", None, KINDS)?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(String::from).collect())
}

/// Each line that is not blank, parsed, with its number; `wanted` says of JSON that is not a `T` what is wrong with it.
pub(super) fn json_lines<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
    wanted: &str,
) -> Result<Vec<(usize, T)>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(number, line)| Ok((number, json_line(path, number, line, wanted)?))).collect()
}

pub(super) fn json_line<T: serde::de::DeserializeOwned>(
    path: &Path,
    number: usize,
    line: &str,
    wanted: &str,
) -> Result<T> {
    json::parse_data(line).map_err(|_| {
        // Parsed apart, for the reason that a line of the wrong kind does not tell.
        let reason = match json::parse_data::<serde_json::Value>(line) {
            Err(error) => error.to_string(),
            Ok(value) => {
                let named = |key: &&str| value.get(key).and_then(json::number_name).is_some();
                let number = ["text", "chunks", "id", "_id"].into_iter().find(named);
                let number = number.and_then(|key| Some((key, json::number_name(value.get(key)?)?)));
                number.map_or_else(|| wanted.into(), |(key, number)| format!("{key} is {number}; the line is {wanted}"))
            }
        };
        Error::Io { file: path.display().to_string(), message: format!("line {number}: {reason}") }
    })
}

/// The text of a file, which is the value of `argument`, without its byte order mark, and what it is: `format`, or else
/// what its name says; lines where it is standard input.
pub(super) fn read(path: &Path, argument: &str, format: Option<Format>, allowed: &str) -> Result<(String, Format)> {
    let name = path.display().to_string();
    let io = |e: std::io::Error| Error::Io { file: name.clone(), message: e.to_string() };
    let stdin = name == "-";
    let usual = if stdin { Some(Format::Lines) } else { Format::of(path) };
    let format = format.or(usual).ok_or_else(|| refused(path, argument, allowed))?;
    let mut bytes = Vec::new();
    match stdin {
        true => drop(std::io::stdin().read_to_end(&mut bytes).map_err(io)?),
        false => bytes = std::fs::read(path).map_err(io)?,
    }
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|&&b| b == b'\n').count() + 1;
        Error::Io { file: name.clone(), message: format!("line {line}: not UTF-8 at byte {valid}") }
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok((text, format))
}

fn refused(path: &Path, argument: &str, allowed: &str) -> Error {
    let message = format!("{}, allowed are {allowed}", path.display());
    Error::InvalidArgument { argument: argument.into(), message }
}
