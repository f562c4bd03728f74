//! A model's files on a server.

use std::sync::Arc;

use async_lock::Semaphore;

use super::client::Client;
use super::manifest::{FileInfo, Manifest};
use super::repository::Repository;
use super::retry::Retry;
use super::transfer::RemoteStream;
use super::transport::Transport;
use super::verified::Verified;
use super::{NoDerivedFile, Source};
use crate::error::{Error, Result};

/// Most response bodies of one [`Remote`] that are open at once. Opening another waits until one ends or is dropped.
pub const MAX_BODIES: usize = 4;

/// A model's files on a server laid out like the Hugging Face Hub.
pub struct Remote<T> {
    client: Arc<Client<T>>,
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
        let (address, token) = (repository.address()?, repository.token.clone());
        let slots = Arc::new(Semaphore::new(MAX_BODIES));
        let client = Arc::new(Client { transport, address, retry, slots, token });
        let manifest = client.manifest().await?;
        Ok(Self { client, manifest })
    }

    /// Uses `retry` from now on.
    pub(super) fn retrying(mut self, retry: Retry) -> Self {
        if let Some(client) = Arc::get_mut(&mut self.client) {
            client.retry = retry;
        }
        self
    }

    /// The commit being read; `None` where the server has no manifest.
    pub fn commit(&self) -> Option<&str> {
        self.manifest.as_ref().map(|m| m.commit.as_str())
    }

    /// The server's address, without a slash at its end.
    pub fn endpoint(&self) -> &str {
        &self.client.address.endpoint
    }

    /// The model's id.
    pub fn id(&self) -> &str {
        &self.client.address.id
    }

    /// The revision as it was given, or `main`.
    pub fn revision(&self) -> &str {
        &self.client.address.revision
    }

    /// What the commit holds; `None` where the server has no manifest.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// What the manifest says of `file`.
    pub fn info(&self, file: &str) -> Option<&FileInfo> {
        self.manifest.as_ref()?.files.get(file)
    }

    /// Opens `file` at byte `from`. The stream checks the length of the file, but not its digest.
    ///
    /// # Errors
    /// [`Error::NotFound`], at once if the manifest lacks the file; [`Error::Integrity`] if `from` is past its
    /// end; [`Error::Network`]; [`Error::Aborted`].
    pub async fn open_at(&self, file: &str, from: u64) -> Result<RemoteStream<T>> {
        let address = &self.client.address;
        let revision = self.commit().unwrap_or(&address.revision);
        let url = address.file(revision, file)?;
        let info = self.info(file);
        if self.manifest.is_some() && info.is_none() {
            return Err(Error::NotFound { file: file.into(), place: url });
        }
        RemoteStream::open(&self.client, file, url, info.cloned(), from).await
    }
}

impl<T: Transport> Source for Remote<T> {
    type ByteStream = Verified<RemoteStream<T>>;
    type DerivedFile<'a>
        = NoDerivedFile
    where
        Self: 'a;

    async fn open(&self, file: &str) -> Result<Self::ByteStream> {
        let stream = self.open_at(file, 0).await?;
        let info = stream.info().clone();
        Ok(Verified::new(file, stream, &info))
    }

    async fn list(&self) -> Result<Option<Vec<String>>> {
        Ok(self.manifest.as_ref().map(|manifest| manifest.files.keys().cloned().collect()))
    }
}
