//! A model's files, from the cache where it has them and otherwise from a server.

use std::sync::Arc;

use super::entry::{BlobLookup, CacheEntry};
use super::filling::{BlobWriter, Download};
use super::refs::{self, FileRef, Ref};
use super::store::{FileStore, FileWriter};
use crate::error::{Error, Result};
use crate::hub::block_sums::BlockSummer;
use crate::hub::repository::ModelAddress;
use crate::hub::{
    ByteStream, FileInfo, Hasher, LocalFile, Remote, RemoteStream, Repository, Retry, StoreLock, Transport, Verified,
    is_unreachable,
};
use crate::progress::{Progress, Watch};

/// A model's files on a server, and what a [`FileStore`] keeps of them.
///
/// A file that was loaded before comes from the store, and nothing of it is asked for again; a file of which a part was
/// loaded, before a crash or a cancelled call, is completed first. Where the server has commits, a complete model loads
/// without a network too. Whatever goes wrong with the store is told as [`Progress::Notice`]; files are then read
/// as if there were none.
pub struct Cached<'a, T, S> {
    remote: Server<T>,
    pub(super) entry: Option<CacheEntry<'a, S>>,
}

enum Server<T> {
    Online(Remote<T>),
    /// Why the server cannot be reached.
    Offline(Error),
}

/// Where a file was found.
pub(super) enum FileLocation<T: Transport> {
    Local(LocalFile),
    /// To be read without caching; with its stream, if that is open already.
    Uncached(Option<RemoteStream<T>>),
    Missing(MissingFile<T>),
}

/// A file to download, and the lock that allows writing it.
pub(super) struct MissingFile<T: Transport> {
    pub(super) file: String,
    pub(super) key: String,
    pub(super) info: FileInfo,
    pub(super) size: u64,
    /// Bytes of it that are kept.
    pub(super) have: u64,
    pub(super) lock: Arc<StoreLock>,
    /// Its stream from byte 0, if that is open already.
    pub(super) stream: Option<RemoteStream<T>>,
}

/// An error while a file was completed.
pub(super) enum FillError {
    /// An error of the store: the file can still be read without caching.
    Store(Error),
    Other(Error),
}

impl<'a, T: Transport, S: FileStore> Cached<'a, T, S> {
    /// The files of `repository`, kept in `store`, if there is one. Where the server cannot be reached, the model as it
    /// was when it was last loaded to the end.
    ///
    /// # Errors
    /// As [`Remote::open`].
    pub async fn open(
        repository: &Repository,
        transport: T,
        retry: Retry,
        store: Option<S>,
        watch: &'a dyn Watch,
    ) -> Result<Self> {
        let ModelAddress { endpoint, id, revision: asked } = &repository.address()?;
        let known = match &store {
            Some(store) => refs::find(store, endpoint, id, asked).await,
            None => Ok(None),
        };
        let (store, known) = match known {
            Ok(known) => (store, known),
            Err(error) => {
                watch.progress(Progress::Notice { message: format!("not cached: {error}") });
                (None, None)
            }
        };
        // With a complete copy there is no need to retry for long before falling back to it.
        let complete = known.as_ref().is_some_and(|known| known.complete);
        let opening = Retry { attempts: if complete { retry.attempts.min(2) } else { retry.attempts }, ..retry };
        let remote = match (Remote::open(repository, transport, opening).await, &known) {
            (Ok(remote), _) => Server::Online(remote.retrying(retry)),
            (Err(error), Some(known)) if known.complete && is_unreachable(&error) => {
                let message = format!("{error}; using revision {} from the cache", known.revision);
                watch.progress(Progress::Notice { message });
                Server::Offline(error)
            }
            (Err(error), _) => return Err(error),
        };
        let mut cached = Self { remote, entry: None };
        if let Some(store) = store {
            let revision = match &cached.remote {
                Server::Online(remote) => Some(remote.commit().unwrap_or(asked)),
                Server::Offline(_) => None,
            };
            let same = known.filter(|known| revision.is_none_or(|revision| known.revision == revision));
            let known = same.unwrap_or_else(|| Ref::new(endpoint, id, revision.unwrap_or(asked)));
            match CacheEntry::new(store, known, asked, watch).await {
                Ok(entry) => {
                    entry.trusting.set(matches!(cached.remote, Server::Offline(_)));
                    cached.entry = Some(entry);
                }
                Err(Error::Aborted) => return Err(Error::Aborted),
                Err(error) => watch.progress(Progress::Notice { message: format!("not cached: {error}") }),
            }
        }
        Ok(cached)
    }

