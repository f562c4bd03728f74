//! Whether what the cache has of a file is what was written.

use std::sync::Arc;

use super::STEP;
use super::entry::CacheEntry;
use super::refs::{self, blob};
use super::store::FileStore;
use crate::error::{Error, Result};
use crate::hub::block_sums::{BlockSummer, BlockSums};
use crate::hub::{Digest, Hasher, LocalFile};
use crate::progress::Progress;

/// What lies beside a blob.
enum SumsFile {
    /// Sums of a file of its size.
    Fit(BlockSums),
    /// Anything else: the one or the other is damaged.
    Wrong,
    /// Nothing: earlier versions of this package wrote none.
    Missing,
}

impl<S: FileStore> CacheEntry<'_, S> {
    /// The whole file that is kept as `key`, if it is; `size` is known of a file as it came, but not of what was made of one.
    ///
    /// Each block of it is compared with its sum when it is read. Where the sums are missing or wrong, the digest tells. What
    /// has none either is damaged if its sums are wrong. One that is damaged is removed; one that cannot be checked is passed
    /// over, and is replaced when the new one is there.
    pub(super) async fn whole(&self, file: &str, key: &str, size: Option<u64>) -> Result<Option<LocalFile>> {
        let Some(found) = self.store.open(&blob(key)).await? else { return Ok(None) };
        let path = file.strip_suffix(&format!(" ({key})")).unwrap_or(file);
        let fits = size.is_none_or(|size| found.size() == size);
        let beside = if fits { self.sums(key, found.size()).await? } else { SumsFile::Wrong };
        let sums = match (beside, refs::digest(key).filter(|_| fits)) {
            (SumsFile::Fit(sums), _) => Some(sums),
            (_, Some(digest)) => self.verify(key, &found, digest).await?,
            (SumsFile::Missing, None) if self.trusting.get() => {
                return Ok(Some(found.with_lock(file, Arc::clone(&self.lock))));
            }
            (SumsFile::Missing, None) => {
                if self.passed_over.borrow_mut().insert(path.into()) {
                    let message = format!("the copy of {path} in the cache cannot be checked, and is loaded anew");
                    self.watch.progress(Progress::Notice { message });
                }
                return Ok(None);
            }
            (SumsFile::Wrong, None) => None,
        };
        if sums.is_some() {
            return Ok(Some(found.with_lock(file, Arc::clone(&self.lock)).with_sums(sums)));
        }
        drop(found);
        self.remove_copies(path, Some(key)).await.map(|()| None)
    }

    /// The sums beside a blob of `size` bytes.
    async fn sums(&self, key: &str, size: u64) -> Result<SumsFile> {
        let Some(found) = self.store.open(&refs::sums(key)).await? else { return Ok(SumsFile::Missing) };
        if found.size() != BlockSums::bytes(size) {
            return Ok(SumsFile::Wrong);
        }
        let bytes = found.read_at(0, found.size() as usize).await?;
        Ok(BlockSums::parse(&bytes, size).map_or(SumsFile::Wrong, SumsFile::Fit))
    }

    /// Reads all of a blob. If it has the digest, gives its sums, and keeps them for the next time.
    async fn verify(&self, key: &str, found: &LocalFile, digest: Digest) -> Result<Option<BlockSums>> {
        let size = found.size();
        let Some(mut hasher) = Hasher::new(digest, Some(size)) else { return Ok(None) };
        let mut summer = BlockSummer::default();
        self.sum_up(found, size, &mut hasher, &mut summer).await?;
        if hasher.finish().is_err() {
            return Ok(None);
        }
        let sums = summer.finish();
        // If they cannot be kept, the next load reads it all again.
        self.store.write(&refs::sums(key), &sums).await.ok();
        Ok(BlockSums::parse(&sums, size))
    }

    /// Hashes and sums up the first `size` bytes of `file`.
    pub(super) async fn sum_up(
        &self,
        file: &LocalFile,
        size: u64,
        hasher: &mut Hasher,
        summer: &mut BlockSummer,
    ) -> Result<()> {
        let mut at = 0;
        while at < size {
            if self.watch.cancelled() {
                return Err(Error::Aborted);
            }
            let bytes = file.read_at(at, STEP.min(size - at) as usize).await?;
            hasher.update(&bytes);
            summer.update(&bytes);
            at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Whether what was made of `path` is not to be used.
    pub(super) fn passes_over(&self, path: &str) -> bool {
        !self.trusting.get() && self.passed_over.borrow().contains(path)
    }

    /// From now on uses what cannot be checked too. False if nothing was passed over, so that this changes nothing.
    pub(super) fn trust(&self) -> bool {
        if self.passed_over.borrow().is_empty() || self.trusting.replace(true) {
            return false;
        }
        let message = "files in the cache are used unchecked, because their server cannot be reached".into();
        self.watch.progress(Progress::Notice { message });
        true
    }

    /// Has the copy of `file`, and what was made of it, loaded anew, because a byte of it is not what was written. False if it
    /// is not here.
    pub(super) async fn forget(&self, file: &str) -> Result<bool> {
        // What was made of a file is called by that and a key.
        let named =
            |path: &String| file.strip_prefix(path.as_str()).is_some_and(|n| n.is_empty() || n.starts_with(" ("));
        let Some(path) = self.files().into_iter().filter(named).max_by_key(String::len) else { return Ok(false) };
        // It may be its sums that are damaged. Without them the next look compares it with its digest.
        if let Some(known) = self.file(&path).filter(|known| file == path && refs::digest(&known.key).is_some())
            && self.store.open(&blob(&known.key)).await?.is_some()
        {
            return self.store.remove(&refs::sums(&known.key)).await.map(|()| true);
        }
        self.remove_copies(&path, None).await.map(|()| true)
    }

    /// Removes all that is kept of `path`, and `key`, which may be of it but not be known yet.
    async fn remove_copies(&self, path: &str, key: Option<&str>) -> Result<()> {
        self.passed_over.borrow_mut().insert(path.into());
        let known = self.file(path).map(|known| [known.derived, vec![known.key]].concat()).unwrap_or_default();
        for key in known.iter().map(String::as_str).chain(key) {
            // Sums without a blob do no harm.
            self.store.remove(&blob(key)).await?;
            self.store.remove(&refs::sums(key)).await?;
        }
        let message = format!("the copy of {path} in the cache is damaged, and is loaded anew");
        self.watch.progress(Progress::Notice { message });
        Ok(())
    }
}
