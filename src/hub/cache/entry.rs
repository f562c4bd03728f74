//! One model's entry in the cache.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::manage;
use super::refs::{self, FileRef, Ref};
use super::store::{FileStore, LockMode};
use crate::error::{Error, Result};
use crate::hub::{LocalFile, StoreLock};
use crate::progress::{Progress, Watch};

/// From this size on, it is worth asking the browser to make the storage persistent.
const LARGE: u64 = 64 << 20;

/// The part of a store that belongs to one revision of one model, while it is being loaded.
pub(super) struct CacheEntry<'a, S> {
    pub(super) store: Arc<S>,
    pub(super) watch: &'a dyn Watch,
    /// Prevents the removal of the model.
    pub(super) lock: Arc<StoreLock>,
    state: RefCell<Ref>,
    /// The files that were asked for since it was opened.
    seen: RefCell<BTreeSet<String>>,
    /// The revision as it was asked for.
    asked: String,
    /// False once a file could not be stored.
    whole: Cell<bool>,
    /// The files whose copies, and what was made of them, are not used: they are damaged, or cannot be checked.
    pub(super) passed_over: RefCell<BTreeSet<String>>,
    /// What cannot be checked is used all the same, because its server cannot be reached.
    pub(super) trusting: Cell<bool>,
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
            passed_over: RefCell::default(),
            trusting: Cell::new(false),
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
