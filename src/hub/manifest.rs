//! What a repository's commit holds, as the Hub's API tells it.

use std::collections::BTreeMap;
use std::fmt;

/// A digest that a file's bytes must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-256 of the bytes: what the Hub knows of large files (git-lfs).
    Sha256([u8; 32]),
    /// SHA-1 of `blob {size}\0` and the bytes: git's name of a small file.
    GitSha1([u8; 20]),
}

impl fmt::Display for Digest {
    /// `sha256:` or `git-sha1:`, and lower-case hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes): (_, &[u8]) = match self {
            Self::Sha256(bytes) => ("sha256", bytes),
            Self::GitSha1(bytes) => ("git-sha1", bytes),
        };
        write!(f, "{name}:")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is known of a file before its bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Bytes.
    pub size: Option<u64>,
    /// What its bytes must hash to; `None` on a host without a manifest.
    pub digest: Option<Digest>,
    /// The strong ETag, or else Last-Modified, of a host without a manifest.
    pub tag: Option<String>,
}

/// The files of one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The commit that the revision stood for, 40 hex digits.
    pub commit: String,
    /// Every file by its path within the model.
    pub files: BTreeMap<String, Entry>,
}
