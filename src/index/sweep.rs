//! Similarities on the device: of some queries with the rows of a segment, piece by piece.

use std::ops::Range;

use super::Limits;
use super::device::pad;
use super::rows::{Form, Rows, Stream};
use super::segment::Home;
use crate::error::Result;
use crate::gpu::{Dense, DenseBuffers, DenseForm, Gpu, Recorder};
use crate::watch::Watch;

/// Queries that go through together, at most.
pub(super) const QUERIES: usize = 256;

/// Some queries on the device, and room for what they are held against. The buffers are given back at the end.
pub(super) struct Sweep<'a> {
    gpu: &'a Gpu,
    stream: &'a Stream,
    limits: &'a Limits,
    run: Recorder<'a, Dense>,
    count: u32,
    queries: wgpu::Buffer,
    scores: wgpu::Buffer,
    /// Where rows in host memory pass through.
    staging: Option<wgpu::Buffer>,
}

/// What the kernel calls rows of this form.
pub(super) fn dense_form(stream: &Stream) -> DenseForm {
    match stream.form {
        Form::F32 | Form::F16 => DenseForm::F32,
        Form::I8 => DenseForm::I8,
        Form::B1 => DenseForm::B1,
    }
}

impl<'a> Sweep<'a> {
    /// For the rows `range` of `queries`, of which there are [`QUERIES`] at most.
    ///
    /// # Errors
    /// As [`Gpu::storage`].
    pub(super) fn new(
        gpu: &'a Gpu,
        kernel: &'a Dense,
        stream: &'a Stream,
        limits: &'a Limits,
        (queries, range): (&Rows, Range<usize>),
        watch: &'a dyn Watch,
    ) -> Result<Self> {
        let count = range.len() as u32;
        let mut padded = Vec::new();
        kernel.form().pad_queries(queries.bytes(range), stream.dim as u32, &mut padded);
        let (queries, run) = (gpu.storage_of("queries", &padded)?, Recorder::for_dense(gpu, kernel, watch));
        let mut sweep = Self { gpu, stream, limits, run, count, scores: queries.clone(), queries, staging: None };
        sweep.scores = gpu.storage("similarities", sweep.columns() * u64::from(count) * 4)?;
        Ok(sweep)
    }

    /// Rows whose similarities there is room for.
    fn columns(&self) -> u64 {
        (self.limits.scores as u64 / u64::from(self.count)).max(1)
    }

    /// Most rows of `home` that go through together.
    pub(super) fn most(&self, home: &Home) -> u32 {
        let rows = match home {
            Home::Device(_) => self.columns(),
            Home::Host(_) => self.columns().min(self.limits.staging / self.stream.stride() as u64).max(1),
        };
        rows.min(u32::MAX.into()) as u32
    }

    /// The similarities with the rows `piece`, of which there are [`Sweep::most`] at most: `[queries, rows]`, as the
    /// kernel gives them.
    ///
    /// # Errors
    /// [`crate::Error::Aborted`], [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn similarities(&mut self, home: &Home, piece: Range<u32>) -> Result<Vec<u32>> {
        let count = piece.len() as u64 * u64::from(self.count);
        let most = u64::from(self.most(home));
        let (rows, piece) = match home {
            Home::Device(rows) => (&rows.data, piece),
            Home::Host(rows) => {
                let (own, stride) = (self.stream.row_bytes(), self.stream.stride());
                let bytes = rows.bytes(piece.start as usize..piece.end as usize);
                let staging = match &mut self.staging {
                    Some(staging) => staging,
                    none => none.insert(self.gpu.storage("index rows passing", most * stride as u64)?),
                };
                let mut padded = Vec::new();
                if own != stride {
                    pad(bytes, own, stride, &mut padded);
                }
                self.gpu.queue.write_buffer(staging, 0, if own == stride { bytes } else { &padded });
                (&*staging, 0..piece.len() as u32)
            }
        };
        let buffers = DenseBuffers { queries: &self.queries, rows, scores: &self.scores };
        self.run.dense(buffers, self.count, piece, self.stream.dim as u32);
        self.run.flush().await?;
        let bytes = self.gpu.read(&self.scores, count * 4).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

impl Drop for Sweep<'_> {
    fn drop(&mut self) {
        [Some(&self.queries), Some(&self.scores), self.staging.as_ref()]
            .into_iter()
            .flatten()
            .for_each(|b| b.destroy());
    }
}
