//! What a repository has in place of the files that are read, and what to do about it.

use super::config::module_folders;
use crate::error::Error;
use crate::hub::{self, Source};

/// Files whose absence says that the repository is of another kind.
const NEEDED: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
/// Most files that an error lists.
const SHOWN: usize = 8;
/// Largest `adapter_config.json` read, in bytes.
const MAX_ADAPTER: usize = 4 << 20;

/// The error for a model of `source` that could not be loaded because of `error`: where that says that one of the files
/// every model has is missing, one that also says what there is instead, and what would do.
pub async fn explained(source: &impl Source, error: Error) -> Error {
    let (file, place) = match &error {
        Error::NotFound { file, place } if NEEDED.contains(&file.as_str()) || file.ends_with("/model.safetensors") => {
            (file.as_str(), place.as_str())
        }
        _ => return error,
    };
    let mut names = match source.list().await {
        Ok(Some(names)) => names,
        // Only a Hub lists its files.
        Ok(None) if ["http://", "https://"].iter().any(|scheme| place.starts_with(scheme)) => {
            let check = "the server did not answer as a Hub; check the endpoint, its path, and the model's name";
            return Error::NotFound { file: file.into(), place: format!("{place}: {check}") };
        }
        _ => return error,
    };
    names.sort_unstable();
    if let Some((folder, _)) = file.rsplit_once('/') {
        return of_module(&names, folder, place).unwrap_or(error);
    }
    if let Some(folders) = snapshots(&names).filter(|_| !place.contains("://")) {
        let message =
            format!("{place}, which is a model in Hugging Face's cache; give the folder of its files, {folders}");
        return Error::NotFound { file: file.into(), place: message };
    }
    // They say where the files are that the top lacks.
    let modules = match module_folders(source).await {
        Err(refused @ Error::Unsupported { .. }) => return refused,
        modules => modules.unwrap_or_default(),
    };
    // A path for the commands below; an address is no argument of theirs.
    let model = if place.contains("://") { "MODEL" } else { place };
    // Nobody who has the weights lacks them for being in another form.
    let weights = names.iter().any(|name| is_weights(name));
    let found = |ends: &[&str]| names.iter().find(|name| ends.iter().any(|end| name.ends_with(end)));
    if file == "tokenizer.json" {
        let instead = to_convert("AutoTokenizer", model);
        let has = |name: &str| names.iter().any(|other| other == name);
        let lacks = match (has("vocab.json"), has("merges.txt")) {
            (true, false) => "and merges.txt, which vocab.json needs, is not there either",
            (false, true) => "and vocab.json, which merges.txt needs, is not there either",
            _ => "and neither are vocab.json and merges.txt",
        };
        let place = format!("{place}, {lacks}; {instead}");
        return Error::NotFound { file: file.into(), place };
    }
    if let Some(adapter) = found(&["adapter_model.safetensors", "adapter_model.bin"]).filter(|_| !weights) {
        let base = base_of_adapter(source).await.unwrap_or_else(|| "its base model".into());
        let message = format!(
            "{place} has no weights of its own; merge it into {base} with Python and peft: \
             `AutoPeftModelForFeatureExtraction.from_pretrained(\"{model}\").merge_and_unload().save_pretrained(\"merged\")`"
        );
        return Error::unsupported(format!("an adapter alone ({adapter})"), message);
    }
    if let Some(pickle) = names.iter().find(|name| is_pickle(name)).filter(|_| !weights) {
        let message = format!("allowed is safetensors, which cannot run code; {}", to_convert("AutoModel", model));
        return Error::unsupported(format!("{pickle}, a pickle of weights, in {place}"), message);
    }
    for (end, kind) in [(".gguf", "GGUF"), (".onnx", "ONNX"), (".h5", "TensorFlow"), (".msgpack", "Flax")] {
        if let Some(other) = found(&[end]).filter(|_| !weights) {
            let message = "allowed is safetensors: take the repository it was made from (its card names it), which has \
                           config.json, tokenizer.json and model.safetensors";
            return Error::unsupported(format!("{other}, weights as {kind}, in {place}"), message);
        }
    }
    let mut place = match &names[..] {
        [] => format!("{place}, which is empty"),
        names => {
            let more = names.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{place}, which has {}{more}", names[..names.len().min(SHOWN)].join(", "))
        }
    };
    // A module alone is no model.
    let of_model = |folder: &str| !is_module(folder) && !modules.iter().any(|module| module == folder);
    let folder = |name: &str| name.strip_suffix(file).and_then(|folder| folder.strip_suffix('/')).map(of_model);
    let nested = names.iter().find(|name| folder(name) == Some(true));
    match (file, found(&[".safetensors"]), nested) {
        (_, _, Some(nested)) => place.push_str(&format!("; {nested} is in a folder of its own: give that one")),
        ("model.safetensors", Some(other), None) => {
            place.push_str(&format!("; if {other} has the weights, call it model.safetensors"));
        }
        _ => place.push_str("; a model has config.json, tokenizer.json and model.safetensors"),
    }
    Error::NotFound { file: file.into(), place }
}

