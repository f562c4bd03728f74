//! A file being downloaded into the cache.

use std::sync::Arc;

use super::entry::in_words;
use super::refs::{self, blob};
use super::store::{FileStore, FileWriter};
use crate::error::{Error, Result};
use crate::hub::block_sums::BlockSummer;
use crate::hub::{ByteStream, Hasher, RemoteStream, StoreLock, Transport};
use crate::progress::{Progress, Watch};

/// Bytes written before they are made to outlive a crash.
const FLUSH: u64 = 32 << 20;

/// A file's bytes as they arrive from the server. They are stored on the way, and the file appears in the cache once it
/// is complete and verified. If they cannot be stored, they are still passed on.
pub(super) struct Download<'a, T: Transport, S: FileStore> {
    pub(super) file: String,
    pub(super) size: u64,
    /// `None` if nothing is missing.
    pub(super) remote: Option<RemoteStream<T>>,
    pub(super) hasher: Option<Hasher>,
    pub(super) read: u64,
    pub(super) keeping: Option<BlobWriter<S>>,
    pub(super) watch: &'a dyn Watch,
}

/// The part of the file that is kept so far.
pub(super) struct BlobWriter<S: FileStore> {
    pub(super) store: Arc<S>,
    pub(super) key: String,
    pub(super) writer: S::FileWriter,
    pub(super) unflushed: u64,
    pub(super) summer: BlockSummer,
    pub(super) _lock: Arc<StoreLock>,
}

impl<S: FileStore> BlobWriter<S> {
    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.append(bytes).await?;
        self.summer.update(bytes);
        self.unflushed += bytes.len() as u64;
        if self.unflushed < FLUSH {
            return Ok(());
        }
        self.unflushed = 0;
        self.writer.flush().await
    }

    async fn publish(self) -> Result<()> {
        self.writer.close().await?;
        // Written before the blob has its name, so that a crash leaves none without them. Where they cannot be written, those
        // of another blob must not stay; the next load then checks the digest instead.
        if self.store.write(&refs::sums(&self.key), &self.summer.finish()).await.is_err() {
            self.store.remove(&refs::sums(&self.key)).await?;
        }
        self.store.rename(&refs::part(&self.key), &blob(&self.key)).await
    }
}

impl<T: Transport, S: FileStore> Download<'_, T, S> {
    fn wrong(&mut self, message: String) -> Error {
        if let Some(keeping) = self.keeping.take() {
            keeping.writer.discard();
        }
        Error::Integrity { file: self.file.clone(), message }
    }

    /// Reports that the file is not cached; the download continues.
    fn refused(&self, why: &Error) {
        let (file, size) = (&self.file, in_words(self.size));
        self.watch.progress(Progress::Notice { message: format!("not cached: {file} ({size}): {why}") });
    }

    async fn keep(&mut self, chunk: &[u8]) {
        let Some(keeping) = &mut self.keeping else { return };
        if let Err(error) = keeping.append(chunk).await {
            self.refused(&error);
            if let Some(keeping) = self.keeping.take() {
                keeping.writer.discard();
            }
        }
    }

    /// Verifies the complete file and publishes it.
    pub(super) async fn finish(&mut self) -> Result<()> {
        if let Some(hasher) = self.hasher.take()
            && let Err(message) = hasher.finish()
        {
            return Err(self.wrong(message));
        }
        if let Some(keeping) = self.keeping.take()
            && let Err(error) = keeping.publish().await
        {
            self.refused(&error);
        }
        Ok(())
    }
}

impl<T: Transport, S: FileStore> ByteStream for Download<'_, T, S> {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let (read, size) = (self.read, self.size);
        let chunk = match &mut self.remote {
            Some(remote) => remote.next().await?,
            None => None,
        };
        let Some(chunk) = chunk else {
            if read < size {
                return Err(self.wrong(format!("has {read} bytes, expected {size}")));
            }
            // A file without bytes ends before it has begun.
            return if size == 0 { self.finish().await.map(|()| None) } else { Ok(None) };
        };
        self.read += chunk.len() as u64;
        if self.read > size {
            return Err(self.wrong(format!("has more bytes than the {size} expected")));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        self.keep(&chunk).await;
        // Not only at the end of the stream: a reader that has all it wants does not ask again.
        if self.read == size && !chunk.is_empty() {
            self.finish().await?;
        }
        Ok(Some(chunk))
    }
}
