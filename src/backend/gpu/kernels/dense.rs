use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::MAX_GROUPS;
use crate::backend::gpu::{GpuBuffer, GpuKernels, Recorder};
use crate::backend::ops::Operation;
use crate::error::Result;
use crate::numbers::RowFormat;

/// Bytes of an element of a row.
const ELEMENT: u32 = 16;

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

/// Multiply-adds that `queries` against a row take the time of, with what it takes to read the row.
fn cost(format: RowFormat, queries: u32, dim: u32) -> f64 {
    let (dim, queries) = (f64::from(dim), f64::from(queries));
    match format {
        RowFormat::Int8 => dim * (queries + 2.0),
        RowFormat::Float32 | RowFormat::Float16 => dim * (queries + 1.0),
        RowFormat::Binary => dim / 8.0 * (queries + 1.0),
    }
}

impl GpuKernels {
    /// Queries `[Q]`, rows of `format` padded as on the device, as the kernel reads them: some want int8 codes widened to
    /// i32, so that it is not done again for each row.
    pub fn queries(&self, format: RowFormat, padded: Vec<u8>) -> Vec<u8> {
        let shader = self.find(Operation::Dense(format)).and_then(|kernel| kernel.pipelines.first()).map(|p| p.shader);
        if shader.is_some_and(|shader| shader.find_constant("WIDE_QUERIES").is_some()) {
            return padded.into_iter().flat_map(|code| i32::from(code as i8).to_le_bytes()).collect();
        }
        padded
    }
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::dense`]. The buffers are the queries, the rows and the similarities.
    pub fn dense(
        &mut self,
        format: RowFormat,
        buffers: [&GpuBuffer; 3],
        queries: u32,
        rows: Range<u32>,
        dim: u32,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::Dense(format))?;
        let pipeline = &kernel.pipelines[0];
        let (block, group) = (pipeline.shader.constant("QUERIES"), pipeline.shader.workgroup[0]);
        let blocks = queries.div_ceil(block);
        // A dispatch has no more work than a submission is meant to have, and no more workgroups than are allowed.
        let room = self.budget() / cost(format, queries.min(block), dim);
        let blocks_each = (room / f64::from(group)).clamp(1.0, f64::from(blocks.clamp(1, MAX_GROUPS))) as u32;
        let groups = (room / f64::from(blocks_each) / f64::from(group)).clamp(1.0, f64::from(MAX_GROUPS)) as u32;
        for first_row in rows.clone().step_by((groups * group) as usize) {
            let end_row = rows.end.min(first_row.saturating_add(groups * group));
            for first_block in (0..blocks).step_by(blocks_each as usize) {
                let blocks = blocks_each.min(blocks - first_block);
                let params = Params {
                    stride: format.padded_bytes(dim) / ELEMENT,
                    first_row,
                    end_row,
                    first_block,
                    queries,
                    column_row: rows.start,
                    columns: rows.len() as u32,
                };
                let here = (blocks * block).min(queries - first_block * block);
                let work = f64::from(end_row - first_row) * cost(format, here, dim);
                self.push(pipeline, params, &buffers, [(end_row - first_row).div_ceil(group), blocks, 1], work)?;
            }
        }
        Ok(())
    }
}
