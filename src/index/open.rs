//! Reading a saved index.

use super::catalogue::CatalogueEntry;
use super::file_format::{BLOCK_HEAD, CRC, FileBlock, IndexHeader, Items, PREFIX, Prefix};
use super::rows::RowBatch;
use super::{AddMode, Index, Item, SegmentSizes};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::hub::LocalFile;
use crate::progress::{Progress, Watch};

/// A file that can be read at any place.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait IndexSource {
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

impl IndexSource for LocalFile {
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

impl IndexSource for [u8] {
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
    /// As [`super::IndexOptions::sizes`].
    pub sizes: SegmentSizes,
}

impl Index {
    /// The index that [`Index::save`] wrote.
    ///
    /// # Errors
    /// [`crate::Error::Integrity`] for a file that is cut or changed, which says how many items are whole;
    /// [`crate::Error::Unsupported`] for another version; what kept it from being read; and as [`Index::add`].
    pub async fn open(
        backend: Backend,
        source: &(impl IndexSource + ?Sized),
        options: OpenOptions,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let file = source.name();
        let integrity = |message: String| Error::Integrity { file: file.into(), message };
        let size = source.size();
        let start = match Prefix::parse(&source.read_at(0, size.min(PREFIX as u64) as usize).await?) {
            Prefix::Header(length) if (PREFIX + length + CRC) as u64 <= size => PREFIX + length + CRC,
            Prefix::Header(_) => return Err(integrity(format!("ends after {size} bytes, in its header"))),
            Prefix::Broken(reason) => return Err(integrity(reason)),
            Prefix::OtherVersion(version) => {
                let message = format!("{file} has version {version}, allowed is 1");
                return Err(Error::unsupported("this version of a saved index", message));
            }
        };
        let header = IndexHeader::parse(&source.read_at(0, start).await?).map_err(integrity)?;
        let mut index = Self::new(backend, header.options(options.memory, options.sizes))?;
        let mut at = start as u64;
        let broken = loop {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            match index.read_block(source, &mut at).await? {
                Ok(More::Items) => {
                    let (done, total) = (index.len(), usize::try_from(header.items).unwrap_or(usize::MAX));
                    watch.progress(Progress::Index { done, total });
                }
                Ok(More::Nothing) => return Ok(index),
                Err(reason) => break reason,
            }
        };
        let whole = format!("{} of {} items are whole", index.len(), header.items);
        if !options.recover {
            return Err(integrity(format!("{broken}, from byte {at} on; {whole}, which recover would take")));
        }
        watch.progress(Progress::Notice { message: format!("{file}: {broken}, from byte {at} on; {whole}") });
        Ok(index)
    }

    /// Takes the block that starts at byte `at`, and moves it on. The inner error is why there is none.
    async fn read_block(&mut self, source: &(impl IndexSource + ?Sized), at: &mut u64) -> Result<Result<More, String>> {
        let left = source.size() - *at;
        if left < BLOCK_HEAD as u64 {
            return Ok(Err("ends without a last block".into()));
        }
        let length = FileBlock::length(&source.read_at(*at, BLOCK_HEAD).await?);
        let Some(length) = usize::try_from(length).ok().filter(|&n| n as u64 <= left) else {
            return Ok(Err(format!("has a block of {length} bytes, of which {left} are there")));
        };
        let bytes = source.read_at(*at, length).await?;
        let items = match FileBlock::parse(&bytes, &self.store.layout) {
            Ok(FileBlock::Items(items)) => items,
            Ok(FileBlock::End(count)) if count != self.len() as u64 => {
                return Ok(Err(format!("says at its end that it has {count} items")));
            }
            Ok(FileBlock::End(_)) if length as u64 != left => {
                return Ok(Err(format!("goes on for {} bytes after its last block", left - length as u64)));
            }
            Ok(FileBlock::End(_)) => return Ok(Ok(More::Nothing)),
            Err(reason) => return Ok(Err(format!("has a block that is broken: {reason}"))),
        };
        drop(bytes);
        let taken = self.take(items).await?.map(|()| More::Items);
        *at += if taken.is_ok() { length as u64 } else { 0 };
        Ok(taken)
    }

    /// Adds saved items. The inner error is why these cannot be.
    async fn take(&mut self, saved: Items) -> Result<Result<(), String>> {
        let Items { items: saved, rows, signs } = saved;
        let items: Vec<Item<'_>> = saved.iter().map(|s| Item { id: &s.id, data: s.data.as_deref() }).collect();
        if let Err(error) = self.check_items(&items, AddMode::Add) {
            return Ok(Err(format!("has a block that is broken: {error}")));
        }
        let batch = match RowBatch::new(&self.store.layout, rows, signs) {
            Ok(batch) => batch,
            Err(row) => return Ok(Err(format!("has a block that is broken: its row {row} has a number too large"))),
        };
        let (mut entries, mut from) = (Vec::with_capacity(items.len()), 0);
        for (item, saved) in items.iter().zip(&saved) {
            let place = self.store.add(&batch, from, saved.rows, &format!("item {:?}", item.id)).await?;
            from += saved.rows as usize;
            entries.push(CatalogueEntry::new(item, saved.ranges.clone(), place));
        }
        self.store.written().await?;
        self.settle(Ok(entries), &()).map(Ok)
    }
}

/// What a block was.
enum More {
    Items,
    Nothing,
}