    /// The commit that is being read; `None` where the server has no commits.
    pub fn commit(&self) -> Option<String> {
        match &self.remote {
            Server::Online(remote) => remote.commit().map(String::from),
            Server::Offline(_) => self.entry.as_ref().map(CacheEntry::revision),
        }
    }

    /// What is being read: the commit, or the revision as it was asked for where the server has no commits.
    pub fn revision(&self) -> Option<String> {
        match &self.remote {
            Server::Online(remote) => Some(remote.commit().unwrap_or(remote.revision()).into()),
            Server::Offline(_) => self.commit(),
        }
    }

    /// To be called when the model was loaded to the end: from then on it can be loaded without a network, and what the
    /// same branch meant before is removed. What goes wrong is told as a notice.
    pub async fn loaded(&self) {
        let online = matches!(self.remote, Server::Online(_));
        if let Some(entry) = &self.entry
            && let Err(error) = entry.loaded(online).await
        {
            entry.refused("the model", &error);
        }
    }

    /// What `file` is kept as, and its size, where that can be told without asking for the file.
    pub(super) fn kept_as(&self, file: &str) -> Option<(String, u64)> {
        let entry = self.entry.as_ref()?;
        let of = |known: FileRef| (known.key, known.size);
        match &self.remote {
            Server::Online(remote) if remote.manifest().is_some() => {
                let info = remote.info(file)?;
                Some((refs::key("", info)?, info.size?))
            }
            // The server may have another version by now; only a request tells.
            Server::Online(_) => entry.seen(file).map(of),
            Server::Offline(_) => entry.file(file).map(of),
        }
    }

    /// The paths of the model's files: those of the commit, or without a network those that a whole load needed. `None`
    /// where the server does not list them.
    pub(super) fn listed(&self) -> Option<Vec<String>> {
        match (&self.remote, &self.entry) {
            (Server::Online(remote), _) => remote.manifest().map(|manifest| manifest.files.keys().cloned().collect()),
            (Server::Offline(_), entry) => entry.as_ref().map(CacheEntry::files),
        }
    }

    /// The paths of the files that may be in the cache.
    pub(super) fn candidates(&self) -> Vec<String> {
        match (&self.remote, &self.entry) {
            (Server::Online(remote), Some(entry)) => match remote.manifest() {
                Some(manifest) => manifest.files.keys().cloned().collect(),
                None => entry.files(),
            },
            (Server::Offline(_), Some(entry)) => entry.files(),
            (_, None) => Vec::new(),
        }
    }

    /// `file` for reading at any byte, if it is in the cache.
    ///
    /// # Errors
    /// None: a cache that cannot be read counts as empty.
    pub async fn local(&self, file: &str) -> Result<Option<LocalFile>> {
        let (Some(entry), Some((key, size))) = (&self.entry, self.kept_as(file)) else { return Ok(None) };
        let found = async {
            let found = entry.whole(file, &key, Some(size)).await?;
            if found.is_some() {
                entry.note(file, &key, size).await?;
            }
            Ok::<_, Error>(found)
        };
        Ok(found.await.unwrap_or_default())
    }

