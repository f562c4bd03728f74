use std::sync::Arc;

use super::{ByteStream, LocalFile, Reader};
use crate::error::{Error, Result};

/// A position in a file, which is either a stream or a local file that can be read at any byte.
pub enum Cursor<S> {
    /// A stream, which goes forward only.
    Stream(Reader<S>),
    /// A local file.
    Local {
        /// Its path within the model, for errors.
        name: String,
        /// The file.
        file: Arc<LocalFile>,
        /// The next byte.
        position: u64,
    },
}

impl<S: ByteStream> Cursor<S> {
    /// The start of `file`, named `name` in errors.
    pub fn local(name: impl Into<String>, file: Arc<LocalFile>) -> Self {
        Self::Local { name: name.into(), file, position: 0 }
    }

    /// The file's path within the model.
    pub fn file(&self) -> &str {
        match self {
            Self::Stream(reader) => reader.file(),
            Self::Local { name, .. } => name,
        }
    }

    /// The file's size in bytes, where it is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Stream(reader) => reader.size(),
            Self::Local { file, .. } => Some(file.size()),
        }
    }

    /// The next byte to be read.
    pub fn position(&self) -> u64 {
        match self {
            Self::Stream(reader) => reader.position(),
            Self::Local { position, .. } => *position,
        }
    }

    /// Goes to byte `to`.
    ///
    /// # Errors
    /// [`Error::Io`] if a stream would have to go back, or ends before.
    pub async fn seek(&mut self, to: u64) -> Result<()> {
        match self {
            Self::Stream(reader) => match to.checked_sub(reader.position()) {
                Some(distance) => reader.skip(distance).await,
                None => {
                    Err(Error::io(reader.file(), format!("is already past byte {to}, and a stream cannot go back")))
                }
            },
            Self::Local { position, .. } => {
                *position = to;
                Ok(())
            }
        }
    }

    /// The next `count` bytes exactly.
    ///
    /// # Errors
    /// [`Error::Io`] if the file ends before.
    pub async fn exact(&mut self, count: u64) -> Result<Vec<u8>> {
        match self {
            Self::Stream(reader) => reader.exact(count as usize).await,
            Self::Local { name, file, position } => {
                let left = file.size().saturating_sub(*position);
                if count > left {
                    return Err(Error::io(
                        name.as_str(),
                        format!("ends {left} bytes after byte {position}, not {count}"),
                    ));
                }
                let bytes = file.read_at(*position, count as usize).await?;
                *position += count;
                Ok(bytes)
            }
        }
    }

    /// Reads a stream to its end, which is where a verifying stream checks its bytes.
    ///
    /// # Errors
    /// The reason it could not be read, or [`Error::Integrity`].
    pub async fn finish(&mut self) -> Result<()> {
        match self {
            Self::Stream(reader) => reader.finish().await,
            Self::Local { .. } => Ok(()),
        }
    }
}
