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
        .or_else(|_| serde_json::from_slice(&plain(bytes)))
        .map_err(|e| Error::config(file, e.to_string()))
}

/// The same as a type.
///
/// # Errors
/// As [`parse`]; naming the field that is of another type.
pub(crate) fn parse_as<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_value(parse(file, bytes)?).map_err(|e| Error::config(file, e.to_string()))
}

/// What Python allows, in what JSON allows. What is wrong in both stays wrong.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let taken = match first {
            b'"' => text(rest, &mut out),
            b'-' | b'0'..=b'9' | b'N' | b'I' => number(rest, &mut out),
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

/// Copies the number at the front of `rest`, as a text if JSON or f64 does not have it. Gives its length, at least 1.
fn number(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let mut quoted = |name: &str| {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.push(b'"');
    };
    if let Some(name) = NOT_JSON.into_iter().find(|name| rest.starts_with(name.as_bytes())) {
        quoted(name);
        return name.len();
    }
    let digits = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let length = rest.iter().take_while(digits).count().max(1);
    let number = &rest[..length];
    match std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok()) {
        Some(f64::INFINITY) => quoted("Infinity"),
        Some(f64::NEG_INFINITY) => quoted("-Infinity"),
        _ => out.extend_from_slice(number),
    }
    length
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{parse, parse_as};

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
    fn a_number_that_json_does_not_have_is_refused_by_name() {
        let error = parse_as::<Vec<f64>>("config.json", b"[1, NaN]").unwrap_err().to_string();
        assert!(error.contains("NaN") && error.contains("config.json"), "{error}");
    }
}
