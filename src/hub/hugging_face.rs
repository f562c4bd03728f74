//! What Hugging Face's own tools have left on this machine, and what they are told by the environment.
//!
//! Names and places are those of `huggingface_hub` (its `constants.py` and `file_download.py`): models are in
//! `{HF_HUB_CACHE}/models--{owner}--{name}`, where `refs/{revision}` names a commit, `snapshots/{commit}` has its files,
//! and an empty `.no_exist/{commit}/{file}` says that the Hub has no such file.

use std::path::{Path, PathBuf};

use super::names::{shard_name, shard_number};
use super::repository::{HUB, Repository};

/// Largest file of a token, or of a reference, that is read, in bytes.
const MAX_LINE: u64 = 4096;
/// Largest `modules.json`, or index of shards, that is read, in bytes.
const MAX_JSON: u64 = 32 << 20;

/// The access token for `endpoint` (`None` is the Hugging Face Hub): `HF_TOKEN`, or else what the file that
/// `HF_TOKEN_PATH` names holds, or else, for that Hub alone, the one that `hf auth login` has kept. None is sent unasked
/// where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
pub fn token(endpoint: Option<&str>) -> Option<String> {
    if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return None;
    }
    let given = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(text);
    if given.is_some() {
        return given;
    }
    if let Some(path) = text("HF_TOKEN_PATH") {
        return line(Path::new(&path));
    }
    // What was kept at a login is the Hub's, and no other server is to see it.
    let of_hub = endpoint.is_none_or(|endpoint| endpoint.trim_end_matches('/') == HUB);
    line(&home().filter(|_| of_hub)?.join("token"))
}

/// Whether no server is to be asked: `HF_HUB_OFFLINE`, or `TRANSFORMERS_OFFLINE`.
pub fn is_offline() -> bool {
    is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE")
}

/// A model in Hugging Face's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCopy {
    /// The folder of its files.
    pub folder: PathBuf,
    /// The commit that they are of.
    pub commit: String,
    /// A file that it should have and has not; `None` if it is whole.
    pub missing: Option<String>,
}

/// The copy in Hugging Face's cache of `revision` (a branch, tag or commit; `None` is `main`) of the model `id`, if any of
/// it is there. What a branch stands for is what it stood for when the files were fetched.
pub fn local_copy(id: &str, revision: Option<&str>) -> Option<LocalCopy> {
    let repository = Repository { id: id.into(), revision: revision.map(String::from), ..Repository::default() };
    let address = repository.address().ok()?;
    let model = hub_cache()?.join(format!("models--{}", address.id.replace('/', "--")));
    let is_commit = |name: &str| name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let commit = match is_commit(&address.revision) {
        true => address.revision,
        false => line(&model.join("refs").join(&address.revision)).filter(|commit| is_commit(commit))?,
    };
    let folder = model.join("snapshots").join(&commit);
    if !folder.is_dir() {
        return None;
    }
    let missing = missing(&folder, &model.join(".no_exist").join(&commit));
    Some(LocalCopy { folder, commit, missing })
}

/// Where Hugging Face's tools keep what they fetch; `None` where there is no home for it.
pub fn hub_cache() -> Option<PathBuf> {
    let named = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"].into_iter().find_map(text).map(|path| expanded(&path));
    named.or_else(|| Some(home()?.join("hub")))
}

fn home() -> Option<PathBuf> {
    let in_caches = || {
        Some(
            text("XDG_CACHE_HOME")
                .map(|path| expanded(&path))
                .or_else(|| Some(user()?.join(".cache")))?
                .join("huggingface"),
        )
    };
    text("HF_HOME").map(|path| expanded(&path)).or_else(in_caches)
}

fn user() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// A path with the user's home in place of a `~` before it.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), user()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => path.into(),
    }
}

/// A variable of the environment, unless it is empty.
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Whether a variable says yes, in the words that huggingface_hub takes for it.
fn is_set(name: &str) -> bool {
    text(name).is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str()))
}

/// What a small file holds, without the spaces around it.
fn line(path: &Path) -> Option<String> {
    let small = std::fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() <= MAX_LINE);
    let text = if small { std::fs::read_to_string(path).ok()? } else { return None };
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The first file that a whole model in `folder` lacks. A download that broke off, or that fetched only what another
/// tool needs, is no copy: without `modules.json` a model would load and pool in another way. `absent` has the names of
/// files that the Hub has not either.
fn missing(folder: &Path, absent: &Path) -> Option<String> {
    let there = |file: &str| folder.join(file).is_file();
    let settled = |file: &str| there(file) || absent.join(file).is_file();
    let lacks = |file: &str| Some(file.to_owned());
    if !there("config.json") {
        return lacks("config.json");
    }
    if !settled("modules.json") {
        return lacks("modules.json");
    }
    if !there("tokenizer.json") && !(there("vocab.json") && there("merges.txt")) {
        return lacks("tokenizer.json");
    }
    modules(folder).into_iter().find(|file| !settled(file)).or_else(|| {
        // model-00001-of-00003.safetensors says how many there are, and so does the index.
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let one =
            names.filter_map(|entry| entry.file_name().into_string().ok()).find(|name| shard_number(name).is_some());
        let Some(one) = one else { return (!there("model.safetensors")).then(|| "model.safetensors".into()) };
        let (_, total) = shard_number(&one)?;
        let missing = (1..=total).filter_map(|n| shard_name(&one, n)).find(|shard| !there(shard));
        missing.or_else(|| (!settled("model.safetensors.index.json")).then(|| "model.safetensors.index.json".into()))
    })
}

/// The settings of the modules that have such: pooling and projections.
fn modules(folder: &Path) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Module {
        path: String,
        #[serde(rename = "type")]
        kind: String,
    }
    let path = folder.join("modules.json");
    let small = std::fs::metadata(&path).is_ok_and(|about| about.len() <= MAX_JSON);
    let json = if small { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
    // One that cannot be read is reported when the model is loaded.
    let modules: Vec<Module> = serde_json::from_slice(&json).unwrap_or_default();
    let kinds = ["Pooling", "Dense"];
    let with_settings = modules.into_iter().filter(|m| kinds.iter().any(|kind| m.kind.ends_with(kind)));
    with_settings
        .map(|module| format!("{}/config.json", module.path.trim_matches('/')))
        .map(|p| p.trim_start_matches('/').to_owned())
        .collect()
}
