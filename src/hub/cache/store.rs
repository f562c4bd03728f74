//! What the cache needs from a file store.

use crate::error::{Error, Result};
use crate::hub::{LocalFile, StoreLock};

/// Files that are written from front to back and then only read, each named `folder/name`. Several threads, tabs or
/// processes may use one store at a time; [`FileStore::lock`] keeps them apart.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait FileStore {
    /// A file being written.
    type FileWriter: FileWriter;

    /// The file `name` for reading at any byte; `None` if there is none.
    ///
    /// # Errors
    /// The reason it could not be opened.
    async fn open(&self, name: &str) -> Result<Option<LocalFile>>;

    /// The file `name` for writing at its end; a new one if there is none.
    ///
    /// # Errors
    /// [`Error::StorageFull`], or the reason it could not be opened.
    async fn append(&self, name: &str) -> Result<Self::FileWriter>;

    /// Makes `bytes` the content of `name`, all at once: whoever opens it sees either the old content or the new.
    ///
    /// # Errors
    /// [`Error::StorageFull`], or the reason it could not be written.
    async fn write(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Renames a file, all at once; one that had the new name is replaced.
    ///
    /// # Errors
    /// The reason it could not be renamed.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// The reason it could not be removed.
    async fn remove(&self, name: &str) -> Result<()>;

    /// Every file's name and size in bytes.
    ///
    /// # Errors
    /// The reason they could not be listed.
    async fn list(&self) -> Result<Vec<(String, u64)>>;

    /// A lock that is called `name`; it need not be a file's. Any number may hold a shared one, one alone an exclusive
    /// one. Without `wait`, `None` if it is taken.
    ///
    /// # Errors
    /// [`Error::Aborted`] once `wait` says that the caller has cancelled.
    async fn lock(&self, name: &str, mode: LockMode, wait: Option<&dyn Fn() -> bool>) -> Result<Option<StoreLock>>;

    /// How many more bytes fit; `None` if unknown.
    ///
    /// # Errors
    /// The reason it could not be determined.
    async fn room(&self) -> Result<Option<u64>>;

    /// Asks that the files be kept when space runs low; called before the first large one is written.
    async fn persist(&self);
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Beside others that hold it shared.
    Shared,
    /// Alone.
    Exclusive,
}

/// A file being written at its end.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait FileWriter {
    /// Bytes in the file.
    fn size(&self) -> u64;

    /// Adds `bytes`.
    ///
    /// # Errors
    /// [`Error::StorageFull`], or the reason they could not be written. How many of them were is then unknown.
    async fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes sure that what was added outlives this process.
    ///
    /// # Errors
    /// As [`FileWriter::append`].
    async fn flush(&mut self) -> Result<()>;

    /// Ends writing: what was added outlives this process, and the file may be renamed.
    ///
    /// # Errors
    /// As [`FileWriter::append`].
    async fn close(self) -> Result<()>;

    /// Ends writing and removes the file, or tries to.
    fn discard(self);
}

/// `folder/name`, if that is what `name` is: two segments of letters, digits, `-`, `_` and `.`, neither beginning
/// with a dot. Names are built from server responses, and must not lead outside the store.
///
/// # Errors
/// [`Error::Io`] if it is anything else.
pub(super) fn checked(name: &str) -> Result<(&str, &str)> {
    let plain = |part: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        (1..=200).contains(&part.len()) && !part.starts_with('.') && part.chars().all(good)
    };
    let parts = name.split_once('/').filter(|(folder, file)| plain(folder) && plain(file));
    parts.ok_or_else(|| Error::io(name, "is not the name of a file in the cache"))
}
