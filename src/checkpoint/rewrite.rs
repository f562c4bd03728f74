//! A checkpoint's file in another form, laid out as MLX and mlx-lm do: a quantized matrix is `X.weight` U32
//! `[N, K * bits / 32]`, `X.scales` and `X.biases` F16 `[N, K / group]`, one after the other, so that whoever reads it
//! need hold back no more than one matrix.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;

use super::pass::{WeightSink, plain_name};
use super::{Header, Loss, MatrixRows, ShardWriter, Tensor};
use crate::collect::inserted;
use crate::error::{Error, Result};
use crate::numbers::{Float, MatrixFormat};

/// Tensors beside a quantized module's weight.
const PARTS: [&str; 2] = ["scales", "biases"];

/// What becomes of the tensors of a file: those of `forms`, by the name of their module, take the form given there,
/// those for which `plain` is true stay as they are, and others are left out. All names but those of the result are
/// without a `model.` prefix.
///
/// # Errors
/// [`Error::InvalidCheckpoint`] if the file has tensors of the names that new ones would get.
pub fn rewritten(
    file: &str,
    header: &Header,
    forms: &BTreeMap<String, MatrixFormat>,
    plain: impl Fn(&str) -> bool,
) -> Result<Vec<Tensor>> {
    let names: BTreeSet<&str> = inserted(header.tensors.iter().map(|t| t.name.as_str()));
    let mut planned = Vec::new();
    for tensor in &header.tensors {
        let Some(path) = tensor.name.strip_suffix(".weight") else {
            planned.extend(plain(plain_name(&tensor.name)).then(|| tensor.clone()));
            continue;
        };
        let (new, [n, k]) = match (forms.get(plain_name(path)), &tensor.shape[..]) {
            (Some(form), &[n, k]) => (*form, [n, k]),
            _ => {
                planned.extend(plain(plain_name(&tensor.name)).then(|| tensor.clone()));
                continue;
            }
        };
        let make = |name: String, dtype: &str, shape: [u64; 2], bytes: u64| Tensor {
            name,
            dtype: dtype.into(),
            shape: shape.to_vec(),
            bytes,
            ..tensor.clone()
        };
        let (row, groups) = (new.value_bytes(k), new.row_groups(k));
        match new {
            MatrixFormat::F32 | MatrixFormat::F16 | MatrixFormat::Bf16 => {
                let dtype = new.float().map_or("", Float::name);
                planned.push(make(tensor.name.clone(), dtype, [n, k], n * row));
            }
            MatrixFormat::Q8 { .. } | MatrixFormat::Q4 { .. } => {
                let words = row / 4;
                planned.push(make(tensor.name.clone(), "U32", [n, words], n * words * 4));
                for part in PARTS.map(|part| format!("{path}.{part}")) {
                    if names.contains(part.as_str()) {
                        let message = format!("tensor {part} is there already, beside {}", tensor.name);
                        return Err(Error::checkpoint(file, message));
                    }
                    planned.push(make(part, "F16", [n, groups], n * groups * 2));
                }
            }
        }
    }
    Ok(planned)
}

/// Writes what a pass hands it. Keeps a matrix's scales and biases until its codes are written, and counts what was
/// lost.
pub struct Rewrite<A, P> {
    writer: ShardWriter<A>,
    /// Hears how many bytes of the old file were read.
    at: P,
    /// Of each module, its name in the file.
    names: BTreeMap<String, String>,
    parts: [Vec<u8>; 2],
    /// By the bits of the codes.
    losses: BTreeMap<u32, Loss>,
}

impl<A: AsyncFnMut(&[u8]) -> Result<()>, P: FnMut(u64) -> Result<()>> Rewrite<A, P> {
    /// Begins `file` with `tensors`, as [`rewritten`] gives them, through `append`, which adds bytes to its end. `at` hears how many bytes of the old file were
    /// read, and may end the pass by an error.
    ///
    /// # Errors
    /// As [`ShardWriter::begin`].
    pub async fn begin(file: &str, tensors: &[Tensor], append: A, at: P) -> Result<Self> {
        let modules = tensors.iter().filter_map(|t| t.name.strip_suffix(".weight"));
        let names = inserted(modules.map(|path| (plain_name(path).into(), path.into())));
        let writer = ShardWriter::begin(file, tensors, append).await?;
        Ok(Self { writer, at, names, parts: [Vec::new(), Vec::new()], losses: BTreeMap::new() })
    }

    /// Ends the file, and says what was lost, by the bits of the codes.
    ///
    /// # Errors
    /// As [`ShardWriter::finish`].
    pub fn finish(self) -> Result<BTreeMap<u32, Loss>> {
        self.writer.finish()?;
        Ok(self.losses)
    }

    fn path(&self, name: &str) -> Result<String> {
        let unknown = || Error::checkpoint("model.safetensors", format!("matrix {name} was not announced"));
        self.names.get(name).cloned().ok_or_else(unknown)
    }
}

impl<A: AsyncFnMut(&[u8]) -> Result<()>, P: FnMut(u64) -> Result<()>> WeightSink for Rewrite<A, P> {
    async fn plain(&mut self, _name: &str, tensor: &Tensor, bytes: &[u8]) -> Result<()> {
        self.writer.write(&tensor.name, bytes).await
    }

    async fn rows(&mut self, name: &str, _first: u64, rows: &MatrixRows) -> Result<()> {
        for group in &rows.groups {
            for (bytes, value) in self.parts.iter_mut().zip(group) {
                bytes.extend(f16::from_f32(*value).to_le_bytes());
            }
        }
        let path = self.path(name)?;
        self.writer.write(&format!("{path}.weight"), &rows.values).await
    }

    async fn complete(&mut self, name: &str, form: MatrixFormat, loss: Loss) -> Result<()> {
        if form.group().is_none() {
            return Ok(());
        }
        self.losses.entry(form.bits()).or_default().add(loss);
        let path = self.path(name)?;
        for (part, bytes) in PARTS.iter().zip(std::mem::take(&mut self.parts)) {
            self.writer.write(&format!("{path}.{part}"), &bytes).await?;
        }
        Ok(())
    }

    fn at(&mut self, position: u64) -> Result<()> {
        (self.at)(position)
    }
}
