//! Adding, replacing and removing items.

use super::Index;
use crate::error::Result;
use crate::maxsim::Tokens;
use crate::watch::Watch;

/// Most bytes of an id.
pub const MAX_ID: usize = 1024;
/// Most bytes of an item's data.
pub const MAX_DATA: usize = 64 << 10;

/// What an item is called, and what is to be kept with it.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// 1 to [`MAX_ID`] bytes, and no other item's.
    pub id: &'a str,
    /// JSON text of at most [`MAX_DATA`] bytes.
    pub data: Option<&'a str>,
}

/// What becomes of an item whose id is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is an error, and nothing is added.
    #[default]
    Add,
    /// The new one takes its place, at the end of the order.
    Upsert,
}

impl Index {
    /// Adds `items` with the rows `vectors.offsets[i]..vectors.offsets[i + 1]` each. `vectors` may be in any form and is
    /// turned into [`super::RowType`]; dense ones may not have scales, which a cosine has no use for. `ranges` `[T]` are
    /// the bytes `(start, end)` of a late item's text that its rows stand for, `(0, 0)` for none. All or nothing.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] naming the item: an id that is empty, too long, given twice, or, with
    /// [`Mode::Add`], already there; data that is too long or no JSON; vectors or ranges of another shape; a number that
    /// is not finite in the form rows are kept in. [`crate::Error::AdapterTooSmall`] for an item that is larger than a
    /// segment; [`crate::Error::OutOfMemory`]; [`crate::Error::Aborted`]; faults of the device.
    pub async fn add(
        &mut self,
        items: &[Item<'_>],
        vectors: Tokens<'_>,
        ranges: Option<&[(u32, u32)]>,
        mode: Mode,
        watch: &dyn Watch,
    ) -> Result<()> {
        let _ = (items, vectors, ranges, mode, watch);
        Err(crate::Error::unsupported("add", "not yet"))
    }

    /// Takes out the items with these ids, and gives how many there were; unknown ids are passed over. Segments with more
    /// dead rows than living ones are made anew, smaller.
    ///
    /// # Errors
    /// Faults of the device. The items are gone all the same.
    pub async fn remove(&mut self, ids: &[&str]) -> Result<usize> {
        Ok(self.items.remove(ids.iter().copied()).len())
    }
}
