use crate::checkpoint::MatrixRows;
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// The embedding table `[V, H]`, in host memory in the form it is held in. Rows are gathered on the CPU; it is never a
/// GPU buffer.
pub(super) struct Table {
    pub(super) format: MatrixFormat,
    pub(super) rows: MatrixRows,
    /// H
    pub(super) hidden: usize,
}

impl Table {
    /// Room for `vocabulary` rows of `hidden`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if there is none.
    pub(super) fn new(format: MatrixFormat, vocabulary: u64, hidden: u64) -> Result<Self> {
        let mut rows = MatrixRows::default();
        let (values, groups) = (format.value_bytes(hidden), format.row_groups(hidden));
        let room = |count: u64| usize::try_from(count * vocabulary).ok();
        room(values)
            .and_then(|n| rows.values.try_reserve_exact(n).ok())
            .and_then(|()| room(groups).and_then(|n| rows.groups.try_reserve_exact(n).ok()))
            .ok_or_else(|| Error::OutOfMemory {
                message: format!("{} bytes of host memory for the embedding table", vocabulary * (values + 8 * groups)),
            })?;
        Ok(Self { format, rows, hidden: hidden as usize })
    }

    /// Appends rows.
    pub(super) fn push(&mut self, rows: &MatrixRows) {
        self.rows.values.extend_from_slice(&rows.values);
        self.rows.groups.extend_from_slice(&rows.groups);
    }

    /// The rows of `ids` as f32, `[ids, H]`.
    pub(super) fn gather(&self, ids: &[u32]) -> Vec<f32> {
        let hidden = self.hidden as u64;
        let (values, groups) = (self.format.value_bytes(hidden) as usize, self.format.row_groups(hidden) as usize);
        let mut out = Vec::with_capacity(ids.len() * self.hidden);
        for &id in ids {
            let row = &self.rows.values[id as usize * values..][..values];
            let pairs = &self.rows.groups[id as usize * groups..][..groups];
            self.format.widen_row(row, pairs, self.hidden, &mut out);
        }
        out
    }

    /// Bytes in host memory.
    pub(super) fn bytes(&self) -> u64 {
        (self.rows.values.len() + 8 * self.rows.groups.len()) as u64
    }
}
