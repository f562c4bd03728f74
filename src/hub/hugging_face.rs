//! What Hugging Face's own tools have left on this machine.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::repository::{HUB, Repository};

/// The access token for `endpoint` (`None` is the Hugging Face Hub): `HF_TOKEN`, or else, for that Hub alone, the one
/// that `hf auth login` has kept.
pub fn token(endpoint: Option<&str>) -> Option<String> {
    let given = std::env::var("HF_TOKEN").ok().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let of_hub = endpoint.is_none_or(|endpoint| endpoint.trim_end_matches('/') == HUB);
    given.or_else(|| cache().filter(|_| of_hub)?.token())
}

/// The folder of Hugging Face's cache that has `revision` (a branch, tag or commit; `None` is `main`) of the model
/// `id`, if the model is whole there: `config.json`, `tokenizer.json`, `modules.json` and every weight file. What a branch stands for is what it stood
/// for when the files were fetched.
pub fn local_copy(id: &str, revision: Option<&str>) -> Option<PathBuf> {
    let repository = Repository { id: id.into(), revision: revision.map(String::from), ..Repository::default() };
    let address = repository.address().ok()?;
    let repo = cache()?.repo(Repo::with_revision(address.id, RepoType::Model, address.revision.clone()));
    let named = repo.get("config.json").and_then(|config| Some(config.parent()?.to_owned()));
    let folder = named.unwrap_or_else(|| repo.pointer_path(&address.revision));
    is_whole(&folder).then_some(folder)
}

/// Hugging Face's cache; `None` where there is no home to keep it in.
fn cache() -> Option<Cache> {
    let home = std::env::var_os("HF_HOME").is_some() || std::env::home_dir().is_some_and(|h| !h.as_os_str().is_empty());
    home.then(Cache::from_env)
}

/// A download that broke off, or that fetched only what another tool needs, is no copy: without `modules.json` a model
/// would load and pool in another way.
fn is_whole(folder: &Path) -> bool {
    let there = |file: &str| folder.join(file).is_file();
    if !["config.json", "tokenizer.json", "modules.json"].into_iter().all(there) {
        return false;
    }
    // model-00001-of-00003.safetensors says how many there are.
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let shards = names.filter_map(|entry| total_of(entry.file_name().to_str()?)).max();
    match shards {
        None => there("model.safetensors"),
        Some(total) => {
            let shard = |n| format!("model-{n:05}-of-{total:05}.safetensors");
            there("model.safetensors.index.json") && (1..=total).all(|n| there(&shard(n)))
        }
    }
}

/// The number of shards in the name of one.
fn total_of(name: &str) -> Option<u32> {
    name.strip_prefix("model-")?.strip_suffix(".safetensors")?.split_once("-of-")?.1.parse().ok()
}
