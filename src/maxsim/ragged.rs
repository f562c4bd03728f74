//! Which rows are whose.

use std::ops::Range;

use crate::error::{Error, Result};

/// The offsets of items whose rows lie end to end: those of item `i` are the rows `offsets[i]..offsets[i + 1]`.
#[derive(Clone, Copy)]
pub(super) struct Ragged<'a>(pub(super) &'a [u64]);

impl Ragged<'_> {
    pub(super) fn items(self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Rows of all items.
    pub(super) fn count(self) -> usize {
        self.0.last().map_or(0, |&end| end as usize)
    }

    pub(super) fn rows(self, i: usize) -> Range<usize> {
        self.0[i] as usize..self.0[i + 1] as usize
    }

    /// The item that has this row.
    pub(super) fn item_of(self, row: usize) -> usize {
        self.0.partition_point(|&o| o <= row as u64) - 1
    }

    /// Checks that the offsets start with 0 and never fall; `name` is what errors call the items. Gives the last.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the index.
    pub(super) fn check(self, name: &str) -> Result<u64> {
        let refuse = |index: &str, message: String| Err(Error::argument(format!("{name}.offsets{index}"), message));
        let end = match self.0 {
            [0, .., end] | [end @ 0] => *end,
            [] => return refuse("", "is empty, allowed is one more than there are items".into()),
            [first, ..] => return refuse("[0]", format!("{first}, allowed is 0")),
        };
        match self.0.windows(2).position(|w| w[1] < w[0]) {
            None => Ok(end),
            Some(i) => refuse(&format!("[{}]", i + 1), format!("{}, allowed is {} or more", self.0[i + 1], self.0[i])),
        }
    }
}
