//! The cache in a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::store::{FileStore, FileWriter, LockMode, checked};
use crate::error::{Error, Result};
use crate::hub::{LocalFile, StoreLock};

/// How long to wait before asking for a lock again.
const PATIENCE: Duration = Duration::from_millis(20);

/// Files in a folder of this machine, for all of a user's processes.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The folder at `path`, made if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be made.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        fs::create_dir_all(path.join("locks")).map_err(|e| Error::io(path.display().to_string(), e))?;
        Ok(Self { path })
    }

    /// Where the cache is by default: `$PPLX_EMBED_CACHE`, or `pplx-embed` in the platform's folder for caches; `None`
    /// where the platform has none.
    pub fn default_path() -> Option<PathBuf> {
        let chosen = std::env::var_os("PPLX_EMBED_CACHE").filter(|path| !path.is_empty()).map(PathBuf::from);
        chosen.or_else(|| Some(dirs::cache_dir()?.join("pplx-embed")))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn at(&self, name: &str) -> Result<PathBuf> {
        let (folder, file) = checked(name)?;
        Ok(self.path.join(folder).join(file))
    }

    /// Does `make`, and if that fails for lack of the file's folder once more with the folder.
    fn within<T>(name: &str, path: &Path, make: impl Fn() -> io::Result<T>) -> Result<T> {
        let retry = |e: io::Error| match (e.kind(), path.parent()) {
            (ErrorKind::NotFound, Some(folder)) => fs::create_dir_all(folder).and_then(|()| make()),
            _ => Err(e),
        };
        make().or_else(retry).map_err(|e| failed(name, e))
    }
}

impl FileStore for Directory {
    type FileWriter = DirectoryWriter;

    async fn open(&self, name: &str) -> Result<Option<LocalFile>> {
        match File::open(self.at(name)?).and_then(|file| LocalFile::new(name, file)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(name, e)),
        }
    }

    async fn append(&self, name: &str) -> Result<DirectoryWriter> {
        let path = self.at(name)?;
        let open = || {
            let file = OpenOptions::new().append(true).create(true).open(&path)?;
            Ok((file.metadata()?.len(), file))
        };
        let (size, file) = Self::within(name, &path, open)?;
        Ok(DirectoryWriter { name: name.into(), path, file, size })
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.at(name)?;
        let aside = path.with_added_extension(format!("{}.new", std::process::id()));
        let written = Self::within(name, &path, || {
            let mut file = File::create(&aside)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            replace(&aside, &path)
        });
        if written.is_err() {
            drop(fs::remove_file(&aside));
        }
        written
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        replace(&self.at(from)?, &self.at(to)?).map_err(|e| failed(from, e))
    }

    async fn remove(&self, name: &str) -> Result<()> {
        match clear(&self.at(name)?) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(name, e)),
            _ => Ok(()),
        }
    }

    async fn list(&self) -> Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        let place = self.path.display().to_string();
        for folder in fs::read_dir(&self.path).map_err(|e| failed(&place, e))?.filter_map(io::Result::ok) {
            let Some(folder_name) = folder.file_name().to_str().filter(|name| *name != "locks").map(String::from)
            else {
                continue;
            };
            // A folder that is none, or that somebody removes at this moment, has no files of ours.
            let Ok(entries) = fs::read_dir(folder.path()) else { continue };
            for entry in entries.filter_map(io::Result::ok) {
                let size = entry.metadata().ok().filter(fs::Metadata::is_file).map(|m| m.len());
                if let (Some(size), Some(name)) = (size, entry.file_name().to_str()) {
                    files.push((format!("{folder_name}/{name}"), size));
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    async fn lock(&self, name: &str, mode: LockMode, wait: Option<&dyn Fn() -> bool>) -> Result<Option<StoreLock>> {
        let (folder, file) = checked(name)?;
        let path = self.path.join("locks").join(format!("{folder}-{file}"));
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = Self::within(name, &path, open)?;
        loop {
            let taken = match mode {
                LockMode::Shared => file.try_lock_shared(),
                LockMode::Exclusive => file.try_lock(),
            };
            match (taken, wait) {
                (Ok(()), _) => return Ok(Some(StoreLock::new(file))),
                (Err(TryLockError::Error(e)), _) => return Err(failed(name, e)),
                (Err(TryLockError::WouldBlock), None) => return Ok(None),
                (Err(TryLockError::WouldBlock), Some(cancelled)) if cancelled() => return Err(Error::Aborted),
                (Err(TryLockError::WouldBlock), Some(_)) => pause().await,
            }
        }
    }

    async fn room(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn persist(&self) {}
}

/// A file of a [`Directory`], being written.
pub struct DirectoryWriter {
    name: String,
    path: PathBuf,
    file: File,
    size: u64,
}

impl FileWriter for DirectoryWriter {
    fn size(&self) -> u64 {
        self.size
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| failed(&self.name, e))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| failed(&self.name, e))
    }

    async fn close(mut self) -> Result<()> {
        self.flush().await
    }

    fn discard(self) {
        drop(fs::remove_file(&self.path));
    }
}

/// Removes what is at `path`: a file of ours, or a folder that somebody put in its place.
fn clear(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|e| if path.is_dir() { fs::remove_dir_all(path) } else { Err(e) })
}

/// Renames a file, even to where somebody put a folder.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).or_else(|e| if to.is_dir() { clear(to).and_then(|()| fs::rename(from, to)) } else { Err(e) })
}

fn failed(name: &str, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Error::StorageFull { message: format!("{name}: {error}") }
        }
        _ => Error::io(name, error),
    }
}

/// Waits a little, and lets other futures of this thread go on: one of them may hold what is waited for.
async fn pause() {
    std::thread::sleep(PATIENCE);
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
