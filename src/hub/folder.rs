use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use super::{ByteStream, LocalFile, NoDerivedFile, Source};
use crate::error::{Error, Result};

/// A model's files in a local folder.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Source for Folder {
    type ByteStream = FileStream;
    type DerivedFile<'a> = NoDerivedFile;

    async fn open(&self, file: &str) -> Result<FileStream> {
        let open = File::open(self.path.join(file)).and_then(|f| Ok((f.metadata()?.len(), f)));
        match open {
            Ok((size, handle)) => Ok(FileStream { file: file.into(), handle, size }),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(Error::NotFound { file: file.into(), place: self.path.display().to_string() })
            }
            Err(e) => Err(Error::io(file, e)),
        }
    }

    async fn local(&self, file: &str) -> Result<Option<LocalFile>> {
        match File::open(self.path.join(file)).and_then(|handle| LocalFile::new(file, handle)) {
            Ok(local) => Ok(Some(local)),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(Error::io(file, e)),
        }
    }
}

/// An open file.
pub struct FileStream {
    file: String,
    handle: File,
    size: u64,
}

impl ByteStream for FileStream {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut chunk = vec![0; 1 << 20];
        let count = self.handle.read(&mut chunk).map_err(|e| Error::io(&self.file, e))?;
        chunk.truncate(count);
        Ok((count > 0).then_some(chunk))
    }
}
