//! Fields of the quantization settings in `config.json`.

use serde_json::Value;

use crate::error::{Error, Result};

/// An error about a field.
pub(super) fn invalid(field: &str, message: impl std::fmt::Display) -> Error {
    Error::config("config.json", format!("quantization_config: {field} {message}"))
}

fn given<'a>(settings: &'a Value, field: &str) -> Option<&'a Value> {
    settings.get(field).filter(|value| !value.is_null())
}

/// A whole number.
pub(super) fn whole(settings: &Value, field: &str) -> Result<Option<i64>> {
    let Some(value) = given(settings, field) else { return Ok(None) };
    value.as_i64().map(Some).ok_or_else(|| invalid(field, format!("is {value}, allowed are whole numbers")))
}

/// True or false.
pub(super) fn flag(settings: &Value, field: &str) -> Result<Option<bool>> {
    let Some(value) = given(settings, field) else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| invalid(field, format!("is {value}, allowed are true and false")))
}

/// A string.
pub(super) fn text<'a>(settings: &'a Value, field: &str) -> Result<Option<&'a str>> {
    let Some(value) = given(settings, field) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| invalid(field, format!("is {value}, allowed are strings")))
}

/// Rows and columns of a block, both above 0.
pub(super) fn block(settings: &Value, field: &str) -> Result<Option<[u64; 2]>> {
    let Some(value) = given(settings, field) else { return Ok(None) };
    let both = value.as_array().filter(|list| list.len() == 2).map(|list| [list[0].as_u64(), list[1].as_u64()]);
    match both {
        Some([Some(rows @ 1..), Some(columns @ 1..)]) => Ok(Some([rows, columns])),
        _ => Err(invalid(field, format!("is {value}, allowed are two numbers above 0"))),
    }
}

/// Columns of a group: a number above 0, or -1 for all of a row.
pub(super) fn group(settings: &Value, field: &str) -> Result<Option<GroupSize>> {
    match whole(settings, field)? {
        None => Ok(None),
        Some(-1) => Ok(Some(GroupSize::Row)),
        Some(columns @ 1..) => Ok(Some(GroupSize::Columns(columns as u64))),
        Some(other) => Err(invalid(field, format!("is {other}, allowed are -1 and numbers above 0"))),
    }
}

/// How many columns share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupSize {
    /// All of a row.
    Row,
    /// So many.
    Columns(u64),
}

impl GroupSize {
    /// Its columns in rows of `columns`.
    pub(super) fn columns(self, columns: u64) -> u64 {
        match self {
            Self::Row => columns,
            Self::Columns(some) => some.min(columns),
        }
    }
}