    /// Loads `file` into the cache, if it is not there yet, and gives it for reading at any place; `None` if it cannot
    /// be kept.
    ///
    /// # Errors
    /// As [`crate::hub::Source::open`], and what kept it from being loaded.
    pub async fn fetch(&self, file: &str) -> Result<Option<LocalFile>> {
        match self.find(file).await? {
            FileLocation::Local(local) => Ok(Some(local)),
            FileLocation::Uncached(_) => Ok(None),
            FileLocation::Missing(absent) => self.complete(absent).await,
        }
    }

    pub(super) async fn find(&self, file: &str) -> Result<FileLocation<T>> {
        let Some(entry) = &self.entry else { return Ok(FileLocation::Uncached(None)) };
        let remote = match &self.remote {
            Server::Online(remote) => remote,
            Server::Offline(why) => return self.find_offline(entry, file, why).await,
        };
        let (info, stream) = match (remote.manifest(), remote.info(file)) {
            (Some(_), Some(info)) => (info.clone(), None),
            // Opening a file that does not exist gives the right error.
            (Some(_), None) => return remote.open_at(file, 0).await.map(|stream| FileLocation::Uncached(Some(stream))),
            (None, _) => {
                let stream = remote.open_at(file, 0).await?;
                (stream.info().clone(), Some(stream))
            }
        };
        let url = format!("{}/{}/{}/{file}", remote.endpoint(), remote.id(), remote.revision());
        let (Some(size), Some(key)) = (info.size, refs::key(&url, &info)) else {
            entry.unknown();
            return Ok(FileLocation::Uncached(stream));
        };
        let look = async {
            entry.note(file, &key, size).await?;
            let look = entry.look(file, &key, size).await?;
            let fits = match &look {
                BlobLookup::Ready(_) => true,
                BlobLookup::Missing { have, .. } => entry.fits(file, size.saturating_sub(*have)).await?,
            };
            Ok((look, fits))
        };
        match look.await {
            Ok((BlobLookup::Ready(local), _)) => Ok(FileLocation::Local(local)),
            Ok((BlobLookup::Missing { have, lock }, true)) => {
                let (file, lock) = (file.into(), Arc::new(lock));
                Ok(FileLocation::Missing(MissingFile { file, key, info, size, have, lock, stream }))
            }
            Ok((BlobLookup::Missing { .. }, false)) => Ok(FileLocation::Uncached(stream)),
            Err(Error::Aborted) => Err(Error::Aborted),
            Err(error) => {
                entry.refused(file, &error);
                Ok(FileLocation::Uncached(stream))
            }
        }
    }

    /// Offline, only files in the cache are found.
    async fn find_offline(&self, entry: &CacheEntry<'a, S>, file: &str, why: &Error) -> Result<FileLocation<T>> {
        let place = || "the cache, and its server cannot be reached".into();
        let known = entry.file(file).ok_or_else(|| Error::NotFound { file: file.into(), place: place() })?;
        let local = entry.whole(file, &known.key, Some(known.size)).await.unwrap_or_default();
        local.map(FileLocation::Local).ok_or_else(|| Error::Network {
            url: file.into(),
            status: None,
            message: format!("is not in the cache, and its server cannot be reached: {why}"),
        })
    }

    /// Reads `file` without caching it.
    pub(super) async fn uncached(
        &self,
        file: &str,
        stream: Option<RemoteStream<T>>,
    ) -> Result<Verified<RemoteStream<T>>> {
        let stream = match (&self.remote, stream) {
            (_, Some(stream)) => stream,
            (Server::Online(remote), None) => remote.open_at(file, 0).await?,
            (Server::Offline(why), None) => return Err(Error::io(file, why)),
        };
        let info = stream.info().clone();
        Ok(Verified::new(file, stream, &info))
    }

