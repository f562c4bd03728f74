//! What a repository's commit holds, as the Hub's API tells it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::repository::is_path;

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
pub struct FileInfo {
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
    pub files: BTreeMap<String, FileInfo>,
}

/// Most files of a commit; a model has a few dozen.
const MAX_FILES: usize = 100_000;

#[derive(Deserialize)]
struct RawRevision {
    sha: Option<String>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<RawLfs>,
}

#[derive(Deserialize)]
struct RawLfs {
    oid: String,
    size: u64,
}

impl Manifest {
    /// The commit in what `/api/models/{id}/revision/{revision}` answers; `None` if that is JSON of another kind.
    ///
    /// # Errors
    /// In words, if it is not JSON, or its `sha` is no commit.
    pub fn parse_commit(json: &[u8]) -> Result<Option<String>, String> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|e| format!("is not JSON: {e}"))?;
        let Ok(RawRevision { sha: Some(sha) }) = serde_json::from_value(value) else { return Ok(None) };
        if hex::<20>(&sha).is_none() {
            return Err(format!("sha is {:?}, allowed are 40 hex digits", shown(&sha)));
        }
        Ok(Some(sha.to_ascii_lowercase()))
    }

    /// Takes the files of one page of what `/api/models/{id}/tree/{commit}?recursive=true` answers.
    ///
    /// # Errors
    /// In words, if it is not such a page, names a file twice or outside the model, gives one no digest, or if there
    /// are too many.
    pub fn add_page(&mut self, json: &[u8]) -> Result<(), String> {
        let page: Vec<RawEntry> = serde_json::from_slice(json).map_err(|e| format!("is not a list of files: {e}"))?;
        for raw in page {
            if raw.kind != "file" {
                continue;
            }
            let path = shown(&raw.path);
            if !is_path(&raw.path) {
                return Err(format!("{path:?} is not a path within the model"));
            }
            let (size, digest) = match &raw.lfs {
                Some(lfs) => (lfs.size, hex(&lfs.oid).map(Digest::Sha256)),
                None => (raw.size, hex(&raw.oid).map(Digest::GitSha1)),
            };
            if digest.is_none() {
                return Err(format!("{path:?} has no oid"));
            }
            let info = FileInfo { size: Some(size), digest, tag: None };
            if self.files.insert(raw.path.clone(), info).is_some() {
                return Err(format!("{path:?} is listed twice"));
            }
            if self.files.len() > MAX_FILES {
                return Err(format!("lists more than {MAX_FILES} files"));
            }
        }
        Ok(())
    }
}

/// The bytes of exactly `N` pairs of hex digits.
fn hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits: Vec<u32> = digits.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
    if digits.len() == 2 * N { bytes.try_into().ok() } else { None }
}

/// As much of a foreign word as an error repeats.
fn shown(word: &str) -> String {
    word.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::{Digest, FileInfo, Manifest};

    const SHA1: &str = "d670460b4b4aece5915caf5c68d12f560a9fe3e4";
    const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn page(json: &str) -> Result<Manifest, String> {
        let mut manifest = Manifest::default();
        manifest.add_page(json.as_bytes()).map(|()| manifest)
    }

    #[test]
    fn pages_of_the_hub_are_understood() {
        // As recorded from the Hub, with other names.
        let manifest = page(&format!(
            r#"[{{"type":"directory","oid":"{SHA1}","size":0,"path":"1_Pooling"}},
                {{"type":"file","oid":"{SHA1}","size":11,"path":"1_Pooling/config.json"}},
                {{"type":"file","oid":"{SHA1}","size":4,"path":"model.safetensors","xetHash":"ab",
                  "lfs":{{"oid":"{SHA256}","size":4,"pointerSize":134}}}}]"#
        ))
        .unwrap();
        let names: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
        assert_eq!(names, ["1_Pooling/config.json", "model.safetensors"]);
        let FileInfo { size, digest, tag } = &manifest.files["model.safetensors"];
        assert_eq!((*size, tag), (Some(4), &None));
        assert_eq!(digest.unwrap().to_string(), format!("sha256:{SHA256}"));
        let small = manifest.files["1_Pooling/config.json"].digest.unwrap();
        assert!(matches!(small, Digest::GitSha1(_)));
        assert_eq!(small.to_string(), format!("git-sha1:{SHA1}"));
    }

    #[test]
    fn pages_that_lie_are_refused() {
        let text = |path: &str| serde_json::to_string(path).unwrap();
        let file = |path: &str, rest: &str| format!(r#"[{{"type":"file","path":{},"size":1{rest}}}]"#, text(path));
        let oid = format!(r#","oid":"{SHA1}""#);
        for path in ["", "/a", "a//b", "../a", "a/..", ".", "a\0b", "a\\b"] {
            let error = page(&file(path, &oid)).unwrap_err();
            assert!(error.contains("path within"), "{path:?}: {error}");
        }
        for rest in ["", r#","oid":"d670""#, r#","oid":"zz""#, r#","oid":"","lfs":{"oid":"ab","size":1}"#] {
            assert!(page(&file("a", rest)).unwrap_err().contains("no oid"), "{rest}");
        }
        let twice = file("a", &oid).replace("]", ",") + &file("a", &oid)[1..];
        assert!(page(&twice).unwrap_err().contains("twice"));
        for json in ["", "{}", "null", "[1]", r#"[{"type":"file","path":"a","size":-1}]"#, r#"[{"type":"file"}]"#] {
            assert!(page(json).unwrap_err().contains("not a list of files"), "{json}");
        }
    }

    #[test]
    fn revisions() {
        let commit = |json: &str| Manifest::parse_commit(json.as_bytes());
        assert_eq!(commit(&format!(r#"{{"id":"a/b","sha":"{}"}}"#, SHA1.to_uppercase())), Ok(Some(SHA1.into())));
        for json in ["{}", "[]", "1", "null", r#"{"sha":null}"#, r#"{"sha":7}"#] {
            assert_eq!(commit(json), Ok(None), "{json}");
        }
        assert!(commit("<!doctype html>").unwrap_err().contains("not JSON"));
        assert!(commit(r#"{"sha":"main"}"#).unwrap_err().contains("40 hex digits"));
        assert!(commit(&format!(r#"{{"sha":"{SHA1}00"}}"#)).is_err());
    }
}
