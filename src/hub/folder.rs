use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use super::{ByteStream, LocalFile, NoDerivedFile, Source};
use crate::error::{Error, Result};

/// Most files of a folder that are listed.
const MAX_LISTED: usize = 100_000;

/// A model's files in a local folder.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// A file of it; of anything else the system may never give a byte.
    fn handle(&self, file: &str) -> std::io::Result<File> {
        let path = self.path.join(file);
        if !std::fs::metadata(&path)?.is_file() {
            return Err(std::io::Error::other("it is not a file, but a folder, a pipe or a device"));
        }
        File::open(path)
    }
}

impl Source for Folder {
    type ByteStream = FileStream;
    type DerivedFile<'a> = NoDerivedFile;

    async fn open(&self, file: &str) -> Result<FileStream> {
        let open = self.handle(file).and_then(|f| Ok((f.metadata()?.len(), f)));
        match open {
            Ok((size, handle)) => Ok(FileStream { file: file.into(), handle, size }),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(Error::NotFound { file: file.into(), place: self.path.display().to_string() })
            }
            Err(e) => Err(Error::io(file, e)),
        }
    }

    async fn list(&self) -> Result<Option<Vec<String>>> {
        let mut files = Vec::new();
        let mut folders = vec![(self.path.clone(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            let entries = std::fs::read_dir(&folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
            for entry in entries.flatten().take(MAX_LISTED - files.len()) {
                // A name that is no Unicode is no model's.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{prefix}{name}");
                // Links are followed: Hugging Face's cache is made of them.
                match std::fs::metadata(entry.path()) {
                    // Its folders of commits are one level deeper.
                    Ok(about) if about.is_dir() && (prefix.is_empty() || prefix == "snapshots/") => {
                        folders.push((entry.path(), format!("{path}/")))
                    }
                    Ok(about) if about.is_file() => files.push(path),
                    _ => {}
                }
            }
        }
        Ok(Some(files))
    }

    async fn local(&self, file: &str) -> Result<Option<LocalFile>> {
        match self.handle(file).and_then(|handle| LocalFile::new(file, handle)) {
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
