//! JSON as Python's `json` reads it, which is what wrote the files of a repository: after a byte order mark, with `NaN` and
//! `Infinity`, with numbers beyond f64 and with halves of surrogate pairs.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Numbers that JSON does not have.
const NOT_JSON: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Parses the configuration file `file`. A number that JSON does not have becomes its name as a text, so that a field that
/// should be a number refuses it, and any other lets it pass.
///
/// # Errors
/// [`Error::InvalidConfig`] with the parser's message.
pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Value> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    serde_json::from_slice(bytes)
        .or_else(|_| serde_json::from_slice(&plain(bytes, |name| format!("\"{name}\""))))
        .map_err(|e| Error::config(file, e.to_string()))
}

/// The same as a type.
///
/// # Errors
/// As [`parse`]; naming the field that is of another type.
pub(crate) fn parse_as<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_value(parse(file, bytes)?).map_err(|e| Error::config(file, e.to_string()))
}

/// The key of the object that stands for a number that JSON does not have.
const NUMBER: &str = "a number that JSON does not have";

/// Parses JSON of a data file, such as a line of `.jsonl`. A number that JSON does not have becomes an object, which is
/// neither a text nor a number, so that only a field that nobody reads lets it pass; [`number_name`] tells it.
///
/// # Errors
/// The parser's.
pub fn parse_data<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    let object = |name: &str| format!("{{\"{NUMBER}\": \"{name}\"}}");
    serde_json::from_str(text).or_else(|_| serde_json::from_slice(&plain(text.as_bytes(), object)))
}

/// `NaN`, `Infinity` or `-Infinity`, if that is what `value` of [`parse_data`] stands for.
pub fn number_name(value: &Value) -> Option<&str> {
    value.get(NUMBER)?.as_str()
}

/// The same JSON as every reader takes it, with null for numbers that JSON does not have, as JavaScript writes them.
pub fn standard(text: &str) -> String {
    // What is ignored is not looked at for halves of surrogate pairs.
    match serde_json::from_str::<Value>(text) {
        Ok(_) => text.to_owned(),
        // Only characters of ASCII are replaced, by such.
        Err(_) => String::from_utf8_lossy(&plain(text.as_bytes(), |_| "null".into())).into_owned(),
    }
}

/// What Python allows, in what JSON allows: `number_of` says what stands for a number by its name. What is wrong in both stays
/// wrong.
fn plain(bytes: &[u8], number_of: impl Fn(&str) -> String) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let taken = match first {
            b'"' => text(rest, &mut out),
            b'-' | b'0'..=b'9' | b'N' | b'I' => number(rest, &number_of, &mut out),
            _ => {
                out.push(first);
                1
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// Copies the text at the front of `rest`, with U+FFFD for halves of surrogate pairs. Gives its length.
fn text(rest: &[u8], out: &mut Vec<u8>) -> usize {
    out.push(b'"');
    let mut at = 1;
    while let Some(&byte) = rest.get(at) {
        let length = match (byte, unit(&rest[at..])) {
            (_, Some(0xd800..0xdc00)) if matches!(rest.get(at + 6..).and_then(unit), Some(0xdc00..0xe000)) => 12,
            (_, Some(0xd800..0xe000)) => {
                out.extend_from_slice(b"\\ufffd");
                at += 6;
                continue;
            }
            (_, Some(_)) => 6,
            (b'\\', None) => 2,
            _ => 1,
        };
        let length = length.min(rest.len() - at);
        out.extend_from_slice(&rest[at..at + length]);
        at += length;
        if byte == b'"' {
            break;
        }
    }
    at
}

/// The UTF-16 unit that an escape at the front of `rest` stands for.
fn unit(rest: &[u8]) -> Option<u32> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Copies the number at the front of `rest`; what `number_of` gives for it if JSON or f64 does not have it. Gives its
/// length, at least 1.
fn number(rest: &[u8], number_of: impl Fn(&str) -> String, out: &mut Vec<u8>) -> usize {
    if let Some(name) = NOT_JSON.into_iter().find(|name| rest.starts_with(name.as_bytes())) {
        out.extend_from_slice(number_of(name).as_bytes());
        return name.len();
    }
    let digits = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let length = rest.iter().take_while(digits).count().max(1);
    let number = &rest[..length];
    match std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok()) {
        Some(f64::INFINITY) => out.extend_from_slice(number_of("Infinity").as_bytes()),
        Some(f64::NEG_INFINITY) => out.extend_from_slice(number_of("-Infinity").as_bytes()),
        _ => out.extend_from_slice(number),
    }
    length
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{number_name, parse, parse_as, parse_data, standard};

    #[test]
    fn what_python_writes_is_read() {
        // json.dumps of float("nan"), float("inf"), -float("inf"), "\ud83d" and "\ud83d\ude00", and what json.loads takes.
        let written = br#"{"a": NaN, "b": [Infinity, -Infinity, 1e999, -1e999, 1e3], "c": "\ud83d", "d": "\ud83d\ude00 NaN \" \\"}"#;
        let expected = json!({
            "a": "NaN", "b": ["Infinity", "-Infinity", "Infinity", "-Infinity", 1000.0], "c": "\u{fffd}",
            "d": "\u{1f600} NaN \" \\",
        });
        assert_eq!(parse("f", written).unwrap(), expected);
        assert_eq!(parse("f", b"\xef\xbb\xbf{\"a\": 1, \"a\": 2}").unwrap(), json!({"a": 2}));
    }

    #[test]
    fn what_is_no_json_is_not() {
        for wrong in
            ["", "{", "nan", "{\"a\": NaN", "\"\\u12", "[1,]", "\"", "Infinit", "\"\\ud800", "-", "[--1]", "\"\\"]
        {
            assert_eq!(parse("f", wrong.as_bytes()).unwrap_err().code(), "invalid-config", "{wrong}");
        }
    }

    #[test]
    fn data_tells_a_number_that_json_does_not_have_from_its_name() {
        let line = r#"{"title": NaN, "text": "NaN", "more": [1, -Infinity, "\ud83d"]}"#;
        let value: serde_json::Value = parse_data(line).unwrap();
        assert_eq!((number_name(&value["title"]), number_name(&value["text"])), (Some("NaN"), None));
        assert_eq!(number_name(&value["more"][1]), Some("-Infinity"));
        let read: serde_json::Value = serde_json::from_str(&standard(line)).unwrap();
        assert_eq!(read, json!({"title": null, "text": "NaN", "more": [1, null, "\u{fffd}"]}));
        assert_eq!(standard("{\"b\": 1,  \"a\": \"é\"}"), "{\"b\": 1,  \"a\": \"é\"}");
        assert!(parse_data::<serde_json::Value>("{\"a\": nan}").is_err());
    }

    #[test]
    fn a_number_that_json_does_not_have_is_refused_by_name() {
        let error = parse_as::<Vec<f64>>("config.json", b"[1, NaN]").unwrap_err().to_string();
        assert!(error.contains("NaN") && error.contains("config.json"), "{error}");
    }
}
