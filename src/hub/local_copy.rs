//! What Hugging Face's own tools have left on this machine, and what they are told by the environment.
//!
//! Names and places are those of `huggingface_hub` (its `constants.py` and `file_download.py`): models are in
//! `{HF_HUB_CACHE}/models--{owner}--{name}`, where `refs/{revision}` names a commit, `snapshots/{commit}` has its files,
//! an empty `.no_exist/{commit}/{file}` says that the Hub has no such file, and `trees/{commit}.json` lists those that it
//! has, if the tools were new enough to write it (`_tree_cache.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::names::{shard_name, shard_number};
use super::repository::{HUB, Repository};

/// Largest file of a token, or of a reference, that is read, in bytes.
const MAX_LINE: u64 = 4096;
/// Largest `modules.json`, or list of files, that is read, in bytes.
const MAX_JSON: u64 = 32 << 20;
/// What of a model is read where it is there, so that a copy without it would be another model.
const SETTINGS: [&str; 8] = [
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "model.safetensors",
    "model.safetensors.index.json",
];

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

/// The variable that says that no server is to be asked, `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`, if one is set.
pub fn offline_variable() -> Option<&'static str> {
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| is_set(name))
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
    let missing = Copy::new(&model, &commit, &folder).missing();
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

/// A JSON file of a size that is sensible; `None` if it is not there or something else.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let small = std::fs::metadata(path).is_ok_and(|about| about.len() <= MAX_JSON);
    let bytes = if small { std::fs::read(path).ok()? } else { return None };
    serde_json::from_slice(&bytes).ok()
}

/// What there is of a commit.
struct Copy<'a> {
    folder: &'a Path,
    /// Has the names of files that the Hub has not.
    absent: PathBuf,
    /// Every file that the Hub has, if that is known.
    listed: Option<Vec<String>>,
}

impl<'a> Copy<'a> {
    fn new(model: &Path, commit: &str, folder: &'a Path) -> Self {
        #[derive(serde::Deserialize)]
        struct CommitFiles {
            format_version: u32,
            files: BTreeMap<String, serde::de::IgnoredAny>,
        }
        let tree: Option<CommitFiles> = json(&model.join("trees").join(format!("{commit}.json")));
        let listed = tree.filter(|tree| tree.format_version == 1).map(|tree| tree.files.into_keys().collect());
        Self { folder, absent: model.join(".no_exist").join(commit), listed }
    }

    fn has(&self, file: &str) -> bool {
        self.folder.join(file).is_file()
    }

    /// It is there, or the Hub has it not either.
    fn settles(&self, file: &str) -> bool {
        let unlisted = self.listed.as_ref().is_some_and(|listed| listed.iter().all(|name| name != file));
        self.has(file) || unlisted || self.absent.join(file).is_file()
    }

    /// The first file that it lacks. A download that broke off, or that fetched only what another tool needs, is no copy:
    /// without `modules.json` a model would load and pool in another way.
    fn missing(&self) -> Option<String> {
        let lacks = |file: &str| Some(file.to_owned());
        if !self.has("config.json") {
            return lacks("config.json");
        }
        let tokenizer = self.has("tokenizer.json") || (self.has("vocab.json") && self.has("merges.txt"));
        if !tokenizer {
            return lacks("tokenizer.json");
        }
        if !self.settles("modules.json") {
            return lacks("modules.json");
        }
        let listed = self.listed.iter().flatten().filter(|name| SETTINGS.contains(&name.as_str()));
        let needed = self.modules().into_iter().chain(listed.cloned());
        needed.into_iter().find(|file| !self.settles(file)).or_else(|| self.missing_weights())
    }

    /// The settings of the modules that have such: pooling and projections.
    fn modules(&self) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Module {
            path: String,
            #[serde(rename = "type")]
            kind: String,
        }
        // One that cannot be read is reported when the model is loaded.
        let modules: Vec<Module> = json(&self.folder.join("modules.json")).unwrap_or_default();
        let with_settings =
            modules.iter().filter(|module| ["Pooling", "Dense"].iter().any(|kind| module.kind.ends_with(kind)));
        let path = |module: &Module| format!("{}/config.json", module.path.trim_matches('/'));
        with_settings.map(|module| path(module).trim_start_matches('/').to_owned()).collect()
    }

    /// `model-00001-of-00003.safetensors` says how many there are.
    fn missing_weights(&self) -> Option<String> {
        let names = std::fs::read_dir(self.folder).into_iter().flatten().flatten();
        let shard = names.filter_map(|e| e.file_name().into_string().ok()).find(|name| shard_number(name).is_some());
        let Some(shard) = shard else { return (!self.has("model.safetensors")).then(|| "model.safetensors".into()) };
        let (_, total) = shard_number(&shard)?;
        let missing = (1..=total).filter_map(|n| shard_name(&shard, n)).find(|shard| !self.has(shard));
        let index = "model.safetensors.index.json";
        missing.or_else(|| (!self.settles(index)).then(|| index.into()))
    }
}
