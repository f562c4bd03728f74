//! Files that are on this machine.

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::error::{Error, Result};

/// A file that can be read at any place.
pub struct LocalFile {
    name: String,
    file: File,
    size: u64,
    /// Kept as long as the file is in use.
    _lock: Option<Arc<Lock>>,
}

/// A lock, held while it lives.
pub struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn new(file: File) -> Self {
        Self { _file: file }
    }
}

impl LocalFile {
    /// The open `file`, which errors call `name`.
    pub(super) fn new(name: &str, file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { name: name.into(), file, size, _lock: None })
    }

    /// The same file, holding `lock` and called `name` in errors.
    pub(super) fn held(self, name: &str, lock: Arc<Lock>) -> Self {
        Self { name: name.into(), _lock: Some(lock), ..self }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The `length` bytes from byte `at` on.
    ///
    /// # Errors
    /// [`Error::Io`] if the file ends before, or cannot be read.
    pub async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        // Nothing is allocated for what is not there.
        if at.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(self.short(at, length));
        }
        let mut bytes = vec![0; length];
        self.read_into(at, &mut bytes).await?;
        Ok(bytes)
    }

    /// Fills `into` with the bytes from byte `at` on.
    ///
    /// # Errors
    /// As [`LocalFile::read_at`].
    pub async fn read_into(&self, at: u64, into: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while done < into.len() {
            match read_some(&self.file, at + done as u64, &mut into[done..]) {
                Ok(0) => return Err(self.short(at, into.len())),
                Ok(count) => done += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(&self.name, e)),
            }
        }
        Ok(())
    }

    fn short(&self, at: u64, length: usize) -> Error {
        Error::io(&self.name, format!("has {} bytes, {length} from byte {at} on were asked for", self.size))
    }
}

#[cfg(unix)]
fn read_some(file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, at)
}

#[cfg(windows)]
fn read_some(file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, at)
}