    /// Loads what is missing, without handing it on. What was kept before is hashed with it: if that was damaged, all
    /// is loaded once more. `None` if it could not be kept.
    pub(super) async fn complete(&self, mut absent: MissingFile<T>) -> Result<Option<LocalFile>> {
        let Some(entry) = &self.entry else { return Ok(None) };
        loop {
            let resumed = absent.have > 0;
            match self.fill(entry, &mut absent).await {
                Ok(()) => {
                    return Ok(entry.whole(&absent.file, &absent.key, Some(absent.size)).await.unwrap_or_default());
                }
                Err(FillError::Other(Error::Integrity { .. })) if resumed => {
                    if let Err(error) = entry.store.remove(&refs::part(&absent.key)).await {
                        entry.refused(&absent.file, &error);
                        return Ok(None);
                    }
                    absent.have = 0;
                }
                Err(FillError::Other(error)) => return Err(error),
                Err(FillError::Store(error)) => {
                    entry.refused(&absent.file, &error);
                    return Ok(None);
                }
            }
        }
    }

    async fn fill(&self, entry: &CacheEntry<'a, S>, absent: &mut MissingFile<T>) -> Result<(), FillError> {
        let mut filling = self.filling(entry, absent).await?;
        if filling.read == filling.size {
            return filling.finish().await.map_err(FillError::Other);
        }
        // If the file can no longer be stored, the rest is not needed.
        while filling.keeping.is_some() {
            if entry.watch.cancelled() {
                return Err(FillError::Other(Error::Aborted));
            }
            if filling.next().await.map_err(FillError::Other)?.is_none() {
                break;
            }
            let (file, loaded) = (filling.file.clone(), filling.read);
            entry.watch.progress(Progress::Download {
                file,
                loaded,
                total: Some(filling.size),
                all_loaded: loaded,
                all_total: filling.size,
                cached: false,
                bytes_per_second: None,
                seconds_left: None,
            });
        }
        Ok(())
    }

    /// Hashes the cached part of a file and starts the download of the rest.
    pub(super) async fn filling(
        &self,
        entry: &CacheEntry<'a, S>,
        absent: &mut MissingFile<T>,
    ) -> Result<Download<'a, T, S>, FillError> {
        let Server::Online(remote) = &self.remote else {
            return Err(FillError::Other(Error::io(&absent.file, "its server cannot be reached")));
        };
        let (size, part) = (absent.size, refs::part(&absent.key));
        let mut hasher = absent.info.digest.and_then(|digest| Hasher::new(digest, Some(size)));
        if absent.have > size || (absent.have > 0 && hasher.is_none()) {
            entry.store.remove(&part).await.map_err(FillError::Store)?;
            absent.have = 0;
        }
        let have = absent.have;
        let mut summer = BlockSummer::default();
        if let Some(hasher) = hasher.as_mut().filter(|_| have > 0) {
            let gone = || Error::io(&part, "is gone");
            let kept =
                entry.store.open(&part).await.and_then(|kept| kept.ok_or_else(gone)).map_err(FillError::Store)?;
            entry.sum_up(&kept, have, hasher, &mut summer).await.map_err(|error| match error {
                Error::Aborted => FillError::Other(error),
                _ => FillError::Store(error),
            })?;
        }
        let writer = entry.store.append(&part).await.map_err(FillError::Store)?;
        if writer.size() != have {
            return Err(FillError::Store(Error::io(part, format!("has {} bytes, had {have}", writer.size()))));
        }
        let stream = match absent.stream.take().filter(|_| have == 0) {
            None if have < size || size == 0 => {
                Some(remote.open_at(&absent.file, have).await.map_err(FillError::Other)?)
            }
            stream => stream,
        };
        let (store, key, lock) = (Arc::clone(&entry.store), absent.key.clone(), Arc::clone(&absent.lock));
        let keeping = Some(BlobWriter { store, key, writer, unflushed: 0, summer, _lock: lock });
        let (file, watch) = (absent.file.clone(), entry.watch);
        Ok(Download { file, size, remote: stream, hasher, read: have, keeping, watch })
    }
}
