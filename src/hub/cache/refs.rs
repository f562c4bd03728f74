//! What the cache knows of a model: which files it has, and where they are kept.
//!
//! The cache has two folders. `blobs/` has files by what is in them:
//!
//! - `blobs/{key}`, whole and verified; the key is [`key`]'s,
//! - `blobs/{key}.part`, the first bytes of one that is being loaded,
//! - `blobs/{key}.sums`, a sum for each block of one,
//! - `blobs/{key}-{form}`, what was made of one, such as its quantized form.
//!
//! `refs/` has a [`Ref`] for each revision of each model, as JSON. A blob that no ref names belongs to nobody. The
//! same is read and written in `js/storage/cache.ts`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use web_time::{SystemTime, UNIX_EPOCH};

use super::store::{FileStore, checked};
use crate::error::{Error, Result};
use crate::hub::{Digest, FileInfo};

/// The version of this layout. Refs of any other are not read.
const VERSION: u32 = 1;
/// Most bytes of a ref; it has some hundred for each file.
const MOST: u64 = 4 << 20;

/// A revision of a model in the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ref {
    version: u32,
    /// The model's id.
    pub id: String,
    /// The server's address.
    pub endpoint: String,
    /// The commit; the revision as it was asked for, where the server has no commits.
    pub revision: String,
    /// What was asked for and meant this revision when it was last loaded: branches, tags.
    pub names: Vec<String>,
    /// Whether it was loaded to the end: it has all that loading needs.
    pub complete: bool,
    /// When it was first written, in milliseconds since 1970.
    pub saved: u64,
    /// When it was last loaded, in milliseconds since 1970.
    pub used: u64,
    /// The files that loading has asked for, by their paths within the model.
    pub files: BTreeMap<String, FileRef>,
}

/// A file of a model in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRef {
    /// Its blob's name.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The keys of what was made of it. If there is any, the file itself may have been removed.
    #[serde(default)]
    pub derived: Vec<String>,
}

impl Ref {
    /// A revision nothing is known of yet.
    pub(super) fn new(endpoint: &str, id: &str, revision: &str) -> Self {
        let (endpoint, id, revision) = (endpoint.into(), id.into(), revision.into());
        Self { version: VERSION, id, endpoint, revision, saved: now(), used: now(), ..Default::default() }
    }

    /// Its own name in the store. A part to be read by people, and a part that no two share.
    pub(super) fn name(&self) -> String {
        let unique = sha2::Sha256::digest(format!("{}\n{}\n{}", self.endpoint, self.id, self.revision));
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '.' };
        let label: String = self.id.replace('/', "--").chars().map(plain).take(80).collect();
        format!("refs/{}-{}.json", label.trim_start_matches('.'), hex(&unique[..8]))
    }

    /// Takes what another tab or process has meanwhile written of the same revision.
    fn merge(&mut self, other: Self) {
        self.complete |= other.complete;
        self.saved = self.saved.min(other.saved);
        self.used = self.used.max(other.used);
        self.names.extend(other.names);
        self.names.sort_unstable();
        self.names.dedup();
        for (path, theirs) in other.files {
            let ours = self.files.entry(path).or_insert_with(|| theirs.clone());
            if ours.key == theirs.key {
                ours.derived.extend(theirs.derived);
                ours.derived.sort_unstable();
                ours.derived.dedup();
            }
        }
    }

    /// Writes it, with what others have meanwhile written.
    pub(super) async fn save(&mut self, store: &impl FileStore) -> Result<()> {
        let _lock = lock(store).await?;
        if let Some(theirs) = read(store, &self.name()).await? {
            self.merge(theirs);
        }
        self.overwrite(store).await
    }

    /// Writes it as it is. The caller has the [`lock`].
    pub(super) async fn overwrite(&self, store: &impl FileStore) -> Result<()> {
        let json = serde_json::to_vec(self).map_err(|e| Error::io(self.name(), e))?;
        store.write(&self.name(), &json).await
    }
}

/// The lock without which no ref is written, and no blob removed for want of one.
pub(super) async fn lock(store: &impl FileStore) -> Result<Option<crate::hub::StoreLock>> {
    store.lock("refs/all", super::LockMode::Exclusive, Some(&|| false)).await
}

/// The ref that is called `name`. One that is damaged counts as none, and is removed.
async fn read(store: &impl FileStore, name: &str) -> Result<Option<Ref>> {
    let Some(file) = store.open(name).await? else { return Ok(None) };
    let bytes = if file.size() <= MOST { file.read_at(0, file.size() as usize).await? } else { Vec::new() };
    drop(file);
    let good = |r: &Ref| {
        let blobs = r.files.values().flat_map(|f| f.derived.iter().chain([&f.key]));
        r.version == VERSION && r.name() == name && blobs.into_iter().all(|key| checked(&blob(key)).is_ok())
    };
    let parsed = serde_json::from_slice(&bytes).ok().filter(good);
    if parsed.is_none() {
        store.remove(name).await?;
    }
    Ok(parsed)
}

/// Every ref.
pub(super) async fn all(store: &impl FileStore) -> Result<Vec<Ref>> {
    let mut refs = Vec::new();
    for (name, _) in store.list().await? {
        if name.starts_with("refs/") && name.ends_with(".json") {
            refs.extend(read(store, &name).await?);
        }
    }
    Ok(refs)
}

/// What is known of the model that `revision` was when it was last loaded: the best of what is there.
pub(super) async fn find(store: &impl FileStore, endpoint: &str, id: &str, revision: &str) -> Result<Option<Ref>> {
    let refs = all(store).await?.into_iter();
    let meant = |r: &Ref| r.revision == revision || r.names.iter().any(|name| name == revision);
    let ours = refs.filter(|r| r.endpoint == endpoint && r.id == id && meant(r));
    Ok(ours.max_by_key(|r| (r.complete, r.used)))
}

/// The key of a file in the cache: its digest, or if the server gives none, a hash of its address, version and size.
/// `None` if the server gives no version either, or no size.
pub(super) fn key(url: &str, info: &FileInfo) -> Option<String> {
    let size = info.size?;
    match (&info.digest, &info.tag) {
        (Some(Digest::Sha256(digest)), _) => Some(hex(digest)),
        (Some(Digest::GitSha1(digest)), _) => Some(format!("git-{}", hex(digest))),
        (None, Some(tag)) => Some(format!("tag-{}", hex(&sha2::Sha256::digest(format!("{url}\n{tag}\n{size}"))))),
        (None, None) => None,
    }
}

/// The digest that `key` is; `None` for the key of anything but a file with a digest.
pub(super) fn digest(key: &str) -> Option<Digest> {
    match key.strip_prefix("git-") {
        Some(sha1) => unhex(sha1).map(Digest::GitSha1),
        None => unhex(key).map(Digest::Sha256),
    }
}

/// The name of a blob.
pub(super) fn blob(key: &str) -> String {
    format!("blobs/{key}")
}

/// The name of the first bytes of a blob.
pub(super) fn part(key: &str) -> String {
    format!("blobs/{key}.part")
}

/// The name of the sums of a blob.
pub(super) fn sums(key: &str) -> String {
    format!("blobs/{key}.sums")
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that [`hex`] wrote so.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
