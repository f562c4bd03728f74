//! Similarities of some queries with the rows of a segment, piece by piece.

use std::ops::Range;

use super::SegmentSizes;
use super::rows::{HostRows, RowLayout};
use super::segment::{RowSegment, RowStorage};
use crate::backend::{BOUND_ROWS, Backend, Buffer, Kernels, Run};
use crate::error::Result;
use crate::numbers::RowFormat;
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
    bounds: Option<Buffer>,
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
            bounds: None,
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

    /// Makes the similarities with the rows `piece`, of which there are [`Sweep::max_rows`] at most: `[queries, rows]`, as
    /// [`Run::dense`] gives them. They stay where they are.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) fn make(&mut self, storage: &RowStorage, piece: Range<u32>) -> Result<()> {
        let (format, dim) = (self.layout.format, self.layout.dim as u32);
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
        self.run.dense(format, [&self.queries, rows, &self.similarities], self.count, piece, dim)
    }

    /// All similarities with `columns` rows.
    ///
    /// # Errors
    /// [`crate::Error::Aborted`], or a fault of the device.
    pub(super) async fn all(&mut self, columns: u32) -> Result<Vec<u32>> {
        self.run.flush().await?;
        let count = u64::from(columns) * u64::from(self.count);
        Ok(bytemuck::pod_collect_to_vec(&self.similarities.read(0, count * 4).await?))
    }

    /// What no score of a block of [`BOUND_ROWS`] rows is above, `[queries, blocks]`, as [`Run::dense_bounds`] gives them, of
    /// `columns` rows of `segment` from `first_row` on.
    ///
    /// # Errors
    /// As [`Sweep::all`], and [`crate::Error::OutOfMemory`].
    pub(super) async fn bounds(&mut self, segment: &RowSegment, columns: u32, first_row: u32) -> Result<Vec<f32>> {
        let bytes = u64::from(columns.div_ceil(BOUND_ROWS)) * u64::from(self.count) * 4;
        if self.bounds.as_ref().is_none_or(|bounds| bounds.size() < bytes) {
            self.bounds = Some(self.backend.buffer("bounds", bytes)?);
        }
        let Some(bounds) = &self.bounds else { return Ok(Vec::new()) };
        let (format, shape) = (self.layout.format, [self.count, columns]);
        let (run, similarities) = (&mut self.run, &self.similarities);
        let mut record =
            |squares: Option<&Buffer>| run.dense_bounds(format, [similarities, bounds], squares, shape, first_row);
        match format {
            RowFormat::Int8 => segment.with_squares(self.backend, |squares| record(Some(squares)))?,
            RowFormat::Float32 | RowFormat::Float16 | RowFormat::Binary => record(None)?,
        }
        self.run.flush().await?;
        Ok(bytemuck::pod_collect_to_vec(&bounds.read(0, bytes).await?))
    }

    /// The similarities of some blocks of queries, [`BOUND_ROWS`] words for each, of `columns` rows.
    ///
    /// # Errors
    /// As [`Sweep::bounds`].
    pub(super) async fn blocks(&mut self, chosen: &[(u32, u32)], columns: u32) -> Result<Vec<u32>> {
        let words = |count: u32| u64::from(count) * 4;
        let picked = self.backend.buffer("blocks of similarities", chosen.len() as u64 * words(BOUND_ROWS))?;
        let runs = chosen.iter().zip(0..).map(|(&(query, block), i)| {
            let first = block * BOUND_ROWS;
            let from = words(query) * u64::from(columns) + words(first);
            (from, u64::from(BOUND_ROWS) * 4 * i, words(BOUND_ROWS.min(columns - first)))
        });
        picked.copy_from(&self.similarities, runs)?;
        Ok(bytemuck::pod_collect_to_vec(&picked.read(0, chosen.len() as u64 * words(BOUND_ROWS)).await?))
    }
}

/// Rows whose similarities with `queries` queries there is room for.
fn columns(sizes: &SegmentSizes, queries: u32) -> u64 {
    (sizes.scores as u64 / u64::from(queries)).max(1)
}
