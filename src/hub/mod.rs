//! Where a model's bytes come from. Knows files and bytes, not what is in them.

#[cfg(target_arch = "wasm32")]
mod alarm;
pub mod cache;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
pub mod headers;
#[cfg(not(target_arch = "wasm32"))]
mod http;
#[cfg(not(target_arch = "wasm32"))]
mod local;
#[cfg(not(target_arch = "wasm32"))]
mod local_file;
mod manifest;
mod reader;
mod remote;
mod repository;
mod retry;
mod transfer;
mod transport;
mod verified;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(target_arch = "wasm32")]
pub use cache::{LocalFile, Lock};
#[cfg(not(target_arch = "wasm32"))]
pub use folder::Folder;
#[cfg(not(target_arch = "wasm32"))]
pub use http::Http;
#[cfg(not(target_arch = "wasm32"))]
pub use local::{local_copy, token};
#[cfg(not(target_arch = "wasm32"))]
pub use local_file::{LocalFile, Lock};
pub use manifest::{Digest, Entry, Manifest};
pub use reader::Reader;
pub use remote::{MOST_BODIES, Remote};
pub use repository::Repository;
pub use retry::Retry;
pub use transfer::RemoteStream;
pub use transport::{Answer, Transport};
pub use verified::{Hasher, Verified};
#[cfg(target_arch = "wasm32")]
pub use web::Web;

use crate::error::{Error, Result};

/// A place that holds the files of one model.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait Source {
    /// One file being read from its start.
    type Stream: Stream;

    /// Opens `file`, a path within the model.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such file; otherwise what kept it from being opened.
    async fn open(&self, file: &str) -> Result<Self::Stream>;
}

/// A file's bytes in order.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait Stream {
    /// The file's size in bytes, where it is known.
    fn size(&self) -> Option<u64>;

    /// The next bytes, a few MiB at most; `None` at the end.
    ///
    /// # Errors
    /// What kept them from being read.
    async fn next(&mut self) -> Result<Option<Vec<u8>>>;
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
