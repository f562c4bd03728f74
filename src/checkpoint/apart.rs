//! One matrix read for itself, and not in a pass over its file.

use std::sync::Arc;

use super::pass::{STEP, check_finite, plain_name};
use super::{Header, MatrixRows, StoredMatrix, Tensor};
use crate::error::Result;
use crate::hub::LocalFile;

/// Rows whose scales and biases are made at a time.
const ROWS: usize = 1 << 14;

/// A matrix that lies in a file on this machine, its rows in the form they are to be held in.
pub struct ApartMatrix {
    path: String,
    file: Arc<LocalFile>,
    matrix: StoredMatrix,
    /// In the order of [`StoredMatrix::tensors`], and where each begins.
    tensors: Vec<(u64, Tensor)>,
}

impl ApartMatrix {
    /// `matrix` in `file`, whose header is `header`; `None` where not all of it is there, or its rows have to be computed of
    /// what is stored. `path` is for errors.
    pub fn find(path: &str, file: &Arc<LocalFile>, header: &Header, matrix: &StoredMatrix) -> Option<Self> {
        if !matrix.is_plain() && matrix.codes().is_none() {
            return None;
        }
        let place = |name: &String| {
            let mut at = header.data_start;
            header.tensors.iter().find_map(|tensor| {
                let begin = at;
                at += tensor.bytes;
                (plain_name(&tensor.name) == name).then(|| (begin, tensor.clone()))
            })
        };
        let tensors = matrix.tensors().iter().map(place).collect::<Option<_>>()?;
        Some(Self { path: path.into(), file: Arc::clone(file), matrix: matrix.clone(), tensors })
    }

    /// Appends all rows to `rows`. `between` is awaited after each few MiB; an error of it ends the reading.
    ///
    /// # Errors
    /// As [`super::WeightPass::file`] for this matrix, or what `between` gave.
    pub async fn read(&self, rows: &mut MatrixRows, between: impl AsyncFn() -> Result<()>) -> Result<()> {
        let [count, _] = self.matrix.shape();
        let values = self.matrix.codes().unwrap_or(0);
        let mut parts = vec![Vec::new(); self.tensors.len()];
        for (part, (at, tensor)) in self.tensors.iter().enumerate() {
            let row_bytes = (tensor.bytes / count.max(1)).max(1);
            let step = (STEP / row_bytes).max(1) * row_bytes;
            let mut done = 0;
            while done < tensor.bytes {
                let bytes = self.file.read_at(at + done, step.min(tensor.bytes - done) as usize).await?;
                if self.matrix.is_plain() {
                    check_finite(&self.path, tensor, &self.matrix, done / row_bytes, &bytes)?;
                }
                done += bytes.len() as u64;
                let into = if part == values { &mut rows.values } else { &mut parts[part] };
                into.extend_from_slice(&bytes);
                between().await?;
            }
        }
        if self.matrix.is_plain() {
            return Ok(());
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for first in (0..count).step_by(ROWS) {
            self.matrix.decode_groups(&parts, first..count.min(first + ROWS as u64), rows)?;
            between().await?;
        }
        Ok(())
    }
}
