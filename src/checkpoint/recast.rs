//! A checkpoint in other number formats: what its tensors become, and their rows as they stream by.
//!
//! A quantised matrix is laid out as MLX and mlx-lm do: `X.weight` U32 `[N, K * bits / 32]`, `X.scales` and `X.biases`
//! F16 `[N, K / group]`.

use std::collections::BTreeSet;

use half::f16;

use super::{Loss, Number, Quantiser, Rows, ShardWriter, Tensor};
use crate::error::{Error, Result};
use crate::hub::{Reader, Stream};
use crate::watch::{Progress, Watch};

/// Bytes of a tensor read and converted at a time, unless a single row has more.
const STEP: u64 = 4 << 20;
/// Tensors beside a quantised module's weight.
const PARTS: [&str; 2] = ["scales", "biases"];

/// How the modules of a checkpoint are quantised.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// For all but those below.
    pub usual: Quantiser,
    /// For modules whose path ends in this name.
    pub overrides: Vec<(String, Quantiser)>,
}

impl Recipe {
    /// How `tensor` is quantised; `None` where it stays as it is. As in mlx-lm, the matrices of linear and embedding
    /// modules are, if K is a multiple of the group size.
    pub fn quantiser(&self, tensor: &Tensor) -> Option<Quantiser> {
        let path = module(tensor)?;
        let named = |name: &str| path == name || path.ends_with(&format!(".{name}"));
        let quantiser = self.overrides.iter().find(|(name, _)| named(name)).map_or(self.usual, |(_, q)| *q);
        Number::parse(&tensor.dtype)?;
        match tensor.shape[..] {
            [n, k] if n > 0 && k > 0 && k % u64::from(quantiser.group()) == 0 => Some(quantiser),
            _ => None,
        }
    }

    /// What becomes of the tensors of a file: each quantised one is followed by its scales and its biases.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] if the file has tensors of the names that these would get.
    pub fn plan(&self, file: &str, tensors: &[Tensor]) -> Result<Vec<Tensor>> {
        let names: BTreeSet<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        let mut planned = Vec::new();
        for tensor in tensors {
            let (Some(quantiser), Some(path)) = (self.quantiser(tensor), module(tensor)) else {
                planned.push(tensor.clone());
                continue;
            };
            for part in PARTS.map(|part| format!("{path}.{part}")) {
                if names.contains(part.as_str()) {
                    let message = format!("tensor {part} is there already, beside {}", tensor.name);
                    return Err(Error::checkpoint(file, message));
                }
            }
            let (n, k) = (tensor.shape[0], tensor.shape[1]);
            let words = k * u64::from(quantiser.bits()) / 32;
            let groups = k / u64::from(quantiser.group());
            planned.push(Tensor {
                name: tensor.name.clone(),
                dtype: "U32".into(),
                shape: vec![n, words],
                bytes: n * words * 4,
            });
            planned.extend(PARTS.map(|part| Tensor {
                name: format!("{path}.{part}"),
                dtype: "F16".into(),
                shape: vec![n, groups],
                bytes: n * groups * 2,
            }));
        }
        Ok(planned)
    }
}

/// The module whose weight a tensor is.
pub fn module(tensor: &Tensor) -> Option<&str> {
    tensor.name.strip_suffix(".weight").filter(|path| !path.is_empty())
}

/// Reads the next tensor of a file in blocks of whole rows, a few MiB each, and hands each block to `sink`: codes and
/// groups with a quantiser, the stored bytes without. Keeps no more than a block, and says what was lost.
///
/// # Errors
/// [`Error::Aborted`] if the caller cancels, [`Error::Unsupported`] if the tensor cannot be quantised, what kept it
/// from being read, and what `sink` gives back.
pub async fn recast<S: Stream>(
    reader: &mut Reader<S>,
    tensor: &Tensor,
    quantiser: Option<Quantiser>,
    watch: &dyn Watch,
    mut sink: impl AsyncFnMut(Rows) -> Result<()>,
) -> Result<Loss> {
    let plan = match (quantiser, Number::parse(&tensor.dtype), &tensor.shape[..]) {
        (Some(quantiser), Some(number), &[_, k]) => Some((quantiser, number, k)),
        (None, ..) => None,
        _ => {
            let what = format!("quantising tensor {} of {} {:?}", tensor.name, tensor.dtype, tensor.shape);
            return Err(Error::unsupported(what, "allowed are matrices of F32, F16 and BF16"));
        }
    };
    // Rows that are stored as they are may be cut anywhere.
    let row = plan.map_or(1, |(_, number, k)| k.saturating_mul(number.bytes() as u64));
    let step = STEP - STEP % row.clamp(1, STEP);
    let step = if row > STEP { row } else { step };
    let (mut left, mut loss) = (tensor.bytes, Loss::default());
    while left > 0 {
        if watch.cancelled() {
            return Err(Error::Aborted);
        }
        let bytes = reader.exact(left.min(step) as usize).await?;
        left -= bytes.len() as u64;
        let mut rows = Rows::default();
        match plan {
            Some((quantiser, number, k)) => {
                let mut values = Vec::with_capacity(bytes.len() / number.bytes());
                number.widen(&bytes, &mut values);
                loss.add(quantiser.rows(&tensor.name, &values, k as usize, &mut rows)?);
            }
            None => rows.values = bytes,
        }
        let (file, loaded, total) = (reader.file().to_owned(), reader.position(), reader.size());
        watch.progress(Progress::Download { file, loaded, total });
        sink(rows).await?;
    }
    Ok(loss)
}

/// Reads the next tensor of a file and writes what `recipe` makes of it. Keeps a block of rows, and the tensor's scales
/// and biases until its codes are written. Says what was lost.
///
/// # Errors
/// As [`recast`].
pub async fn rewrite<S: Stream, A: AsyncFnMut(&[u8]) -> Result<()>>(
    reader: &mut Reader<S>,
    tensor: &Tensor,
    recipe: &Recipe,
    watch: &dyn Watch,
    writer: &mut ShardWriter<A>,
) -> Result<Loss> {
    let quantiser = recipe.quantiser(tensor);
    let mut parts = [const { Vec::new() }; PARTS.len()];
    let loss = recast(reader, tensor, quantiser, watch, async |rows| {
        for group in rows.groups {
            for (bytes, value) in parts.iter_mut().zip(group) {
                bytes.extend(f16::from_f32(value).to_le_bytes());
            }
        }
        writer.write(&tensor.name, &rows.values).await
    })
    .await?;
    if let (Some(_), Some(path)) = (quantiser, module(tensor)) {
        for (part, bytes) in PARTS.iter().zip(parts) {
            writer.write(&format!("{path}.{part}"), &bytes).await?;
        }
    }
    Ok(loss)
}
