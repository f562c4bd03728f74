//! Strings of JavaScript, which are UTF-16.

use js_sys::{Array, JsString};
use wasm_bindgen::{JsCast, JsValue};

use super::convert::came;
use crate::error::{Error, Result};

/// The strings of an array, which errors call `name`.
pub(super) fn strings(name: &str, texts: &Array) -> Result<Vec<String>> {
    texts.iter().enumerate().map(|(i, value)| text(|| format!("{name}[{i}]"), value)).collect()
}

/// A string. JavaScript strings may have half of a surrogate pair, which is not Unicode text and would silently become
/// another character.
pub(super) fn text(argument: impl Fn() -> String, value: JsValue) -> Result<String> {
    let value: JsString =
        value.dyn_into().map_err(|v| Error::argument(argument(), format!("{}, allowed is a string", came(&v))))?;
    let text = String::from(&value);
    if text.contains(char::REPLACEMENT_CHARACTER) && !value.is_valid_utf16() {
        let whole = char::decode_utf16(value.iter()).take_while(std::result::Result::is_ok).flatten();
        let at: usize = whole.map(char::len_utf16).sum();
        return Err(Error::argument(
            argument(),
            format!("has a lone surrogate at index {at}, allowed is Unicode text"),
        ));
    }
    Ok(text)
}

/// Converts offsets in a text from bytes to UTF-16 code units, which JavaScript uses.
pub(super) struct Utf16 {
    /// The code units before each byte; `None` for ASCII, where the two are equal.
    places: Option<Vec<u32>>,
}

impl Utf16 {
    pub(super) fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self { places: None };
        }
        let (mut places, mut units) = (Vec::with_capacity(text.len() + 1), 0);
        for c in text.chars() {
            places.extend(std::iter::repeat_n(units, c.len_utf8()));
            units += c.len_utf16() as u32;
        }
        places.push(units);
        Self { places: Some(places) }
    }

    /// How many code units there are before byte `at`.
    pub(super) fn at(&self, at: usize) -> usize {
        self.places.as_ref().map_or(at, |places| places.get(at).map_or(at, |&units| units as usize))
    }
}