/// The error for a module's weights that are not in `folder`, if they are there as a pickle.
fn of_module(names: &[String], folder: &str, place: &str) -> Option<Error> {
    let inside = |name: &&String| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let pickle = names.iter().filter(inside).find(|name| is_pickle(name))?;
    let model = if place.contains("://") { "MODEL" } else { place };
    let message = format!(
        "{folder}/model.safetensors is not there, and allowed is safetensors, which cannot run code; write it with Python \
         and sentence-transformers: `python -c 'from sentence_transformers import SentenceTransformer; \
         SentenceTransformer(\"{model}\").save_pretrained(\"{model}\")'`"
    );
    Some(Error::unsupported(format!("{pickle}, a pickle of weights, in {place}"), message))
}

/// Where the files are if these are the names of a model's folder in Hugging Face's cache: `snapshots/{commit}`.
fn snapshots(names: &[String]) -> Option<String> {
    let folder = |name: &String| Some(name.strip_prefix("snapshots/")?.split_once('/')?.0.to_owned());
    let mut commits: Vec<String> =
        names.iter().filter_map(folder).map(|commit| format!("snapshots/{commit}")).collect();
    commits.dedup();
    (!commits.is_empty()).then(|| commits[..commits.len().min(SHOWN)].join(" or "))
}

/// Whether a folder has a module's name, as sentence-transformers gives them: `1_Pooling`.
fn is_module(folder: &str) -> bool {
    let number = folder.split_once('_').map(|(number, _)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// How to write safetensors, or `tokenizer.json`, with transformers.
fn to_convert(class: &str, model: &str) -> String {
    format!(
        "write it with Python and transformers: \
         `python -c 'from transformers import {class}; {class}.from_pretrained(\"{model}\").save_pretrained(\"{model}\")'`"
    )
}

/// Whether a file has weights in the form that is read.
fn is_weights(name: &str) -> bool {
    name == "model.safetensors" || hub::shard_number(name).is_some()
}

/// Whether a file has weights as a pickle, and not what a training kept beside them.
fn is_pickle(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    let of_training = ["training_args.", "optimizer.", "scheduler.", "rng_state", "scaler."];
    [".bin", ".pt", ".pth", ".ckpt"].iter().any(|end| name.ends_with(end))
        && !of_training.iter().any(|start| name.starts_with(start))
}

/// The name of the model that an adapter was made for.
async fn base_of_adapter(source: &impl Source) -> Option<String> {
    let json = hub::read_optional(source, "adapter_config.json", MAX_ADAPTER).await.ok()??;
    let config: serde_json::Value = serde_json::from_slice(&json).ok()?;
    let name = config.get("base_model_name_or_path")?.as_str()?;
    Some(name.chars().filter(|c| !c.is_control()).take(200).collect())
}
