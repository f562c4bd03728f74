use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::Operation;
use crate::error::{Error, Result};
use crate::numbers::RowFormat;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    columns: u32,
    blocks: u32,
    first_row: u32,
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::dense_bounds`].
    pub fn dense_bounds(
        &mut self,
        format: RowFormat,
        [similarities, bounds]: [&GpuBuffer; 2],
        squares: Option<&GpuBuffer>,
        [queries, columns]: [u32; 2],
        first_row: u32,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::DenseBounds(format))?;
        let pipeline = &kernel.pipelines[0];
        if squares.is_some() != (format == RowFormat::Int8) {
            return Err(Error::Gpu { message: "rows of codes, and no others, have squares".into() });
        }
        let blocks = columns.div_ceil(pipeline.shader.constant("ROWS"));
        let params = Params { columns, blocks, first_row };
        let buffers: Vec<_> = [similarities, bounds].into_iter().chain(squares).collect();
        let groups = [blocks.div_ceil(pipeline.shader.workgroup[0]), queries, 1];
        self.push(pipeline, params, &buffers, groups, f64::from(queries) * f64::from(columns) * 4.0)
    }
}
