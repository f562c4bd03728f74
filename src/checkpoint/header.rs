//! The header of a safetensors file (huggingface/safetensors, "Format").
//!
//! The safetensors crate reads the same; it is not used here because its offsets are `usize`, which on wasm32 cannot
//! name the bytes of a shard beyond 4 GiB, and because it wants the whole file in memory. The tests hold the two
//! against each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::hub::{self, ByteStream, Cursor};

/// Longest header accepted, in bytes: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// The file's path within the model, for errors.
    pub file: Arc<str>,
    /// Its number format as the file spells it, such as `F32`.
    pub dtype: String,
    /// Its axes, outermost first.
    pub shape: Vec<u64>,
    /// Bytes of its data.
    pub bytes: u64,
}

/// The tensors of a file, in the order of their data, which has no gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The tensors.
    pub tensors: Vec<Tensor>,
    /// The byte of the file where their data begins.
    pub data_start: u64,
    /// Bytes of all their data.
    pub data_bytes: u64,
    /// The file's `__metadata__`, empty if it has none.
    pub metadata: BTreeMap<String, String>,
    /// The JSON it was parsed from.
    pub json: Vec<u8>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

#[derive(serde::Deserialize)]
struct Entries {
    #[serde(rename = "__metadata__")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    tensors: BTreeMap<String, Entry>,
}

/// Bits of one number of a safetensors dtype.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "C64" | "F64" | "I64" | "U64" => 64,
        _ => return None,
    })
}

impl Header {
    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.data_start + self.data_bytes
    }

    /// Reads the header at the start of a file, and leaves the cursor at the first byte of data.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] if the header breaks the format or does not fit the file's size, [`Error::Io`] if
    /// the file ends within it.
    pub async fn read<S: ByteStream>(cursor: &mut Cursor<S>) -> Result<Self> {
        let file = cursor.file().to_owned();
        let prefix = cursor.exact(8).await?;
        // The start of a pointer would be the length of a header beyond the limit.
        if hub::POINTER.starts_with(&prefix) {
            let rest = cursor.exact(hub::POINTER.len() as u64 - 8).await?;
            hub::refuse_pointer(&file, &[&prefix[..], &rest].concat())?;
        }
        let length = prefix.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
        let room = cursor.size().map_or(MAX_HEADER, |size| size.saturating_sub(8)).min(MAX_HEADER);
        if length > room {
            return Err(Error::checkpoint(file, format!("header length is {length}, at most {room} is possible")));
        }
        let header = Self::parse(&file, &cursor.exact(length).await?)?;
        let end = header.file_bytes();
        match cursor.size() {
            Some(size) if size != end => {
                Err(Error::checkpoint(file, format!("is {size} bytes long, its header describes {end}")))
            }
            _ => Ok(header),
        }
    }

    /// Parses the JSON of a header; `file` is named in errors.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`]: bad JSON, an unknown dtype, a size that is not its shape's, data that overlaps or
    /// leaves a gap.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self> {
        let entries: Entries =
            serde_json::from_slice(json).map_err(|e| Error::checkpoint(file, format!("header: {e}")))?;
        let metadata = entries.metadata.unwrap_or_default();
        let mut entries: Vec<_> = entries.tensors.into_iter().collect();
        entries.sort_unstable_by(|(a, x), (b, y)| x.data_offsets.cmp(&y.data_offsets).then_with(|| a.cmp(b)));
        let mut tensors = Vec::with_capacity(entries.len());
        let path: Arc<str> = file.into();
        let mut end = 0u64;
        for (name, Entry { dtype, shape, data_offsets: (from, to) }) in entries {
            let wrong = |message: String| Error::checkpoint(file, format!("tensor {name}: {message}"));
            let bits = bits(&dtype).ok_or_else(|| wrong(format!("dtype {dtype} is not one of safetensors'")))?;
            let size = shape.iter().try_fold(1u64, |n, &axis| n.checked_mul(axis)).and_then(|n| n.checked_mul(bits));
            let size = size.ok_or_else(|| wrong(format!("shape {shape:?} overflows")))?;
            if size % 8 != 0 {
                return Err(wrong(format!("shape {shape:?} of {dtype} does not end on a byte")));
            }
            if from != end {
                return Err(wrong(format!("data starts at {from}, the data before it ends at {end}")));
            }
            if to < from || to - from != size / 8 {
                let span = format!("data_offsets [{from}, {to}]");
                return Err(wrong(format!("{span} do not hold the {} bytes of {dtype} {shape:?}", size / 8)));
            }
            end = to;
            tensors.push(Tensor { name, file: path.clone(), dtype, shape, bytes: size / 8 });
        }
        if end > u64::MAX / 2 {
            return Err(Error::checkpoint(file, format!("header describes {end} bytes of data")));
        }
        Ok(Self { tensors, data_start: 8 + json.len() as u64, data_bytes: end, metadata, json: json.to_vec() })
    }
}
