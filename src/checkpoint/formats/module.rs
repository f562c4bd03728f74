//! The tensors of one module: looked up by suffix, checked against the shape, gathered as the parts of a matrix.

use std::collections::BTreeMap;

use crate::checkpoint::Tensor;
use crate::error::{Error, Result};
use crate::numbers::Float;

/// Named in errors about a tensor that is in no file.
const SOMEWHERE: &str = "model.safetensors";

/// A module whose storage is being worked out.
pub(super) struct StoredModule<'a> {
    pub(super) name: &'a str,
    /// `[N, K]`.
    pub(super) shape: [u64; 2],
    tensors: &'a BTreeMap<String, Tensor>,
    names: Vec<String>,
    parts: Vec<TensorPart>,
}

/// A tensor that is needed to decode.
#[derive(Clone, Debug)]
pub(super) struct TensorPart {
    file: std::sync::Arc<str>,
    bytes: u64,
}

impl<'a> StoredModule<'a> {
    pub(super) fn new(name: &'a str, shape: [u64; 2], tensors: &'a BTreeMap<String, Tensor>) -> Self {
        Self { name, shape, tensors, names: Vec::new(), parts: Vec::new() }
    }

    /// The module's tensor `suffix`.
    pub(super) fn get(&self, suffix: &str) -> Option<&'a Tensor> {
        self.tensors.get(&format!("{}.{suffix}", self.name))
    }

    /// An error about the module's tensor `suffix`.
    pub(super) fn wrong(&self, suffix: &str, message: impl std::fmt::Display) -> Error {
        let file = self.get(suffix).map_or(SOMEWHERE, |tensor| &tensor.file);
        Error::checkpoint(file, format!("tensor {}.{suffix}: {message}", self.name))
    }

    /// The module's tensor `suffix`, which must be there.
    pub(super) fn need(&self, suffix: &str) -> Result<&'a Tensor> {
        self.get(suffix).ok_or_else(|| self.wrong(suffix, "is missing"))
    }

    /// The module's tensor `suffix`, of one of `dtypes` and one of `shapes`, as a part. Returns its index.
    pub(super) fn part(&mut self, suffix: &str, dtypes: &[&str], shapes: &[&[u64]]) -> Result<usize> {
        let tensor = self.need(suffix)?;
        if !dtypes.contains(&tensor.dtype.as_str()) {
            return Err(self.wrong(suffix, format!("dtype is {}, allowed is {}", tensor.dtype, dtypes.join(", "))));
        }
        if !shapes.contains(&tensor.shape.as_slice()) {
            let allowed: Vec<String> = shapes.iter().map(|s| format!("{s:?}")).collect();
            return Err(self.wrong(suffix, format!("shape is {:?}, allowed is {}", tensor.shape, allowed.join(", "))));
        }
        self.names.push(format!("{}.{suffix}", self.name));
        self.parts.push(TensorPart { file: tensor.file.clone(), bytes: tensor.bytes });
        Ok(self.parts.len() - 1)
    }

    /// As [`StoredModule::part`], for numbers.
    pub(super) fn numbers(&mut self, suffix: &str, shapes: &[&[u64]]) -> Result<(usize, Float)> {
        let part = self.part(suffix, &["F32", "F16", "BF16"], shapes)?;
        let number = Float::parse(&self.need(suffix)?.dtype);
        Ok((part, number.ok_or_else(|| self.wrong(suffix, "is not numbers"))?))
    }

    /// The weight as it is, in numbers.
    pub(super) fn plain(&mut self) -> Result<Float> {
        let shape = self.shape;
        Ok(self.numbers("weight", &[&shape])?.1)
    }

    /// The part of the bias vector `[N]`, if the module has one.
    pub(super) fn bias(&mut self) -> Result<Option<usize>> {
        let rows = self.shape[0];
        self.get("bias").map(|_| Ok(self.numbers("bias", &[&[rows]])?.0)).transpose()
    }

    pub(super) fn into_parts(self) -> (Vec<String>, Vec<TensorPart>) {
        (self.names, self.parts)
    }
}

/// The bytes of a matrix's parts.
pub(super) struct Parts<'a> {
    pub(super) names: &'a [String],
    pub(super) parts: &'a [TensorPart],
    pub(super) bytes: &'a [&'a [u8]],
}

impl Parts<'_> {
    /// An error about one part.
    pub(super) fn wrong(&self, part: usize, message: impl std::fmt::Display) -> Error {
        Error::checkpoint(&*self.parts[part].file, format!("tensor {}: {message}", self.names[part]))
    }

    /// Every part, but the one that is done `without`, has the bytes its header promised: all that follows may index by the header's shapes.
    pub(super) fn check_sizes(&self, without: Option<usize>) -> Result<()> {
        for (i, (bytes, part)) in self.bytes.iter().zip(self.parts).enumerate() {
            if bytes.len() as u64 != part.bytes && without != Some(i) {
                return Err(self.wrong(i, format!("{} bytes given, its header says {}", bytes.len(), part.bytes)));
            }
        }
        Ok(())
    }

    /// The little-endian word at `index` of a part of 32-bit words.
    pub(super) fn word(&self, part: usize, index: usize) -> u32 {
        let bytes = &self.bytes[part][4 * index..][..4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}
