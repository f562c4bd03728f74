//! One model's entry in the cache.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::refs::{self, FileRef, Ref};
use super::store::{FileStore, LockMode};
use super::{manage, refs::blob};
use crate::error::{Error, Result};
use crate::hub::block_sums::BlockSums;
use crate::hub::{LocalFile, StoreLock};
use crate::progress::{Progress, Watch};

/// From this size on, it is worth asking the browser to make the storage persistent.
const LARGE: u64 = 64 << 20;

/// The part of a store that belongs to one revision of one model, while it is being loaded.
pub(super) struct CacheEntry<'a, S> {
    pub(super) store: Arc<S>,
    pub(super) watch: &'a dyn Watch,
    /// Prevents the removal of the model.
    lock: Arc<StoreLock>,
    state: RefCell<Ref>,
    /// The files that were asked for since it was opened.
    seen: RefCell<BTreeSet<String>>,
    /// The revision as it was asked for.
    asked: String,
    /// False once a file could not be stored.
    whole: Cell<bool>,
    persistent: Cell<bool>,
}

/// Whether a file is in the cache.
pub(super) enum BlobLookup {
    /// In the cache.
    Ready(LocalFile),
    /// Nowhere, but for its first `have` bytes; under the lock it may be written.
    Missing { have: u64, lock: StoreLock },
}

impl<'a, S: FileStore> CacheEntry<'a, S> {
    /// The place of `revision`, which was asked for as `asked`. `known` is what the cache knew of it so far.
    pub(super) async fn new(store: S, known: Ref, asked: &str, watch: &'a dyn Watch) -> Result<Self> {
        let lock =
            store.lock(&known.name(), LockMode::Shared, Some(&|| watch.cancelled())).await?.ok_or(Error::Aborted)?;
        Ok(Self {
            store: Arc::new(store),
            watch,
            lock: Arc::new(lock),
            state: RefCell::new(known),
            seen: RefCell::default(),
            asked: asked.into(),
            whole: Cell::new(true),
            persistent: Cell::new(false),
        })
    }

    /// Reports that something is not cached, and why.
    pub(super) fn refused(&self, file: &str, why: &Error) {
        self.refused_for(format!("not cached: {file}: {why}"));
    }

    pub(super) fn refused_for(&self, message: String) {
        self.whole.set(false);
        self.watch.progress(Progress::Notice { message });
    }

    /// Reports, once, that the server does not identify the contents of its files.
    pub(super) fn unknown(&self) {
        if self.whole.replace(false) {
            let message = "not cached: the server gives neither digests nor versions of its files".into();
            self.watch.progress(Progress::Notice { message });
        }
    }

    /// The commit that is being read.
    pub(super) fn revision(&self) -> String {
        self.state.borrow().revision.clone()
    }

    /// What is known of `file`.
    pub(super) fn file(&self, file: &str) -> Option<FileRef> {
        self.state.borrow().files.get(file).cloned()
    }

    /// What is known of `file`, if it was asked for since this was opened.
    pub(super) fn seen(&self, file: &str) -> Option<FileRef> {
        self.file(file).filter(|_| self.seen.borrow().contains(file))
    }

    /// The paths of the files it knows.
    pub(super) fn files(&self) -> Vec<String> {
        self.state.borrow().files.keys().cloned().collect()
    }

    /// Notes that `file` is kept as `key`.
    pub(super) async fn note(&self, file: &str, key: &str, size: u64) -> Result<()> {
        self.seen.borrow_mut().insert(file.into());
        if self.file(file).is_some_and(|known| known.key == key) {
            return Ok(());
        }
        self.change(|state| {
            // What was complete with another content is not with this one.
            state.complete &= !state.files.contains_key(file);
            state.files.insert(file.into(), FileRef { key: key.into(), size, derived: Vec::new() });
        })
        .await
    }

    /// Notes that `derived` was made of `file`.
    pub(super) async fn note_derived(&self, file: &str, derived: &str) -> Result<()> {
        if self.file(file).is_none_or(|known| known.derived.iter().any(|key| key == derived)) {
            return Ok(());
        }
        self.change(|state| {
            if let Some(known) = state.files.get_mut(file) {
                known.derived.push(derived.into());
            }
        })
        .await
    }

    /// Changes what is known, and writes it down.
    pub(super) async fn change(&self, change: impl FnOnce(&mut Ref)) -> Result<()> {
        let mut state = self.state.borrow().clone();
        change(&mut state);
        if !state.names.contains(&self.asked) {
            state.names.push(self.asked.clone());
        }
        state.save(&*self.store).await?;
        self.state.replace(state);
        Ok(())
    }

