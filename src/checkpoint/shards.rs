//! Which files a checkpoint consists of.

use std::collections::{BTreeMap, BTreeSet};

use super::Header;
use crate::collect::inserted;
use crate::error::{Error, Result};
use crate::hub::{self, Source};

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
/// Largest index accepted, in bytes; that of a 4B model has 33 thousand.
const MAX_INDEX: usize = 32 << 20;

/// The files of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// `model.safetensors`.
    Single,
    /// Shards named by `model.safetensors.index.json`.
    Sharded(ShardIndex),
    /// All shards of a set, by their names in order, where there is no index: their headers say what is in them.
    Unindexed(Vec<String>),
}

/// `model.safetensors.index.json`: the shard each tensor is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct RawIndex {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// The single file where the listing has it, as transformers has it; otherwise what the index says; and where there is
    /// neither, shards by their names, `model-00001-of-00003.safetensors` and so on.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] if the index is malformed, [`Error::NotFound`] naming a shard that is not there;
    /// otherwise what kept a file from being read.
    pub async fn find(source: &impl Source) -> Result<Self> {
        let names = source.list().await?;
        if names.as_ref().is_some_and(|names| names.iter().any(|name| name == SINGLE)) {
            return Ok(Self::Single);
        }
        if let Some(json) = hub::read_optional(source, INDEX, MAX_INDEX).await? {
            return ShardIndex::parse(&json).map(Self::Sharded);
        }
        match names {
            Some(names) => Self::shards(&names),
            None => Ok(Self::Single),
        }
    }

    /// The shards among `names`; the single file, which is not there, if there are none.
    fn shards(names: &[String]) -> Result<Self> {
        let numbered = names.iter().filter_map(|name| Some((hub::shard_number(name)?, name)));
        let shards: BTreeMap<(u32, u32), &String> = inserted(numbered.map(|((n, of), name)| ((of, n), name)));
        let Some((&(total, _), first)) = shards.first_key_value() else { return Ok(Self::Single) };
        if let Some(other) = shards.iter().find(|((of, _), _)| *of != total).map(|(_, name)| name) {
            let message = format!("is beside {first}, which is of another set, and there is no {INDEX}");
            return Err(Error::checkpoint(other.as_str(), message));
        }
        let missing = (1..=total).find(|n| !shards.contains_key(&(total, *n)));
        if let Some(missing) = missing {
            let file = hub::shard_name(first, missing).unwrap_or_default();
            let place = format!("the model, which has {} of the {total} shards and no {INDEX}", shards.len());
            return Err(Error::NotFound { file, place });
        }
        Ok(Self::Unindexed(shards.into_values().cloned().collect()))
    }

    /// The file that says which tensors there are.
    pub fn index(&self) -> &'static str {
        match self {
            Self::Single => SINGLE,
            Self::Sharded(_) => INDEX,
            Self::Unindexed(_) => "model-*.safetensors",
        }
    }

    /// The files' paths within the model, in order.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Self::Single => vec![SINGLE],
            Self::Sharded(index) => {
                inserted::<_, BTreeSet<_>>(index.weight_map.values().map(String::as_str)).into_iter().collect()
            }
            Self::Unindexed(shards) => shards.iter().map(String::as_str).collect(),
        }
    }
}

impl ShardIndex {
    /// Parses the index.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] if it is not JSON, lacks `weight_map`, or names a shard outside the folder.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let raw: RawIndex = serde_json::from_slice(json).map_err(|e| Error::checkpoint(INDEX, e.to_string()))?;
        if raw.weight_map.is_empty() {
            return Err(Error::checkpoint(INDEX, "weight_map is empty"));
        }
        for (tensor, shard) in &raw.weight_map {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if !shard.ends_with(".safetensors") || shard.starts_with('.') || !shard.chars().all(plain) {
                let message = format!("tensor {tensor}: {shard:?} is not the name of a .safetensors file beside it");
                return Err(Error::checkpoint(INDEX, message));
            }
        }
        Ok(Self { weight_map: raw.weight_map })
    }

    /// The file that `tensor` is in.
    pub fn file(&self, tensor: &str) -> Option<&str> {
        self.weight_map.get(tensor).map(String::as_str)
    }

    /// Everything it lists for `file`, whose header is `header`, is there.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming a tensor that is not.
    pub fn check(&self, file: &str, header: &Header) -> Result<()> {
        let there: BTreeSet<&str> = inserted(header.tensors.iter().map(|t| t.name.as_str()));
        let listed = self.weight_map.iter().filter(|(_, in_file)| *in_file == file);
        match listed.map(|(tensor, _)| tensor.as_str()).find(|tensor| !there.contains(tensor)) {
            None => Ok(()),
            Some(tensor) => {
                Err(Error::checkpoint(INDEX, format!("tensor {tensor} is not in the shard it is listed in")))
            }
        }
    }

    /// The tensors it lists.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.weight_map.keys().map(String::as_str)
    }
}
