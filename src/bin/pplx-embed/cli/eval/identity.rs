//! What the vectors of a model depend on, beside the texts.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use pplx_embed::model::ModelInfo;
use pplx_embed::{Error, Result};

/// How deep folders lie in one another in a model's.
const DEPTH: usize = 3;

/// Of a model on the Hub its id and commit (its revision, where the server has no commits); of a folder the name, size
/// and time of change of each file. Also the form that weights are held in, the adapter, whose rounding is its own, and
/// this version.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read.
pub(super) fn identity(model: &str, info: &ModelInfo) -> Result<serde_json::Value> {
    let path = Path::new(model);
    let files = if path.is_dir() { Some(files(path)?) } else { None };
    let id = if files.is_some() { "" } else { model };
    Ok(serde_json::json!({
        "model": id, "revision": info.revision, "files": files, "kind": info.kind, "weights": info.weights.name(),
        "adapter": info.adapter.name, "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// The files under `root`: their paths, sizes in bytes, and times of change in nanoseconds since 1970.
fn files(root: &Path) -> Result<Vec<(String, u64, u128)>> {
    let mut found = Vec::new();
    let mut folders: Vec<(PathBuf, usize)> = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let failed = |e: std::io::Error| Error::Io { file: folder.display().to_string(), message: e.to_string() };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // A link that leads nowhere is nothing that a model was read from.
            let Ok(about) = std::fs::metadata(&path) else { continue };
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if about.is_dir() && depth + 1 < DEPTH {
                folders.push((path, depth + 1));
            } else if about.is_file() && is_of_model(&name) {
                let changed = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                found.push((name, about.len(), changed.map_or(0, |time| time.as_nanos())));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Others, such as a card, change no vector.
fn is_of_model(name: &str) -> bool {
    [".json", ".safetensors", "merges.txt"].iter().any(|end| name.ends_with(end))
}
