use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::MAX_GROUPS;
use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::Operation;
use crate::error::{Error, Result};
use crate::numbers::RowFormat;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    dim: u32,
    stride: u32,
    first: u32,
    at: u32,
    words: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ScaleParams {
    dim: u32,
    first: u32,
    at: u32,
    rows: u32,
}

/// Multiply-adds that a number costs the time of. Of int8, two divisions are the dearest part.
fn cost(format: RowFormat) -> f64 {
    match format {
        RowFormat::Int8 => 32.0,
        RowFormat::Float32 | RowFormat::Float16 | RowFormat::Binary => 4.0,
    }
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::pack_rows`].
    pub fn pack_rows(
        &mut self,
        format: RowFormat,
        vectors: &GpuBuffer,
        (data, scales): (&GpuBuffer, Option<&GpuBuffer>),
        from: Range<u32>,
        at: u32,
        dim: u32,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::PackRows(format))?;
        let rows = &kernel.pipelines[0];
        let lanes = rows.shader.workgroup[0];
        let stride = format.padded_bytes(dim) / 4;
        let work = f64::from(dim) * cost(format);
        let room = f64::from((MAX_GROUPS * lanes / stride.max(1)).max(1));
        let each = (self.budget() / work).clamp(1.0, room) as u32;
        for first in from.clone().step_by(each as usize) {
            let count = each.min(from.end - first);
            let at = at + first - from.start;
            let (work, words) = (work * f64::from(count), count * stride);
            let mut buffers: Vec<&GpuBuffer> = vec![vectors, data];
            if let Some(pipeline) = kernel.pipelines.get(1) {
                let message = || "int8 token vectors need room for scales".into();
                let scales = scales.ok_or_else(|| Error::Gpu { message: message() })?;
                let params = ScaleParams { dim, first, at, rows: count };
                let groups = [count.div_ceil(pipeline.shader.workgroup[0]), 1, 1];
                self.push(pipeline, params, &[vectors, scales], groups, f64::from(count) * f64::from(dim))?;
                buffers.push(scales);
            }
            self.push(rows, Params { dim, stride, first, at, words }, &buffers, [words.div_ceil(lanes), 1, 1], work)?;
        }
        Ok(())
    }
}
