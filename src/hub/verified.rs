//! Verification of a file's size and digest.

use sha2::Digest as _;

use super::ByteStream;
use super::manifest::{Digest, FileInfo};
use crate::error::{Error, Result};

/// A stream from byte 0 that is checked against what the file must be. The chunk that completes a file is handed out
/// only once its size and digest are right.
pub struct Verified<S> {
    file: String,
    stream: S,
    size: Option<u64>,
    hasher: Option<Hasher>,
    read: u64,
    /// The first error, which every later call repeats.
    failed: Option<String>,
}

impl<S: ByteStream> Verified<S> {
    /// Checks `stream` against the size and digest of `info`, where it has them; `file` is named in errors.
    pub fn new(file: impl Into<String>, stream: S, info: &FileInfo) -> Self {
        let size = info.size.or_else(|| stream.size());
        let hasher = info.digest.and_then(|digest| Hasher::new(digest, size));
        Self { file: file.into(), stream, size, hasher, read: 0, failed: None }
    }

    fn wrong(&mut self, message: String) -> Error {
        self.failed = Some(message.clone());
        Error::Integrity { file: self.file.clone(), message }
    }

    /// Checks the size and digest of what arrived.
    fn check(&mut self) -> Result<()> {
        if let Some(size) = self.size.filter(|&size| size != self.read) {
            return Err(self.wrong(format!("has {} bytes, expected {size}", self.read)));
        }
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        hasher.finish().map_err(|message| self.wrong(message))
    }
}

impl<S: ByteStream> ByteStream for Verified<S> {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if let Some(message) = self.failed.clone() {
            return Err(self.wrong(message));
        }
        let Some(chunk) = self.stream.next().await? else {
            return self.check().map(|()| None);
        };
        self.read += chunk.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        // Not only at the end of the stream: a reader that has all it needs does not call again.
        if self.size.is_some_and(|size| self.read >= size) {
            self.check()?;
        }
        Ok(Some(chunk))
    }
}

/// Computes a digest and compares it with the expected one.
pub struct Hasher {
    state: HashState,
    want: Digest,
}

enum HashState {
    Sha256(sha2::Sha256),
    GitSha1(sha1::Sha1),
}

impl Hasher {
    /// For a file of `size` bytes; `None` if the digest covers the size and the size is unknown.
    pub fn new(want: Digest, size: Option<u64>) -> Option<Self> {
        let state = match want {
            Digest::Sha256(_) => HashState::Sha256(sha2::Sha256::new()),
            Digest::GitSha1(_) => HashState::GitSha1(sha1::Sha1::new_with_prefix(format!("blob {}\0", size?))),
        };
        Some(Self { state, want })
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            HashState::Sha256(hasher) => hasher.update(bytes),
            HashState::GitSha1(hasher) => hasher.update(bytes),
        }
    }

    /// Compares the digest with the expected one.
    ///
    /// # Errors
    /// A message with the computed and the expected digest.
    pub fn finish(self) -> Result<(), String> {
        let got = match self.state {
            HashState::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            HashState::GitSha1(hasher) => Digest::GitSha1(hasher.finalize().into()),
        };
        if got == self.want { Ok(()) } else { Err(format!("is {got}, expected {}", self.want)) }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::{ByteStream, Digest, FileInfo, Hasher, Verified};
    use crate::error::Result;

    struct Chunks(Vec<Vec<u8>>);

    impl ByteStream for Chunks {
        fn size(&self) -> Option<u64> {
            None
        }

        async fn next(&mut self) -> Result<Option<Vec<u8>>> {
            Ok(if self.0.is_empty() { None } else { Some(self.0.remove(0)) })
        }
    }

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap_or_default())
    }

    /// `printf 'hello world\n' | git hash-object --stdin`, and the same with sha256sum.
    fn hello() -> [Digest; 2] {
        [
            Digest::GitSha1(bytes("3b18e512dba79e4c8300dd08aeb37f8e728b8dad")),
            Digest::Sha256(bytes("a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447")),
        ]
    }

    fn verified(digest: Digest, size: Option<u64>, chunks: &[&str]) -> Verified<Chunks> {
        let chunks = Chunks(chunks.iter().map(|c| c.as_bytes().to_vec()).collect());
        Verified::new("a.txt", chunks, &FileInfo { size, digest: Some(digest), tag: None })
    }

    #[test]
    fn git_and_sha256sum_agree() {
        for digest in hello() {
            let mut stream = verified(digest, Some(12), &["hello ", "world\n"]);
            for want in [Some(6), Some(6), None, None] {
                assert_eq!(pollster::block_on(stream.next()).unwrap().map(|c| c.len()), want);
            }
        }
        assert!(Hasher::new(hello()[0], None).is_none());
    }

    #[test]
    fn a_wrong_byte_keeps_the_last_chunk_back_for_good() {
        for digest in hello() {
            let mut stream = verified(digest, Some(12), &["hello ", "World\n"]);
            assert!(pollster::block_on(stream.next()).is_ok());
            for _ in 0..3 {
                let error = pollster::block_on(stream.next()).unwrap_err();
                assert_eq!(error.code(), "integrity");
                assert!(error.to_string().contains(&format!("expected {digest}")), "{error}");
            }
        }
    }

    #[test]
    fn too_few_and_too_many_bytes() {
        for (chunks, words) in [(vec!["hello"], "has 5 bytes, expected 12"), (vec!["hello world\n", "!"], "has 13")] {
            let mut stream = verified(hello()[1], Some(12), &chunks);
            assert!(pollster::block_on(stream.next()).is_ok());
            let error = pollster::block_on(stream.next()).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn without_a_size_the_end_tells() {
        let mut stream = verified(hello()[1], None, &["hello world"]);
        assert!(pollster::block_on(stream.next()).is_ok());
        assert_eq!(pollster::block_on(stream.next()).unwrap_err().code(), "integrity");
    }
}
