//! Names of the values of an enum: one table for parsing, printing and error messages.

use crate::error::{Error, Result};

/// The value that `table` calls `name`.
///
/// # Errors
/// [`Error::InvalidArgument`] for `argument`, with `name` and the names in the table.
pub fn parse_name<T: Copy>(argument: &str, name: &str, table: &[(&str, T)]) -> Result<T> {
    let found = table.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let allowed: Vec<&str> = table.iter().map(|(n, _)| *n).collect();
        Error::argument(argument, format!("{name:?}, allowed are {}", allowed.join(", ")))
    })
}
