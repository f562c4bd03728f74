//! Files on this machine that can be read at any byte, and the locks that protect them.

use std::sync::Arc;

use super::block_sums::BlockSums;
#[cfg(target_arch = "wasm32")]
use super::browser_file::{BrowserFile as FileHandle, BrowserLock as LockHandle};
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use std::fs::{File as FileHandle, File as LockHandle};

/// A file on this machine that can be read at any byte.
pub struct LocalFile {
    name: String,
    handle: FileHandle,
    size: u64,
    /// What its blocks have to be, where somebody noted that.
    sums: Option<BlockSums>,
    /// Keeps the file from being removed while it is in use.
    _lock: Option<Arc<StoreLock>>,
}

/// A lock of a [`FileStore`](super::cache::FileStore). Released when dropped.
pub struct StoreLock {
    _handle: LockHandle,
}

impl StoreLock {
    pub(super) fn new(handle: LockHandle) -> Self {
        Self { _handle: handle }
    }
}

impl LocalFile {
    /// The open file `handle`, called `name` in errors.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn new(name: &str, handle: FileHandle) -> std::io::Result<Self> {
        let size = handle.metadata()?.len();
        Ok(Self { name: name.into(), handle, size, sums: None, _lock: None })
    }

    /// The file of `reading`, a `Reading` of `js/hosts/files.ts`, called `name` in errors.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn new(name: &str, reading: wasm_bindgen::JsValue) -> Self {
        let handle = FileHandle::new(reading);
        Self { name: name.into(), size: handle.size(), handle, sums: None, _lock: None }
    }

    /// The same file, called `name` in errors, which holds `lock`.
    pub(super) fn with_lock(self, name: &str, lock: Arc<StoreLock>) -> Self {
        Self { name: name.into(), _lock: Some(lock), ..self }
    }

    /// The same file, whose blocks are compared with `sums` when they are read.
    pub(super) fn with_sums(self, sums: Option<BlockSums>) -> Self {
        Self { sums, ..self }
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The `length` bytes from byte `at` on.
    ///
    /// # Errors
    /// [`Error::Io`] if the file ends before, or cannot be read; [`Error::Integrity`] if it is not what was written.
    pub async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        // Checked first, so that a wrong length allocates nothing.
        if at.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(self.too_short(at, length));
        }
        let unchecked = self.sums.as_ref().and_then(|sums| Some((sums, sums.unchecked(at, length as u64)?)));
        let Some((sums, (from, to))) = unchecked else {
            let mut bytes = vec![0; length];
            self.fill(at, &mut bytes).await?;
            return Ok(bytes);
        };
        let mut bytes = vec![0; (to - from) as usize];
        self.fill(from, &mut bytes).await?;
        sums.check(from, &bytes).map_err(|byte| Error::Integrity {
            file: self.name.clone(),
            message: format!("the copy in the cache is damaged at byte {byte} or shortly after it"),
        })?;
        let before = (at - from) as usize;
        bytes.truncate(before + length);
        bytes.drain(..before);
        Ok(bytes)
    }

    async fn fill(&self, at: u64, into: &mut [u8]) -> Result<()> {
        #[cfg(target_arch = "wasm32")]
        let filled = self.handle.fill(&self.name, at, into).await?;
        #[cfg(not(target_arch = "wasm32"))]
        let filled = fill(&self.handle, at, into).map_err(|e| Error::io(&self.name, e))?;
        if filled { Ok(()) } else { Err(self.too_short(at, into.len())) }
    }

    fn too_short(&self, at: u64, length: usize) -> Error {
        Error::io(&self.name, format!("has {} bytes, but {length} bytes from byte {at} on were requested", self.size))
    }
}

/// Fills `into` with the bytes of `file` from byte `at` on; false if the file ends before.
#[cfg(not(target_arch = "wasm32"))]
fn fill(file: &FileHandle, at: u64, into: &mut [u8]) -> std::io::Result<bool> {
    let mut done = 0;
    while done < into.len() {
        match read_some(file, at + done as u64, &mut into[done..]) {
            Ok(0) => return Ok(false),
            Ok(count) => done += count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

#[cfg(unix)]
fn read_some(file: &FileHandle, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, at)
}

#[cfg(windows)]
fn read_some(file: &FileHandle, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, at)
}
