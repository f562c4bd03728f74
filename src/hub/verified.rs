//! The check that a file's bytes are the file's bytes.

use sha2::Digest as _;

use super::Stream;
use super::manifest::{Digest, Entry};
use crate::error::{Error, Result};

/// A stream from byte 0 that is checked against what the file must be. The chunk that completes a file is handed out
/// only once its size and digest are right.
pub struct Verified<S> {
    file: String,
    stream: S,
    size: Option<u64>,
    hasher: Option<Hasher>,
    read: u64,
}

impl<S: Stream> Verified<S> {
    /// Checks `stream` against the size and digest of `entry`, where it has them; `file` is named in errors.
    pub fn new(file: impl Into<String>, stream: S, entry: &Entry) -> Self {
        let size = entry.size.or_else(|| stream.size());
        let hasher = entry.digest.and_then(|digest| Hasher::new(digest, size));
        Self { file: file.into(), stream, size, hasher, read: 0 }
    }

    fn wrong(&self, message: String) -> Error {
        Error::Integrity { file: self.file.clone(), message }
    }

    /// Whether all came, once it did.
    fn check(&mut self) -> Result<()> {
        if let Some(size) = self.size.filter(|&size| size != self.read) {
            return Err(self.wrong(format!("has {} bytes, expected {size}", self.read)));
        }
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        hasher.finish().map_err(|message| self.wrong(message))
    }
}

impl<S: Stream> Stream for Verified<S> {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(chunk) = self.stream.next().await? else {
            return self.check().map(|()| None);
        };
        self.read += chunk.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        // Not only at the end of the stream: a reader that has all it wants does not ask again.
        if self.size.is_some_and(|size| self.read >= size) {
            self.check()?;
        }
        Ok(Some(chunk))
    }
}

/// A digest in the making, and what it must become.
pub struct Hasher {
    state: State,
    want: Digest,
}

enum State {
    Sha256(sha2::Sha256),
    GitSha1(sha1::Sha1),
}

impl Hasher {
    /// Of a file of `size` bytes; `None` if that is not known but part of what is hashed.
    pub fn new(want: Digest, size: Option<u64>) -> Option<Self> {
        let state = match want {
            Digest::Sha256(_) => State::Sha256(sha2::Sha256::new()),
            Digest::GitSha1(_) => State::GitSha1(sha1::Sha1::new_with_prefix(format!("blob {}\0", size?))),
        };
        Some(Self { state, want })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::GitSha1(hasher) => hasher.update(bytes),
        }
    }

    /// Whether the digest is what it must be.
    ///
    /// # Errors
    /// What came and what was expected, in words.
    pub fn finish(self) -> Result<(), String> {
        let got = match self.state {
            State::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            State::GitSha1(hasher) => Digest::GitSha1(hasher.finalize().into()),
        };
        if got == self.want { Ok(()) } else { Err(format!("is {got}, expected {}", self.want)) }
    }
}
