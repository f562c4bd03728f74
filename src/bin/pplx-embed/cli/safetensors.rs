//! A small writer of safetensors files, for results of uneven length.

use std::io::Write;
use std::path::Path;

use pplx_embed::{Error, Result};

use super::output;

/// A tensor to write.
pub(crate) struct OutputTensor<'a> {
    pub(crate) name: &'a str,
    /// As safetensors spells it.
    pub(crate) dtype: &'a str,
    pub(crate) shape: Vec<usize>,
    /// Little-endian.
    pub(crate) bytes: Vec<u8>,
}

impl<'a> OutputTensor<'a> {
    /// A tensor of numbers, row after row.
    pub(crate) fn new<T: bytemuck::NoUninit>(name: &'a str, dtype: &'a str, shape: &[usize], numbers: &[T]) -> Self {
        Self { name, dtype, shape: shape.to_vec(), bytes: bytemuck::cast_slice(numbers).to_vec() }
    }

    /// A tensor `[n]` of counts.
    pub(crate) fn counts(name: &'a str, counts: impl Iterator<Item = usize>) -> Self {
        let counts: Vec<i64> = counts.map(|n| n as i64).collect();
        Self::new(name, "I64", &[counts.len()], &counts)
    }
}

/// Refuses a path that is not of a `.safetensors` file, before there is anything to write.
pub(crate) fn check_path(path: Option<&Path>) -> Result<()> {
    match path.filter(|p| p.extension().is_none_or(|e| e != "safetensors")) {
        None => Ok(()),
        Some(path) => {
            let message = format!("{}, allowed is a .safetensors file", path.display());
            Err(Error::InvalidArgument { argument: "--output".into(), message })
        }
    }
}

/// Writes `tensors`, those of wide numbers first, so that each starts at a multiple of its width.
pub(crate) fn write(path: &Path, mut tensors: Vec<OutputTensor<'_>>) -> Result<()> {
    let width = |t: &OutputTensor<'_>| t.bytes.len() / t.shape.iter().product::<usize>().max(1);
    tensors.sort_by_key(|t| std::cmp::Reverse(width(t)));
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for tensor in &tensors {
        let from = end;
        end += tensor.bytes.len();
        let entry = serde_json::json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [from, end]});
        header.insert(tensor.name.into(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    output::whole(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| file.write_all(&tensor.bytes))
    })
}
