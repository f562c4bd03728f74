//! From the form a matrix is stored in to the form it is to be held in.

use super::{Kept, Loss, Number, Quantiser, Rows};
use crate::error::{Error, Result};

/// Changes rows of a matrix from one form to another, by way of float32 where the two differ.
pub struct Reform {
    from: Kept,
    to: Kept,
    /// K, inputs.
    columns: usize,
    quantiser: Option<Quantiser>,
    loss: Loss,
}

impl Reform {
    /// From `from` to `to`, for rows of `columns` weights.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `to` is affine with bits or a group that the quantiser does not have.
    pub fn new(from: Kept, to: Kept, columns: usize) -> Result<Self> {
        let quantiser = match to {
            Kept::Affine { bits, group } if from != to => Some(Quantiser::new(bits, group)?),
            _ => None,
        };
        Ok(Self { from, to, columns, quantiser, loss: Loss::default() })
    }

    /// Whether rows go through as they are.
    pub fn is_identity(&self) -> bool {
        self.from == self.to
    }

    /// What the rows so far have lost by being quantised.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Whole rows in the new form; `name` is the matrix, for errors.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if a weight is beyond the range of the new form.
    pub fn rows(&mut self, name: &str, rows: Rows) -> Result<Rows> {
        if self.is_identity() {
            return Ok(rows);
        }
        let beyond = |form: &str| {
            let message = "it has values beyond the range of that form; choose \"auto\" or \"f32\"";
            Error::unsupported(format!("weights as {form} for tensor {name}"), message)
        };
        let number = match self.from {
            Kept::Dense(number) => number,
            Kept::Affine { .. } => Number::F32,
        };
        let values = match self.from {
            Kept::Dense(_) => rows.values,
            Kept::Affine { bits, group } => {
                let wide = widen(&rows, bits, group as usize, self.columns);
                bytemuck::cast_slice(&wide).to_vec()
            }
        };
        match self.to {
            Kept::Dense(to) => {
                let values = number.convert(&values, to).ok_or_else(|| beyond("f16"))?.into_owned();
                Ok(Rows { values, groups: Vec::new() })
            }
            Kept::Affine { .. } => {
                let mut wide = Vec::with_capacity(values.len() / number.bytes());
                number.widen(&values, &mut wide);
                let mut out = Rows::default();
                if let Some(quantiser) = self.quantiser {
                    self.loss.add(quantiser.rows(name, &wide, self.columns, &mut out)?);
                }
                Ok(out)
            }
        }
    }
}

/// The weights that codes stand for, `q * scale + bias`.
pub(super) fn widen(rows: &Rows, bits: u32, group: usize, columns: usize) -> Vec<f32> {
    let groups = columns.div_ceil(group);
    let row_bytes = columns * bits as usize / 8;
    let mut out = Vec::with_capacity(rows.groups.len() / groups.max(1) * columns);
    for (codes, pairs) in rows.values.chunks_exact(row_bytes).zip(rows.groups.chunks_exact(groups)) {
        widen_row(codes, pairs, bits, group, columns, &mut out);
    }
    out
}

/// One row of [`widen`], appended to `out`.
pub fn widen_row(codes: &[u8], pairs: &[[f32; 2]], bits: u32, group: usize, columns: usize, out: &mut Vec<f32>) {
    let code = |i: usize| match bits {
        4 => codes[i / 2] >> (4 * (i % 2)) & 15,
        _ => codes[i],
    };
    for (first, [scale, bias]) in (0..columns).step_by(group).zip(pairs) {
        let last = (first + group).min(columns);
        out.extend((first..last).map(|i| f32::from(code(i)) * scale + bias));
    }
}
