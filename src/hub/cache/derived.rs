//! Files derived from a model's files, such as quantized weights that are ready for a device.

use super::cached::Cached;
use super::entry::CacheEntry;
use super::refs::{self, blob};
use super::store::{FileStore, FileWriter, LockMode};
use crate::error::{Error, Result};
use crate::hub::block_sums::BlockSummer;
use crate::hub::{DerivedFile, LocalFile, StoreLock, Transport};

impl<T: Transport, S: FileStore> Cached<'_, T, S> {
    /// The key of `file`, which the keys of what is made of it begin with: `{sha256}`, or `git-{sha1}` of a small one.
    /// `None` where there is no cache, or the server has no digests and `file` was not opened yet.
    pub fn key(&self, file: &str) -> Option<String> {
        self.kept_as(file).map(|(key, _)| key)
    }

    /// The file that `key` was made of: its path, its own key, and its size.
    fn origin(&self, key: &str) -> Option<(String, String, u64)> {
        self.candidates().into_iter().find_map(|file| {
            let (own, size) = self.kept_as(&file)?;
            key.strip_prefix(&own).is_some_and(|form| form.starts_with('-')).then_some((file, own, size))
        })
    }

    /// What was made of a file and finished under `key`, whether that file is still there or not.
    ///
    /// # Errors
    /// None: a cache that cannot be read counts as empty.
    pub async fn derived(&self, key: &str) -> Result<Option<LocalFile>> {
        let (Some(entry), Some((file, own, size))) = (&self.entry, self.origin(key)) else { return Ok(None) };
        // All forms of a file are made anew together: none is complete without the header, which is one of them.
        if entry.passes_over(&file) {
            return Ok(None);
        }
        let found = async {
            let found = entry.whole(&made_of(&file, key), key, None).await?;
            if found.is_some() {
                // It may have been made for another revision that has the same file.
                entry.note(&file, &own, size).await?;
                entry.note_derived(&file, key).await?;
            }
            Ok::<_, Error>(found)
        };
        Ok(found.await.unwrap_or_default())
    }

    /// Begins what is to be found under `key` from then on: the key of a file, `-`, and a name of the form, such as
    /// `{sha256}-q4-g64-v1`. `None` where there is no cache, or somebody else is making the same.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a key that does not begin with that of a file of this model.
    pub async fn begin_derived(&self, key: &str) -> Result<Option<CachedDerivedFile<'_, S>>> {
        let Some(entry) = &self.entry else { return Ok(None) };
        let allowed = || Error::argument("key", format!("{key:?}, allowed is the key of a file, '-' and a name"));
        let (file, own, size) = self.origin(key).ok_or_else(allowed)?;
        let begun = async {
            entry.note(&file, &own, size).await?;
            begin(entry, key, &file).await
        };
        match begun.await {
            Ok(derived) => Ok(derived),
            Err(error) => {
                entry.refused(key, &error);
                Ok(None)
            }
        }
    }

    /// Removes `file` itself from the cache, once what was made of it is there. Whoever opens it loads it again.
    ///
    /// # Errors
    /// None: a file that cannot be removed stays.
    pub async fn remove_raw(&self, file: &str) -> Result<()> {
        let Some((entry, known)) = self.entry.as_ref().and_then(|s| Some((s, s.file(file)?))) else { return Ok(()) };
        if known.derived.is_empty() {
            return Ok(());
        }
        // A part is left where the whole could not be given its name.
        for name in [blob(&known.key), refs::sums(&known.key), refs::part(&known.key)] {
            if let Err(error) = entry.store.remove(&name).await {
                entry.refused(file, &error);
            }
        }
        Ok(())
    }
}

/// What is kept as `key` is called in errors.
fn made_of(file: &str, key: &str) -> String {
    format!("{file} ({key})")
}

/// Gives the part of a derived file its name. Without its sums nothing could tell whether it is whole, so it has none then.
async fn publish(store: &impl FileStore, key: &str, summer: BlockSummer) -> Result<()> {
    store.write(&refs::sums(key), &summer.finish()).await?;
    store.rename(&refs::part(key), &blob(key)).await
}

async fn begin<'c, S: FileStore>(
    entry: &'c CacheEntry<'_, S>,
    key: &str,
    file: &str,
) -> Result<Option<CachedDerivedFile<'c, S>>> {
    let part = refs::part(key);
    let Some(lock) = entry.store.lock(&part, LockMode::Exclusive, None).await? else { return Ok(None) };
    // The rest of a crashed write cannot be resumed: its content is unverified.
    entry.store.remove(&part).await?;
    let writer = entry.store.append(&part).await?;
    let (key, file, summer) = (key.into(), file.into(), BlockSummer::default());
    Ok(Some(CachedDerivedFile { entry, key, file, writer: Some(writer), summer, _lock: lock }))
}

/// A derived file in the cache, being written. If it is dropped before it is finished, it is removed.
pub struct CachedDerivedFile<'c, S: FileStore> {
    entry: &'c CacheEntry<'c, S>,
    key: String,
    file: String,
    /// `None` once it is finished.
    writer: Option<S::FileWriter>,
    summer: BlockSummer,
    _lock: StoreLock,
}

impl<S: FileStore> CachedDerivedFile<'_, S> {
    /// Adds `bytes`.
    ///
    /// # Errors
    /// [`Error::StorageFull`], or what kept them from being written. Drop it then, and go on without.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.writer {
            Some(writer) => {
                self.summer.update(bytes);
                writer.append(bytes).await
            }
            None => Err(Error::io(&self.key, "is finished")),
        }
    }

    /// Publishes it, all at once, and gives it for reading.
    ///
    /// # Errors
    /// As [`CachedDerivedFile::append`].
    pub async fn finish(mut self) -> Result<LocalFile> {
        let gone = || Error::io(&self.key, "is gone");
        let writer = self.writer.take().ok_or_else(gone)?;
        let store = &*self.entry.store;
        let published = match writer.close().await {
            Ok(()) => publish(store, &self.key, std::mem::take(&mut self.summer)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = published {
            // Nobody would go on with it.
            store.remove(&refs::part(&self.key)).await?;
            return Err(error);
        }
        self.entry.note_derived(&self.file, &self.key).await?;
        self.entry.passed_over.borrow_mut().remove(&self.file);
        self.entry.whole(&made_of(&self.file, &self.key), &self.key, None).await?.ok_or_else(gone)
    }
}

impl<S: FileStore> DerivedFile for CachedDerivedFile<'_, S> {
    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.append(bytes).await
    }

    async fn finish(self) -> Result<()> {
        self.finish().await.map(drop)
    }
}

impl<S: FileStore> Drop for CachedDerivedFile<'_, S> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.discard();
        }
    }
}
