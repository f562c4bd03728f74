use super::ByteStream;
use crate::error::{Error, Result};

/// Reads a [`ByteStream`] in pieces of the size asked for.
pub struct Reader<S> {
    file: String,
    stream: S,
    /// Bytes that came and were not yet asked for, from `taken` on.
    chunk: Vec<u8>,
    taken: usize,
    position: u64,
}

impl<S: ByteStream> Reader<S> {
    /// A reader at the start of `stream`; `file` is named in errors.
    pub fn new(file: impl Into<String>, stream: S) -> Self {
        Self { file: file.into(), stream, chunk: Vec::new(), taken: 0, position: 0 }
    }

    /// The file's path within the model.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file's size in bytes, where it is known.
    pub fn size(&self) -> Option<u64> {
        self.stream.size()
    }

    /// Bytes handed out so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next `count` bytes exactly. Memory grows with what arrives, not with what `count` claims.
    ///
    /// # Errors
    /// [`Error::Io`] if the file ends before.
    pub async fn exact(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            if !self.more().await? {
                let (file, at) = (&self.file, self.position);
                return Err(Error::io(file, format!("ends after {at} bytes, in the middle of {count} more")));
            }
            self.take(count - bytes.len(), &mut bytes);
        }
        Ok(bytes)
    }

    /// Skips `count` bytes.
    ///
    /// # Errors
    /// As [`Reader::exact`].
    pub async fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let step = count.min(1 << 20) as usize;
            self.exact(step).await?;
            count -= step as u64;
        }
        Ok(())
    }

    /// Expects the end of the file, which is where a verifying stream checks its bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if there are more bytes; otherwise the reason the end could not be reached.
    pub async fn finish(&mut self) -> Result<()> {
        match self.more().await? {
            false => Ok(()),
            true => Err(Error::io(&self.file, format!("goes on after its {} bytes", self.position))),
        }
    }

    /// All remaining bytes.
    ///
    /// # Errors
    /// [`Error::Io`] if that is more than `cap` bytes.
    pub async fn rest(&mut self, cap: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while self.more().await? {
            self.take(usize::MAX, &mut bytes);
            if bytes.len() > cap {
                return Err(Error::io(&self.file, format!("is larger than the {cap} bytes allowed")));
            }
        }
        Ok(bytes)
    }

    /// Fetches a chunk if none is at hand; false at the end of the file.
    async fn more(&mut self) -> Result<bool> {
        while self.taken == self.chunk.len() {
            match self.stream.next().await? {
                Some(chunk) => (self.chunk, self.taken) = (chunk, 0),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn take(&mut self, most: usize, into: &mut Vec<u8>) {
        let count = most.min(self.chunk.len() - self.taken);
        into.extend_from_slice(&self.chunk[self.taken..self.taken + count]);
        self.taken += count;
        self.position += count as u64;
    }
}
