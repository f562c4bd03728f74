//! A search index: items with vectors, held on the device, searched exhaustively and exactly.
//!
//! An item has an id, optional data (JSON, kept and given back), and rows. In a [`IndexKind::Dense`] index a row is the
//! vector of a text or of a chunk, scored by cosine; the best row of an item is the item's score. In a [`IndexKind::Late`]
//! index a row is the vector of a token, and items are scored by [`crate::maxsim`]. What is promised:
//!
//! 1. Hits come in falling order of their scores; of equal scores, the item that was added first. No approximation takes
//!    part but those asked for by name: [`crate::numbers::RowFormat::Binary`] of a dense index, [`IndexOptions::first_pass`] of a late one.
//! 2. A score has the same bits whatever else is in the index, in whatever order it came, wherever its rows lie, alone or
//!    with other queries, and after [`Index::save`] and [`Index::open`].
//! 3. Adding is all or nothing: a call that fails or is cancelled leaves the index as it was.
//! 4. An item without rows, and a late item without tokens, is kept and never a hit. A dense vector of zeros (an empty
//!    text) has cosine 0 with everything.
//!
//! Rows lie in segments on the device; those beyond [`IndexOptions::memory`] stay in host
//! memory and pass through one small buffer at each search. [`file_format`] says what a saved index looks like.

mod add;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod bench;
mod catalogue;
mod dense;
mod device;
#[cfg(not(target_arch = "wasm32"))]
mod disk;
mod encode;
pub mod file_format;
mod late;
mod open;
mod options;
mod rows;
mod save;
mod search;
mod segment;
mod store;
mod sweep;
mod texts;
mod top;

pub use add::{AddMode, Item, MAX_DATA, MAX_ID};
use catalogue::Catalogue;
pub use open::{IndexSource, OpenOptions};
pub use options::{IndexKind, IndexOptions, SegmentSizes};
use rows::IndexLayout;
pub use save::IndexSink;
pub use search::{Hit, SearchOptions};
use store::SegmentStore;
pub use texts::ItemText;

use crate::backend::Backend;
use crate::error::Result;
use crate::maxsim::Scorer;

/// Items and their vectors, ready to be searched.
pub struct Index {
    options: IndexOptions,
    items: Catalogue,
    store: SegmentStore,
    scorer: Scorer,
}

/// Where an index's memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct IndexBytes {
    /// Bytes of rows, ids and data in host memory.
    pub host: u64,
    /// Bytes of buffers on the device.
    pub device: u64,
}

impl Index {
    /// An empty index, whose rows are held and searched by `backend`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] naming the option: a `dim` out of range, or a row type that the kind does not
    /// have.
    pub fn new(backend: Backend, options: IndexOptions) -> Result<Self> {
        options.check()?;
        let store = SegmentStore::new(backend, IndexLayout::new(&options), options.memory, options.sizes);
        Ok(Self { options, items: Catalogue::default(), store, scorer: Scorer::new() })
    }

    /// Takes the rows to another device, after [`crate::Error::DeviceLost`] said that theirs is gone. Until then nothing can be
    /// searched or added; [`Index::save`] needs no device.
    ///
    /// # Errors
    /// [`crate::Error::DeviceLost`] if host memory had no room for a second copy of the rows, so that they are gone;
    /// faults of the other device.
    pub async fn move_to(&mut self, backend: Backend) -> Result<()> {
        self.store.move_to(backend).await
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it was made with.
    pub fn options(&self) -> &IndexOptions {
        &self.options
    }

    /// The id of the item at `position` in the order of adding, from 0. Removing an item moves those after it up.
    pub fn id(&self, position: usize) -> Option<&str> {
        self.items.get(position).map(|item| &*item.id)
    }

    /// The JSON text that came with the item at `position`.
    pub fn data(&self, position: usize) -> Option<&str> {
        self.items.get(position).and_then(|item| item.data.as_deref())
    }

    /// Where the item `id` stands in the order of adding.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.items.position(id)
    }

    /// Of a late item that was added with ranges, the bytes `(start, end)` of its text that each row stands for, `(0, 0)`
    /// for none. `None` for an item that is not there or came without.
    pub fn ranges(&self, id: &str) -> Option<&[(u32, u32)]> {
        self.items.get(self.position(id)?)?.ranges.as_deref()
    }

    /// Memory in use.
    pub fn bytes(&self) -> IndexBytes {
        let (host, device) = self.store.bytes();
        let host = host + self.items.bytes();
        match self.store.backend {
            Backend::Gpu(_) => IndexBytes { host, device },
            Backend::Cpu(_) => IndexBytes { host: host + device, device: 0 },
        }
    }
}
