//! Similarities of some queries with the rows of a segment, piece by piece.

use std::ops::Range;

use super::SegmentSizes;
use super::rows::{HostRows, RowLayout};
use super::segment::RowStorage;
use crate::backend::{Backend, Buffer, Kernels, Run};
use crate::error::Result;
use crate::progress::Watch;

/// Most queries that go through together.
pub(super) const MAX_QUERIES: usize = 256;

/// Some queries on the device, and room for their similarities.
pub(super) struct Sweep<'a> {
    backend: &'a Backend,
    layout: &'a RowLayout,
    sizes: &'a SegmentSizes,
    run: Run<'a>,
    count: u32,
    queries: Buffer,
    similarities: Buffer,
    /// Where rows in host memory pass through.
    staging: Option<Buffer>,
}

impl<'a> Sweep<'a> {
    /// For the rows `range` of `queries`, of which there are [`MAX_QUERIES`] at most.
    ///
    /// # Errors
    /// As [`Backend::buffer`].
    pub(super) fn new(
        (backend, kernels): (&'a Backend, &Kernels),
        layout: &'a RowLayout,
        sizes: &'a SegmentSizes,
        (queries, range): (&HostRows, Range<usize>),
        watch: &'a dyn Watch,
    ) -> Result<Self> {
        let count = range.len() as u32;
        let columns = columns(sizes, count);
        Ok(Self {
            backend,
            layout,
            sizes,
            run: backend.run(kernels, watch)?,
            count,
            queries: backend.queries(kernels, layout.format, queries.bytes(range), layout.dim as u32)?,
            similarities: backend.buffer("similarities", columns * u64::from(count) * 4)?,
            staging: None,
        })
    }

    /// Most rows of `storage` that go through together.
    pub(super) fn max_rows(&self, storage: &RowStorage) -> u32 {
        let columns = columns(self.sizes, self.count);
        let rows = match storage {
            RowStorage::Device(_) => columns,
            RowStorage::Host(_) => columns.min(self.sizes.staging / self.layout.padded_bytes() as u64).max(1),
        };
        rows.min(u32::MAX.into()) as u32
    }

    /// The similarities with the rows `piece`, of which there are [`Sweep::max_rows`] at most: `[queries, rows]`, as
    /// [`Run::dense`] gives them.
    ///
    /// # Errors
    /// [`crate::Error::Aborted`], [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn similarities(&mut self, storage: &RowStorage, piece: Range<u32>) -> Result<Vec<u32>> {
        let (format, dim) = (self.layout.format, self.layout.dim as u32);
        let count = piece.len() as u64 * u64::from(self.count);
        let room = u64::from(self.max_rows(storage)) * self.layout.padded_bytes() as u64;
        let (rows, piece) = match storage {
            RowStorage::Device(rows) => (&rows.data, piece),
            RowStorage::Host(rows) => {
                let staging = match &mut self.staging {
                    Some(staging) => staging,
                    none => none.insert(self.backend.buffer("index rows passing", room)?),
                };
                let mut padded = Vec::new();
                format.pad_rows(rows.bytes(piece.start as usize..piece.end as usize), dim, &mut padded);
                staging.write(0, &padded);
                (&*staging, 0..piece.len() as u32)
            }
        };
        self.run.dense(format, [&self.queries, rows, &self.similarities], self.count, piece, dim)?;
        self.run.flush().await?;
        Ok(bytemuck::pod_collect_to_vec(&self.similarities.read(0, count * 4).await?))
    }
}

/// Rows whose similarities with `queries` queries there is room for.
fn columns(sizes: &SegmentSizes, queries: u32) -> u64 {
    (sizes.scores as u64 / u64::from(queries)).max(1)
}
