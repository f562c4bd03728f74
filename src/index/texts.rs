//! Texts in and texts asked for, through a model.

use super::{Hit, Index, Item, Mode, SearchOptions};
use crate::error::Result;
use crate::model::{Model, Usage};
use crate::watch::Watch;

/// The text of an item.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// One text.
    One(&'a str),
    /// Its chunks, a row each: dense only. A context model reads them together, and those of a document beyond its limit
    /// in overlapping windows; others read each by itself.
    Chunks(&'a [&'a str]),
}

impl Index {
    /// Adds `items` with the vectors that `model` makes of `texts`, one for each item. The vectors of late items do not
    /// leave the device. All or nothing. [`Usage::truncated`] has indices of items.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] for a model of another name, kind or number of dimensions than the index's, and
    /// for chunks in a late index; as [`Index::add`], [`Model::embed`] and [`Model::encode`].
    pub async fn add_texts(
        &mut self,
        model: &Model,
        items: &[Item<'_>],
        texts: &[Text<'_>],
        mode: Mode,
        watch: &dyn Watch,
    ) -> Result<Usage> {
        let _ = (model, items, texts, mode, watch);
        Err(crate::Error::unsupported("add_texts", "not yet"))
    }

    /// [`Index::search`] for texts.
    ///
    /// # Errors
    /// As [`Index::add_texts`] and [`Index::search`].
    pub async fn search_texts(
        &self,
        model: &Model,
        texts: &[&str],
        options: SearchOptions<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        let _ = (model, texts, options, watch);
        Err(crate::Error::unsupported("search_texts", "not yet"))
    }
}
