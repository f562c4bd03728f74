//! From the format a matrix is stored in to the format it is to be held in.

use super::{Loss, MatrixRows, Quantizer};
use crate::error::{Error, Result};
use crate::numbers::{Float, MatrixFormat};

/// Converts rows of a matrix from one format to another, through float32 where the two differ.
pub struct Recode {
    from: MatrixFormat,
    to: MatrixFormat,
    /// K, inputs.
    columns: usize,
    quantizer: Option<Quantizer>,
    loss: Loss,
}

impl Recode {
    /// From `from` to `to`, for rows of `columns` weights.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `to` has a group that the quantizer does not offer.
    pub fn new(from: MatrixFormat, to: MatrixFormat, columns: usize) -> Result<Self> {
        let quantizer = match to.group() {
            Some(group) if from != to => Some(Quantizer::new(to.bits(), group)?),
            _ => None,
        };
        Ok(Self { from, to, columns, quantizer, loss: Loss::default() })
    }

    /// Whether rows stay as they are.
    pub fn is_identity(&self) -> bool {
        self.from == self.to
    }

    /// What the rows so far have lost by being quantized.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Whole rows in the new format; `name` is the matrix, for errors.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a weight is beyond the range of the new format.
    pub fn rows(&mut self, name: &str, rows: MatrixRows) -> Result<MatrixRows> {
        if self.is_identity() {
            return Ok(rows);
        }
        if let (Some(from), Some(to)) = (self.from.float(), self.to.float()) {
            let values = from.convert(&rows.values, to).ok_or_else(|| self.beyond_range(name))?.into_owned();
            return Ok(MatrixRows { values, groups: Vec::new() });
        }
        let wide = widen(&rows, self.from, self.columns);
        let mut out = MatrixRows::default();
        if let Some(quantizer) = self.quantizer {
            self.loss.add(quantizer.rows(name, &wide, self.columns, &mut out)?);
        } else if let Some(to) = self.to.float() {
            let converted = Float::F32.convert(bytemuck::cast_slice(&wide), to);
            out.values = converted.ok_or_else(|| self.beyond_range(name))?.into_owned();
        }
        Ok(out)
    }

    fn beyond_range(&self, name: &str) -> Error {
        let what = format!("weights as {} for tensor {name}", self.to.name());
        Error::unsupported(what, "it has values beyond the range of that format; choose \"auto\" or \"f32\"")
    }
}

/// Rows of `columns` weights as f32.
fn widen(rows: &MatrixRows, format: MatrixFormat, columns: usize) -> Vec<f32> {
    let (row, groups) = (format.value_bytes(columns as u64) as usize, format.row_groups(columns as u64) as usize);
    let mut out = Vec::with_capacity(rows.values.len() / row.max(1) * columns);
    for (i, values) in rows.values.chunks_exact(row).enumerate() {
        let pairs = rows.groups.get(i * groups..(i + 1) * groups).unwrap_or_default();
        format.widen_row(values, pairs, columns, &mut out);
    }
    out
}
