//! Listing and removing what is in the cache.

use serde::Serialize;

use super::refs::{self, Ref};
use super::store::{FileStore, LockMode};
use crate::error::{Error, Result};
use crate::hub::StoreLock;

/// A revision of a model in the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CachedRevision {
    /// The model's id.
    pub id: String,
    /// The server's address.
    pub endpoint: String,
    /// The commit; the revision as it was asked for, where the server has no commits.
    pub revision: String,
    /// What was asked for and meant this revision when it was last loaded: branches, tags.
    pub names: Vec<String>,
    /// Bytes it takes. What two revisions share is counted for each.
    pub bytes: u64,
    /// Files it has.
    pub files: usize,
    /// Whether it can be loaded without a network.
    pub complete: bool,
    /// When it was first written, in milliseconds since 1970.
    pub saved: u64,
    /// When it was last loaded, in milliseconds since 1970.
    pub used: u64,
}

/// Every revision of every model in the cache.
///
/// # Errors
/// The reason the store could not be read.
pub async fn list(store: &impl FileStore) -> Result<Vec<CachedRevision>> {
    let blobs = store.list().await?;
    Ok(refs::all(store).await?.into_iter().map(|r| kept(r, &blobs)).collect())
}

fn kept(r: Ref, blobs: &[(String, u64)]) -> CachedRevision {
    let there = |key: &String, size: Option<u64>| {
        let name = refs::blob(key);
        blobs.iter().any(|(n, bytes)| *n == name && size.is_none_or(|size| size == *bytes))
    };
    let whole = r.files.values().all(|f| there(&f.key, Some(f.size)) || f.derived.iter().any(|key| there(key, None)));
    let bytes = blobs.iter().filter(|(name, _)| owns(&r, name) && !is_sums(name)).map(|(_, size)| size).sum();
    let (files, complete) = (r.files.len(), r.complete && whole);
    let Ref { id, endpoint, revision, names, saved, used, .. } = r;
    CachedRevision { id, endpoint, revision, names, bytes, files, complete, saved, used }
}

/// Whether the file `name` of the store is one of `r`'s blobs, or a part of one, or made of one.
fn owns(r: &Ref, name: &str) -> bool {
    let Some(name) = name.strip_prefix("blobs/") else { return false };
    let rest = |key: &str| name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']));
    r.files.values().any(|file| rest(&file.key))
}

/// Sums of blocks are the cache's own, a 65,536th of what they are of, and not counted.
fn is_sums(name: &str) -> bool {
    name.ends_with(".sums")
}

/// Removes the model `id`, or only its `revision` (a commit, or a name it was asked for by) or what came from
/// `endpoint`, and gives the bytes that were freed. Files that another model has too stay.
///
/// # Errors
/// [`Error::InUse`] if somebody is loading it or reads its files; nothing is removed then.
pub async fn delete(store: &impl FileStore, id: &str, revision: Option<&str>, endpoint: Option<&str>) -> Result<u64> {
    let endpoint = endpoint.map(|e| e.trim_end_matches('/'));
    let meant = |r: &Ref| {
        let named = |revision: &str| r.revision == revision || r.names.iter().any(|name| name == revision);
        r.id == id && revision.is_none_or(named) && endpoint.is_none_or(|e| r.endpoint == e)
    };
    remove(store, meant).await
}

/// Removes everything, and gives the bytes that were freed.
///
/// # Errors
/// As [`delete`].
pub async fn clear(store: &impl FileStore) -> Result<u64> {
    remove(store, |_| true).await
}

async fn remove(store: &impl FileStore, meant: impl Fn(&Ref) -> bool) -> Result<u64> {
    let _lock = refs::lock(store).await?;
    let refs: Vec<Ref> = refs::all(store).await?.into_iter().filter(meant).collect();
    let mut locks = Vec::new();
    for r in &refs {
        locks.push(free(store, r).await?.ok_or_else(|| Error::InUse { what: r.id.clone() })?);
    }
    for r in &refs {
        store.remove(&r.name()).await?;
    }
    sweep(store).await
}

/// An exclusive lock on a model; `None` if it is in use.
async fn free(store: &impl FileStore, r: &Ref) -> Result<Option<StoreLock>> {
    store.lock(&r.name(), LockMode::Exclusive, None).await
}

/// Takes the name `asked` from every revision but `new`, and removes those that are left without one.
pub(super) async fn supersede(store: &impl FileStore, new: &Ref, asked: &str) -> Result<()> {
    let _lock = refs::lock(store).await?;
    let same = |r: &Ref| r.endpoint == new.endpoint && r.id == new.id && r.revision != new.revision;
    for mut old in refs::all(store).await?.into_iter().filter(same) {
        if !old.names.iter().any(|name| name == asked) {
            continue;
        }
        old.names.retain(|name| name != asked);
        if !old.names.is_empty() {
            old.overwrite(store).await?;
        } else if free(store, &old).await?.is_some() {
            store.remove(&old.name()).await?;
        }
    }
    sweep(store).await.map(|_| ())
}

/// Removes the blobs that no ref has, and what crashes left. Gives the bytes that were freed. The caller has the lock
/// of all refs: a ref is written before its blobs, so none can be new.
async fn sweep(store: &impl FileStore) -> Result<u64> {
    let files = store.list().await?;
    let refs = refs::all(store).await?;
    let mut freed = 0;
    for (name, size) in files {
        let unfinished = name.starts_with("refs/") && !name.ends_with(".json");
        let orphan = name.starts_with("blobs/") && !refs.iter().any(|r| owns(r, &name));
        // A file that cannot be removed now is removed by a later sweep.
        if (unfinished || orphan) && store.remove(&name).await.is_ok() {
            freed += if is_sums(&name) { 0 } else { size };
        }
    }
    Ok(freed)
}