    /// The whole file that is kept as `key`, if it is: one of another size was damaged by a crash, and is removed.
    pub(super) async fn whole(&self, file: &str, key: &str, size: Option<u64>) -> Result<Option<LocalFile>> {
        let Some(found) = self.store.open(&blob(key)).await? else { return Ok(None) };
        if size.is_none_or(|size| found.size() == size) {
            let sums = self.sums(key, found.size()).await?;
            return Ok(Some(found.with_lock(file, Arc::clone(&self.lock)).with_sums(sums)));
        }
        drop(found);
        self.store.remove(&blob(key)).await.map(|()| None)
    }

    /// The sums of a blob of `size` bytes; `None` where there are none, as in caches of earlier versions.
    async fn sums(&self, key: &str, size: u64) -> Result<Option<BlockSums>> {
        let Some(found) = self.store.open(&refs::sums(key)).await? else { return Ok(None) };
        if found.size() != BlockSums::bytes(size) {
            return Ok(None);
        }
        let bytes = found.read_at(0, found.size() as usize).await?;
        Ok(BlockSums::parse(&bytes, size))
    }

    /// Removes the copy of `file`, and what was made of it, because a byte of it is not what was written. False if it is not
    /// here.
    pub(super) async fn forget(&self, file: &str) -> Result<bool> {
        // What was made of a file is called by that and a key.
        let named =
            |path: &String| file.strip_prefix(path.as_str()).is_some_and(|n| n.is_empty() || n.starts_with(" ("));
        let Some(path) = self.files().into_iter().filter(named).max_by_key(String::len) else { return Ok(false) };
        let Some(known) = self.file(&path) else { return Ok(false) };
        for key in known.derived.iter().chain([&known.key]) {
            self.store.remove(&refs::sums(key)).await?;
            self.store.remove(&blob(key)).await?;
        }
        let message = format!("the copy of {path} in the cache is damaged, and is loaded anew");
        self.watch.progress(Progress::Notice { message });
        Ok(true)
    }

    /// Finds `file`, or the right to write it: if somebody else is loading it, waits until they have ended.
    pub(super) async fn look(&self, file: &str, key: &str, size: u64) -> Result<BlobLookup> {
        if let Some(whole) = self.whole(file, key, Some(size)).await? {
            return Ok(BlobLookup::Ready(whole));
        }
        let part = refs::part(key);
        let mut lock = self.store.lock(&part, LockMode::Exclusive, None).await?;
        if lock.is_none() {
            let message = format!("{file} is being loaded by another tab or process; waiting for it");
            self.watch.progress(Progress::Notice { message });
            lock = self.store.lock(&part, LockMode::Exclusive, Some(&|| self.watch.cancelled())).await?;
        }
        let Some(lock) = lock else { return Err(Error::Aborted) };
        if let Some(whole) = self.whole(file, key, Some(size)).await? {
            return Ok(BlobLookup::Ready(whole));
        }
        let have = self.store.open(&part).await?.map_or(0, |part| part.size());
        Ok(BlobLookup::Missing { have, lock })
    }

    /// Whether `missing` more bytes of `file` fit. Before the first large file, asks that the cache be kept.
    pub(super) async fn fits(&self, file: &str, missing: u64) -> Result<bool> {
        if missing >= LARGE && !self.persistent.replace(true) {
            self.store.persist().await;
        }
        match self.store.room().await? {
            Some(room) if room < missing => {
                let (needed, free) = (in_words(missing), in_words(room));
                self.refused_for(format!("not cached: {file} needs {needed}, {free} are free"));
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Records that the model was loaded completely. The revision that the same name meant before is removed, if the
    /// server was just asked what the name means.
    pub(super) async fn loaded(&self, online: bool) -> Result<()> {
        let whole = self.whole.get();
        self.change(|state| {
            state.complete |= whole;
            state.used = refs::now();
        })
        .await?;
        let state = self.state.borrow().clone();
        if online && state.complete { manage::supersede(&*self.store, &state, &self.asked).await } else { Ok(()) }
    }
}

/// `2.4 GB`, `17.0 MB`, `512 bytes`.
pub(super) fn in_words(bytes: u64) -> String {
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1_000_000 => format!("{bytes} bytes"),
        1_000_000..1_000_000_000 => format!("{:.1} MB", of(1_000_000)),
        _ => format!("{:.1} GB", of(1_000_000_000)),
    }
}
