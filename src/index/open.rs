//! Reading a saved index.

use std::sync::Arc;

use super::{Index, Limits};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::hub::LocalFile;
use crate::watch::Watch;

/// A file that can be read at any place.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait Bytes {
    /// What errors call it.
    fn name(&self) -> &str;

    /// Its size in bytes.
    fn size(&self) -> u64;

    /// The `length` bytes from byte `at` on, which are there.
    ///
    /// # Errors
    /// What kept them from being read.
    async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>>;
}

impl Bytes for LocalFile {
    fn name(&self) -> &str {
        "index"
    }

    fn size(&self) -> u64 {
        self.size()
    }

    async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        self.read_at(at, length).await
    }
}

impl Bytes for [u8] {
    fn name(&self) -> &str {
        "index"
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }

    async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        let from = usize::try_from(at).ok();
        let range = from.and_then(|from| Some(from..from.checked_add(length)?));
        let bytes = range.and_then(|range| self.get(range));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| crate::Error::io("index", format!("ends before byte {at} + {length}")))
    }
}

/// How a saved index is to be opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// As [`super::IndexOptions::memory`].
    pub memory: Option<u64>,
    /// Of a file that is broken, take the items before the place where it is, and say so by
    /// [`crate::Progress::Notice`].
    pub recover: bool,
    /// As [`super::IndexOptions::limits`].
    pub limits: Limits,
}

impl Index {
    /// The index that [`Index::save`] wrote.
    ///
    /// # Errors
    /// [`crate::Error::Integrity`] for a file that is cut or changed, which says how many items are whole;
    /// [`crate::Error::Unsupported`] for another version; what kept it from being read; and as [`Index::add`].
    pub async fn open(
        gpu: Option<Arc<Gpu>>,
        source: &(impl Bytes + ?Sized),
        options: OpenOptions,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let _ = (gpu, source.name(), options, watch);
        Err(crate::Error::unsupported("open", "not yet"))
    }
}
