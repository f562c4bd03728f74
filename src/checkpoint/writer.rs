//! Safetensors files, written from front to back.

use std::collections::VecDeque;

use super::{Header, Tensor};
use crate::error::{Error, Result};

/// Writes one safetensors file through `append`, which adds bytes to the file's end. Holds no more than it is given.
pub struct ShardWriter<A> {
    file: String,
    append: A,
    /// What is still to come: names, and bytes of each.
    left: VecDeque<(String, u64)>,
}

impl<A: AsyncFnMut(&[u8]) -> Result<()>> ShardWriter<A> {
    /// Begins the file with its header: eight bytes of its length, then JSON padded with spaces to a multiple of eight.
    /// `tensors` are in the order in which their bytes will come; `file` is named in errors.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] if two tensors share a name or one's size is not that of its shape and dtype; what
    /// kept the header from being written.
    pub async fn begin(file: impl Into<String>, tensors: &[Tensor], mut append: A) -> Result<Self> {
        let file = file.into();
        let json = header(tensors);
        // What the reader would refuse is not written.
        let parsed = Header::parse(&file, &json)?;
        if parsed.tensors.len() != tensors.len() {
            return Err(Error::checkpoint(file, "two tensors have the same name"));
        }
        append(&(json.len() as u64).to_le_bytes()).await?;
        append(&json).await?;
        let left = tensors.iter().map(|t| (t.name.clone(), t.bytes)).collect();
        Ok(Self { file, append, left })
    }

    /// Adds the next `bytes` of the tensor `name`, all of it or a part.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] if another tensor's turn has come, or the tensor has fewer bytes left; what kept
    /// them from being written.
    pub async fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let (file, count) = (&self.file, bytes.len() as u64);
        // A tensor without bytes is complete before anything of it is written.
        while self.left.front().is_some_and(|(next, left)| *left == 0 && next != name) {
            self.left.pop_front();
        }
        match self.left.front_mut() {
            Some((next, left)) if next == name && *left >= count => *left -= count,
            Some((next, left)) => {
                let message = format!("{count} bytes of tensor {name} came where {left} of {next} were due");
                return Err(Error::checkpoint(file, message));
            }
            None => return Err(Error::checkpoint(file, format!("{count} bytes of tensor {name} came after the last"))),
        }
        (self.append)(bytes).await
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming the tensor whose bytes are missing.
    pub fn finish(self) -> Result<()> {
        match self.left.into_iter().find(|(_, left)| *left > 0) {
            Some((name, left)) => {
                Err(Error::checkpoint(self.file, format!("{left} bytes of tensor {name} are missing")))
            }
            None => Ok(()),
        }
    }
}

/// The header's JSON, padded. Tensors are listed in their order, which `serde_json::Value` would not keep.
fn header(tensors: &[Tensor]) -> Vec<u8> {
    let mut json = String::from(r#"{"__metadata__":{"format":"mlx"}"#);
    let mut end = 0u64;
    for tensor in tensors {
        let start = end;
        end = end.saturating_add(tensor.bytes);
        let entry = serde_json::json!({
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [start, end],
        });
        json += &format!(",{}:{entry}", serde_json::Value::from(tensor.name.as_str()));
    }
    json.push('}');
    let mut json = json.into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    json
}
