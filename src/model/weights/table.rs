use crate::checkpoint::{MatrixFormat, Rows, widen_row};
use crate::error::{Error, Result};

/// The embedding table `[V, H]`, in host memory in the form it is held in. Rows are gathered on the CPU; it is never a
/// GPU buffer.
pub(super) struct Table {
    kept: MatrixFormat,
    rows: Rows,
    /// H
    hidden: usize,
}

impl Table {
    /// Room for `vocabulary` rows of `hidden`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if there is none.
    pub(super) fn new(kept: MatrixFormat, vocabulary: u64, hidden: u64) -> Result<Self> {
        let mut rows = Rows::default();
        let (values, groups) = kept.row_size(hidden);
        let room = |count: u64| usize::try_from(count * vocabulary).ok();
        room(values)
            .and_then(|n| rows.values.try_reserve_exact(n).ok())
            .and_then(|()| room(groups).and_then(|n| rows.groups.try_reserve_exact(n).ok()))
            .ok_or_else(|| Error::OutOfMemory {
                message: format!("{} bytes of host memory for the embedding table", vocabulary * (values + 8 * groups)),
            })?;
        Ok(Self { kept, rows, hidden: hidden as usize })
    }

    /// Appends rows.
    pub(super) fn push(&mut self, rows: &Rows) {
        self.rows.values.extend_from_slice(&rows.values);
        self.rows.groups.extend_from_slice(&rows.groups);
    }

    /// The rows of `ids` as f32, `[ids, H]`.
    pub(super) fn gather(&self, ids: &[u32]) -> Vec<f32> {
        let (values, groups) = self.kept.row_size(self.hidden as u64);
        let (values, groups) = (values as usize, groups as usize);
        let mut out = Vec::with_capacity(ids.len() * self.hidden);
        for &id in ids {
            let row = &self.rows.values[id as usize * values..][..values];
            match self.kept {
                MatrixFormat::Dense(number) => number.widen(row, &mut out),
                MatrixFormat::Affine { bits, group } => {
                    let pairs = &self.rows.groups[id as usize * groups..][..groups];
                    widen_row(row, pairs, bits, group as usize, self.hidden, &mut out);
                }
            }
        }
        out
    }

    /// Bytes in host memory.
    pub(super) fn bytes(&self) -> u64 {
        (self.rows.values.len() + 8 * self.rows.groups.len()) as u64
    }
}
