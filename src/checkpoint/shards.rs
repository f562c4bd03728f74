//! Which files a checkpoint consists of.

use std::collections::{BTreeMap, BTreeSet};

use super::Header;
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
    /// Looks for an index, and takes the single file where there is none.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] if the index is malformed; otherwise what kept it from being read.
    pub async fn find(source: &impl Source) -> Result<Self> {
        match hub::read_optional(source, INDEX, MAX_INDEX).await? {
            Some(json) => ShardIndex::parse(&json).map(Self::Sharded),
            None => Ok(Self::Single),
        }
    }

    /// The file that says which tensors there are.
    pub fn index(&self) -> &'static str {
        match self {
            Self::Single => SINGLE,
            Self::Sharded(_) => INDEX,
        }
    }

    /// The files' paths within the model, in order.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Self::Single => vec![SINGLE],
            Self::Sharded(index) => {
                index.weight_map.values().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
            }
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
        let there: BTreeSet<&str> = header.tensors.iter().map(|t| t.name.as_str()).collect();
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
