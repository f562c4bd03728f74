use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::{pad_rows, parameters, pipeline};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recorder, probe};
use crate::watch::Watch;

/// Bytes of an element of a row.
const ELEMENT: u32 = 16;
/// Queries that a thread takes.
const QUERIES: u32 = 8;
/// Rows of a workgroup.
const ROWS: u32 = 64;
/// Workgroups of a dispatch in one direction: a multiple of two below what WebGPU allows.
const GROUPS: u32 = 32_768;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    stride: u32,
    first_row: u32,
    end_row: u32,
    first_block: u32,
    queries: u32,
    column_row: u32,
    columns: u32,
}

/// What dense rows are made of, and so what a similarity is. On the device, rows are padded with zeros to a multiple of
/// 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenseForm {
    /// int8; the similarity is the dot product as i32, exact.
    I8,
    /// float32; the similarity is the dot product as f32.
    F32,
    /// A bit a dimension, eight a byte; the similarity is the Hamming distance as u32.
    B1,
}

impl DenseForm {
    /// Bytes of a row of `dim` dimensions in host memory.
    pub fn host_bytes(self, dim: u32) -> u32 {
        match self {
            Self::I8 => dim,
            Self::F32 => dim * 4,
            Self::B1 => dim.div_ceil(8),
        }
    }

    /// Bytes of a row of `dim` dimensions on the device.
    pub fn row_bytes(self, dim: u32) -> u32 {
        self.host_bytes(dim).next_multiple_of(ELEMENT)
    }

    /// Bytes of a query of `dim` dimensions on the device: a row, with codes as i32.
    pub fn query_bytes(self, dim: u32) -> u32 {
        self.row_bytes(dim) * if self == Self::I8 { 4 } else { 1 }
    }

    /// Appends rows `[n, D]` of [`DenseForm::host_bytes`] each as the device has them. Bits past D are taken for zeros.
    pub fn pad_rows(self, rows: &[u8], dim: u32, into: &mut Vec<u8>) {
        let (host, device) = (self.host_bytes(dim) as usize, self.row_bytes(dim) as usize);
        let start = into.len();
        pad_rows(rows, host, device, into);
        let spare = dim.next_multiple_of(8) - dim;
        if self == Self::B1 && spare > 0 {
            into[start..].chunks_exact_mut(device).for_each(|row| row[host - 1] &= 0xff << spare);
        }
    }

    /// Appends queries `[Q, D]` of [`DenseForm::host_bytes`] each as the device has them: [`DenseForm::query_bytes`].
    pub fn pad_queries(self, queries: &[u8], dim: u32, into: &mut Vec<u8>) {
        if self != Self::I8 {
            return self.pad_rows(queries, dim, into);
        }
        for query in queries.chunks_exact(dim as usize) {
            let end = into.len() + self.query_bytes(dim) as usize;
            into.extend(query.iter().flat_map(|&code| i32::from(code as i8).to_le_bytes()));
            into.resize(end, 0);
        }
    }

    /// The kernel's name.
    pub(in crate::gpu) fn kernel(self) -> &'static str {
        match self {
            Self::I8 => "dense_i8",
            Self::F32 => "dense_f32",
            Self::B1 => "dense_b1",
        }
    }

    /// Multiply-adds that `queries` against a row take the time of, with what it takes to read the row.
    fn work(self, queries: u32, dim: u32) -> f64 {
        let (dim, queries) = (f64::from(dim), f64::from(queries));
        match self {
            Self::I8 => dim * (queries + 2.0),
            Self::F32 => dim * (queries + 1.0),
            Self::B1 => dim / 8.0 * (queries + 1.0),
        }
    }
}

/// The buffers of dense similarities.
#[derive(Clone, Copy)]
pub struct DenseBuffers<'a> {
    /// `[Q]` of [`DenseForm::query_bytes`]
    pub queries: &'a wgpu::Buffer,
    /// Rows of [`DenseForm::row_bytes`]
    pub rows: &'a wgpu::Buffer,
    /// `[Q, N]` of i32, f32 or u32
    pub scores: &'a wgpu::Buffer,
}

/// The pipeline of dense similarities for one form of rows. One recorder at a time may have it, because it has one
/// buffer for parameters.
pub struct Dense {
    params: wgpu::Buffer,
    pipeline: wgpu::ComputePipeline,
    form: DenseForm,
}

impl Dense {
    /// Compiles it and checks it against its CPU twin on this adapter.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the shader does not compile, [`Error::WrongKernel`] if it gives wrong numbers.
    pub async fn new(gpu: &Gpu, form: DenseForm) -> Result<Self> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let kernel = Self { params: parameters(gpu), pipeline: pipeline(gpu, form.kernel()), form };
        if let Some(error) = scope.pop().await {
            return Err(Error::Gpu { message: format!("compiling shaders: {error}") });
        }
        probe::dense(gpu, &kernel, [1, 67, 130]).await?;
        probe::dense(gpu, &kernel, [10, 65, 37]).await?;
        Ok(kernel)
    }

    /// The form it reads.
    pub fn form(&self) -> DenseForm {
        self.form
    }
}

impl<'a> Recorder<'a, Dense> {
    /// An empty recorder for dense similarities.
    pub fn for_dense(gpu: &'a Gpu, kernel: &'a Dense, watch: &'a dyn Watch) -> Self {
        Self::with(gpu, kernel, &kernel.params, watch)
    }

    /// The similarities of `queries` queries with these `rows` of the buffer, of `dim` dimensions each: N is
    /// `rows.len()`, and column 0 of the scores is the first of `rows`. A similarity has the same bits whatever else is
    /// asked for.
    pub fn dense(&mut self, buffers: DenseBuffers<'_>, queries: u32, rows: Range<u32>, dim: u32) {
        let kernel = self.kernels;
        let blocks = queries.div_ceil(QUERIES);
        // A dispatch has no more work than a submission is meant to have, and no more workgroups than are allowed.
        let room = self.budget() / kernel.form.work(queries.min(QUERIES), dim);
        let blocks_each = (room / f64::from(ROWS)).clamp(1.0, f64::from(blocks.clamp(1, GROUPS))) as u32;
        let groups = (room / f64::from(blocks_each) / f64::from(ROWS)).clamp(1.0, f64::from(GROUPS)) as u32;
        for first_row in rows.clone().step_by((groups * ROWS) as usize) {
            let end_row = rows.end.min(first_row.saturating_add(groups * ROWS));
            for first_block in (0..blocks).step_by(blocks_each as usize) {
                let blocks = blocks_each.min(blocks - first_block);
                let params = Params {
                    stride: kernel.form.row_bytes(dim) / ELEMENT,
                    first_row,
                    end_row,
                    first_block,
                    queries,
                    column_row: rows.start,
                    columns: rows.len() as u32,
                };
                let here = (blocks * QUERIES).min(queries - first_block * QUERIES);
                let work = f64::from(end_row - first_row) * kernel.form.work(here, dim);
                let groups = [(end_row - first_row).div_ceil(ROWS), blocks, 1];
                self.push(&kernel.pipeline, params, &[buffers.queries, buffers.rows, buffers.scores], groups, work);
            }
        }
    }
}
