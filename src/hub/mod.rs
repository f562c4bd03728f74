//! Where a model's bytes come from. Knows files and bytes, not what is in them.

mod api;
#[cfg(target_arch = "wasm32")]
mod browser_file;
pub mod cache;
mod client;
mod cursor;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
pub mod headers;
#[cfg(not(target_arch = "wasm32"))]
mod http;
#[cfg(not(target_arch = "wasm32"))]
mod local;
mod local_file;
mod manifest;
mod reader;
mod remote;
mod repository;
mod retry;
#[cfg(target_arch = "wasm32")]
mod timeout;
mod transfer;
mod transport;
mod verified;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(target_arch = "wasm32")]
pub(crate) use browser_file::settled;
pub use cursor::Cursor;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::Folder;
#[cfg(not(target_arch = "wasm32"))]
pub use http::Http;
#[cfg(not(target_arch = "wasm32"))]
pub use local::{local_copy, token};
pub use local_file::{LocalFile, StoreLock};
pub use manifest::{Digest, FileInfo, Manifest};
pub use reader::Reader;
pub use remote::{MAX_BODIES, Remote};
pub use repository::Repository;
pub use retry::Retry;
pub use transfer::RemoteStream;
pub use transport::{HttpResponse, Transport};
pub use verified::{Hasher, Verified};
#[cfg(target_arch = "wasm32")]
pub use web::Web;

use crate::error::{Error, Result};

/// A place that holds the files of one model.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait Source {
    /// One file being read from its start.
    type ByteStream: ByteStream;
    /// A file's other form being kept; [`NoDerivedFile`] where there is nowhere to keep it.
    type DerivedFile<'a>: DerivedFile
    where
        Self: 'a;

    /// Opens `file`, a path within the model.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such file; otherwise what kept it from being opened.
    async fn open(&self, file: &str) -> Result<Self::ByteStream>;

    /// As [`Source::open`], for who wants its beginning only: nothing of it is kept, and it is not verified.
    ///
    /// # Errors
    /// As [`Source::open`].
    async fn peek(&self, file: &str) -> Result<Self::ByteStream> {
        self.open(file).await
    }

    /// `file` for reading at any place, if it lies on this machine.
    ///
    /// # Errors
    /// What kept it from being opened.
    async fn local(&self, _file: &str) -> Result<Option<LocalFile>> {
        Ok(None)
    }

    /// As [`Source::local`], after loading it onto this machine, if there is a place for it.
    ///
    /// # Errors
    /// As [`Source::open`].
    async fn fetch(&self, file: &str) -> Result<Option<LocalFile>> {
        self.local(file).await
    }

    /// What was made of `file` and kept as `form`, a word of letters, digits and `-`.
    ///
    /// # Errors
    /// What kept it from being opened.
    async fn derived_file(&self, _file: &str, _form: &str) -> Result<Option<LocalFile>> {
        Ok(None)
    }

    /// Begins what [`Source::form`] then finds; `None` where there is no place for it, or somebody else is making it.
    ///
    /// # Errors
    /// What kept it from being begun.
    async fn begin_derived_file(&self, _file: &str, _form: &str) -> Result<Option<Self::DerivedFile<'_>>> {
        Ok(None)
    }

    /// Gives up what is kept of `file` itself, now that all that will be wanted of it is kept in another form.
    ///
    /// # Errors
    /// What kept it from being removed.
    async fn discard_original(&self, _file: &str) -> Result<()> {
        Ok(())
    }
}

/// A file's other form, being written from front to back. Dropped before it is finished, nothing of it is kept.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait DerivedFile {
    /// Adds `bytes`.
    ///
    /// # Errors
    /// [`Error::StorageFull`], or what kept them from being written.
    async fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Publishes it, all at once.
    ///
    /// # Errors
    /// As [`DerivedFile::append`].
    async fn finish(self) -> Result<()>;
}

/// The form that is never made.
pub enum NoDerivedFile {}

impl DerivedFile for NoDerivedFile {
    async fn append(&mut self, _bytes: &[u8]) -> Result<()> {
        match *self {}
    }

    async fn finish(self) -> Result<()> {
        match self {}
    }
}

/// A file's bytes in order.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait ByteStream {
    /// The file's size in bytes, where it is known.
    fn size(&self) -> Option<u64>;

    /// The next bytes, a few MiB at most; `None` at the end.
    ///
    /// # Errors
    /// What kept them from being read.
    async fn next(&mut self) -> Result<Option<Vec<u8>>>;
}

/// The stream of what lies on this machine and is never streamed.
pub enum NoStream {}

impl ByteStream for NoStream {
    fn size(&self) -> Option<u64> {
        match *self {}
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match *self {}
    }
}

/// The whole of a small file.
///
/// # Errors
/// As [`read_optional`], and [`Error::NotFound`].
pub async fn read(source: &impl Source, file: &str, cap: usize) -> Result<Vec<u8>> {
    Reader::new(file, source.open(file).await?).rest(cap).await
}

/// The whole of a small file, or `None` if there is none.
///
/// # Errors
/// [`Error::Io`] if it is larger than `cap` bytes; otherwise what kept it from being read.
pub async fn read_optional(source: &impl Source, file: &str, cap: usize) -> Result<Option<Vec<u8>>> {
    match read(source, file, cap).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
