//! Saved indexes on a disk.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Index, IndexSink, IndexSource, OpenOptions};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::hub::{Folder, LocalFile, Source};
use crate::progress::Watch;

impl Index {
    /// [`Index::save`] to a file, which appears under its name once it is whole; one that was there is replaced.
    ///
    /// # Errors
    /// [`crate::Error::Io`] naming the file, and as [`Index::save`]. What was there is then as it was.
    pub async fn save_file(&self, path: &Path, watch: &dyn Watch) -> Result<()> {
        let mut part = FilePart::new(path)?;
        self.save(&mut part, watch).await?;
        part.finish(path)
    }

    /// [`Index::open`] of a file.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] and [`crate::Error::Io`] naming the file, and as [`Index::open`].
    pub async fn open_file(backend: Backend, path: &Path, options: OpenOptions, watch: &dyn Watch) -> Result<Self> {
        let (name, folder) = (path.display().to_string(), path.parent().unwrap_or(Path::new("")));
        let missing = || Error::NotFound { file: name.clone(), place: folder.display().to_string() };
        let file = path.file_name().and_then(|n| n.to_str()).ok_or_else(missing)?;
        let file = Folder::new(folder).local(file).await?.ok_or_else(missing)?;
        Self::open(backend, &Named { name, file }, options, watch).await
    }
}

/// A file, by its whole path in errors.
struct Named {
    name: String,
    file: LocalFile,
}

impl IndexSource for Named {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.file.size()
    }

    async fn read_at(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        self.file.read_at(at, length).await
    }
}

/// A file that is not yet whole, beside the place it is for. Dropped before it is finished, it is removed.
struct FilePart {
    name: String,
    path: PathBuf,
    file: Option<File>,
}

impl FilePart {
    fn new(path: &Path) -> Result<Self> {
        // One that another call may be writing is another file.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{process}-{number}.part"));
        let name = path.display().to_string();
        let file = File::create(&part).map_err(|e| Error::io(&name, e))?;
        Ok(Self { name, path: part.into(), file: Some(file) })
    }

    fn finish(mut self, path: &Path) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let done = file.sync_all().and_then(|()| {
            drop(file);
            std::fs::rename(&self.path, path)
        });
        if let Err(error) = done {
            drop(std::fs::remove_file(&self.path));
            return Err(Error::io(&self.name, error));
        }
        // The name is as durable as the folder's entry of it; where folders cannot be synced, there is no more to do.
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        drop(File::open(folder).and_then(|folder| folder.sync_all()));
        Ok(())
    }
}

impl IndexSink for FilePart {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|e| Error::io(&self.name, e))
    }
}

impl Drop for FilePart {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            drop(std::fs::remove_file(&self.path));
        }
    }
}
