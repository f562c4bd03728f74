//! The rows of a set's files: objects with named fields, whether they stand in lines of JSON or in Parquet.

use std::rc::Rc;

use pplx_embed::{Error, Result, json};
use serde_json::{Map, Value};

use super::layout::{FileKind, SetFile};
use super::lines::Lines;
use super::parquet;

/// Longest id, in bytes.
const LONGEST_ID: usize = 1024;

/// Where something stands.
#[derive(Clone, Debug)]
pub(super) struct RowPlace {
    pub(super) file: Rc<str>,
    /// `line` or `row`.
    pub(super) unit: &'static str,
    /// Counted from 1.
    pub(super) number: usize,
}

impl RowPlace {
    /// An error that names it.
    pub(super) fn error(&self, message: &str) -> Error {
        let Self { file, unit, number } = self;
        Error::Io { file: file.to_string(), message: format!("{unit} {number}: {message}") }
    }

    /// As another place of the same file is spoken of, or one of another file.
    pub(super) fn beside(&self, other: &Self) -> String {
        let Self { file, unit, number } = self;
        if *file == other.file { format!("{unit} {number}") } else { format!("{unit} {number} of {file}") }
    }
}

/// A row.
pub(super) struct Row {
    pub(super) place: RowPlace,
    pub(super) fields: Map<String, Value>,
}

/// The rows of `file`, which has no text columns; of Parquet those of `columns` that it has.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Io`] naming file and row.
pub(super) fn rows(file: &SetFile, columns: &[&str]) -> Result<Box<dyn Iterator<Item = Result<Row>>>> {
    if file.kind == FileKind::Parquet {
        return Ok(Box::new(parquet::rows(&file.path, columns)?));
    }
    Ok(Box::new(Lines::open(&file.path)?.map(|line| {
        let line = line?;
        let fields = json::parse_data(&line.text).map_err(|e| line.place.error(&e.to_string()))?;
        Ok(Row { place: line.place, fields })
    })))
}

impl Row {
    /// The first of the fields `names` that is there and not null.
    fn field(&self, names: &[&'static str]) -> Option<(&'static str, &Value)> {
        names.iter().find_map(|name| Some((*name, self.fields.get(*name).filter(|value| !value.is_null())?)))
    }

    /// An id: a text, or a whole number.
    ///
    /// # Errors
    /// [`Error::Io`] naming the row, where it is missing, another value, empty or too long.
    pub(super) fn id(&self, names: &[&'static str]) -> Result<String> {
        let (name, value) = self.field(names).ok_or_else(|| self.place.error(&format!("{} is missing", names[0])))?;
        let id = match value {
            Value::String(id) => id.clone(),
            Value::Number(number) => {
                let id = whole(value).map(|id| id.to_string()).or_else(|| Some(number.as_u64()?.to_string()));
                id.ok_or_else(|| self.not_an_id(name, &number.to_string()))?
            }
            _ => match json::number_name(value) {
                Some(number) => return Err(self.not_an_id(name, number)),
                None => return Err(self.place.error(&format!("{name} is neither a text nor a number"))),
            },
        };
        check_id(&id).map_err(|message| self.place.error(&format!("{name} {message}")))?;
        Ok(id)
    }

    fn not_an_id(&self, name: &str, number: &str) -> Error {
        self.place.error(&format!("{name} is {number}, allowed are texts and whole numbers"))
    }

    /// A text; `None` where it is missing or null.
    ///
    /// # Errors
    /// [`Error::Io`] naming the row, where it is another value.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.place.error(&match json::number_name(&other) {
                Some(number) => format!("{name} is {number}, allowed are texts, and null for none"),
                None => format!("{name} is not a text"),
            })),
        }
    }

    /// A title; `None` where it is missing, null or NaN, which is how pandas writes that there is none.
    ///
    /// # Errors
    /// As [`Row::text`].
    pub(super) fn title(&mut self) -> Result<Option<String>> {
        let none = self.fields.get("title").and_then(json::number_name) == Some("NaN");
        if none { Ok(None) } else { self.text("title") }
    }

    /// A list of texts; `None` where it is missing or null.
    ///
    /// # Errors
    /// As [`Row::text`].
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>> {
        let texts = match self.fields.remove(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => serde_json::from_value(value).ok(),
        };
        texts.map(Some).ok_or_else(|| self.place.error(&format!("{name} is not a list of texts")))
    }

    /// A judgement's score.
    ///
    /// # Errors
    /// [`Error::Io`] naming the row, where it is missing or no whole number.
    pub(super) fn score(&self, names: &[&'static str]) -> Result<i64> {
        let (name, value) = self.field(names).ok_or_else(|| self.place.error(&format!("{} is missing", names[0])))?;
        let score = match value {
            Value::String(text) => score(text),
            value => whole(value),
        };
        let came = || json::number_name(value).map_or_else(|| value.to_string(), String::from);
        score.ok_or_else(|| self.place.error(&format!("{name} {}, allowed are whole numbers", came())))
    }
}

/// Says what is wrong with an id.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    match id.len() {
        1..=LONGEST_ID => Ok(()),
        bytes => Err(format!("has {bytes} bytes, allowed are 1 to {LONGEST_ID}")),
    }
}

/// A score as people write one: `1`, `1.0`.
pub(super) fn score(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| of_float(text.parse().ok()?))
}

/// A whole number, which may be written with a fraction of zero.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| of_float(value.as_f64()?))
}

/// The same number, if it is whole and has no more digits than a float64 tells apart.
fn of_float(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= 2f64.powi(53)).then_some(value as i64)
}
