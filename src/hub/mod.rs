//! Where a model's files come from: a folder, a server, or a cache of a server. Knows bytes, not their meaning.

mod api;
mod block_sums;
#[cfg(target_arch = "wasm32")]
mod browser_file;
#[cfg(target_arch = "wasm32")]
mod browser_http;
#[cfg(target_arch = "wasm32")]
mod browser_timeout;
pub mod cache;
mod client;
mod cursor;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
pub mod headers;
#[cfg(not(target_arch = "wasm32"))]
mod http;
#[cfg(not(target_arch = "wasm32"))]
mod local_copy;
mod local_file;
mod manifest;
mod names;
mod pointer;
#[cfg(not(target_arch = "wasm32"))]
mod proxy;
mod reader;
mod remote;
mod repository;
mod retry;
mod transfer;
mod transport;
mod verified;

#[cfg(target_arch = "wasm32")]
pub(crate) use browser_file::settled;
#[cfg(target_arch = "wasm32")]
pub use browser_http::Web;
pub use cursor::Cursor;
#[cfg(not(target_arch = "wasm32"))]
pub use folder::Folder;
#[cfg(not(target_arch = "wasm32"))]
pub use http::Http;
#[cfg(not(target_arch = "wasm32"))]
pub use local_copy::{LocalCopy, hub_cache, local_copy, offline_variable, token};
pub use local_file::{LocalFile, StoreLock};
pub use manifest::{Digest, FileInfo, Manifest};
pub use names::{shard_name, shard_number};
pub use pointer::{POINTER, refuse_pointer};
pub use reader::Reader;
pub use remote::{MAX_BODIES, Remote};
pub use repository::Repository;
pub use retry::{Retry, is_unreachable};
pub use transfer::RemoteStream;
pub use transport::{HttpResponse, Transport};
pub use verified::{Hasher, Verified};

use crate::error::{Error, Result};

/// The files of one model.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait Source {
    /// The bytes of one file, from its start.
    type ByteStream: ByteStream;
    /// A file derived from another one while it is being written; [`NoDerivedFile`] where none can be stored.
    type DerivedFile<'a>: DerivedFile
    where
        Self: 'a;

    /// Opens `file`, a path within the model.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such file; otherwise the reason it could not be opened.
    async fn open(&self, file: &str) -> Result<Self::ByteStream>;

    /// As [`Source::open`], for a caller that reads only the beginning: nothing is cached and nothing is verified.
    ///
    /// # Errors
    /// As [`Source::open`].
    async fn peek(&self, file: &str) -> Result<Self::ByteStream> {
        self.open(file).await
    }

    /// The paths of the model's files, within the model and in no order; `None` where nobody lists them.
    ///
    /// # Errors
    /// The reason they could not be listed.
    async fn list(&self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }

    /// `file` for reading at any byte, if it is on this machine.
    ///
    /// # Errors
    /// The reason it could not be opened.
    async fn local(&self, _file: &str) -> Result<Option<LocalFile>> {
        Ok(None)
    }

    /// As [`Source::local`], after downloading the file where it can be stored.
    ///
    /// # Errors
    /// As [`Source::open`].
    async fn fetch(&self, file: &str) -> Result<Option<LocalFile>> {
        self.local(file).await
    }

    /// The file that was derived from `file` and stored as `form`, a name of letters, digits and `-`.
    ///
    /// # Errors
    /// The reason it could not be opened.
    async fn derived_file(&self, _file: &str, _form: &str) -> Result<Option<LocalFile>> {
        Ok(None)
    }

    /// Begins what [`Source::derived_file`] then finds; `None` where there is no place for it, or somebody else is making it.
    ///
    /// # Errors
    /// The reason it could not be started.
    async fn begin_derived_file(&self, _file: &str, _form: &str) -> Result<Option<Self::DerivedFile<'_>>> {
        Ok(None)
    }

    /// Removes the stored copy of the file that `error` says is damaged; if it says that a server cannot be reached, uses
    /// copies that cannot be checked. Whether it did either, so that it is worth while to read the files again.
    ///
    /// # Errors
    /// The reason it could not be removed.
    async fn forget_damaged(&self, _error: &Error) -> Result<bool> {
        Ok(false)
    }

    /// Removes the stored copy of `file` itself, because the files derived from it replace it.
    ///
    /// # Errors
    /// The reason it could not be removed.
    async fn discard_original(&self, _file: &str) -> Result<()> {
        Ok(())
    }
}

/// A file derived from another one, for example with quantized weights, being written from front to back. If it is
/// dropped before [`DerivedFile::finish`], nothing is stored.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait DerivedFile {
    /// Adds `bytes`.
    ///
    /// # Errors
    /// [`Error::StorageFull`], or the reason they could not be written.
    async fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Publishes the whole file in one step.
    ///
    /// # Errors
    /// As [`DerivedFile::append`].
    async fn finish(self) -> Result<()>;
}

/// For sources that store no derived files.
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
    /// The reason they could not be read.
    async fn next(&mut self) -> Result<Option<Vec<u8>>>;
}

/// For files on this machine, which are never streamed.
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
    let bytes = Reader::new(file, source.open(file).await?).rest(cap).await?;
    refuse_pointer(file, &bytes)?;
    Ok(bytes)
}

/// The whole of a small file, or `None` if there is none.
///
/// # Errors
/// [`Error::Io`] if it is larger than `cap` bytes, or a pointer of Git LFS; otherwise the reason it could not be read.
pub async fn read_optional(source: &impl Source, file: &str, cap: usize) -> Result<Option<Vec<u8>>> {
    match read(source, file, cap).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
