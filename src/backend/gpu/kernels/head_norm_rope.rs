use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::{HeadRows, Operation};
use crate::error::Result;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    heads: u32,
    half: u32,
    x_row: u32,
    position_row: u32,
    eps: f32,
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::head_norm_rope`].
    pub fn head_norm_rope(&mut self, [x, w, table, positions]: [&GpuBuffer; 4], shape: HeadRows) -> Result<()> {
        let kernel = self.kernel(Operation::HeadNormRope)?;
        let pipeline = &kernel.pipelines[0];
        let HeadRows { rows, heads, dim, x_row, position_row, eps } = shape;
        let params = Params { rows, heads, half: dim / 2, x_row, position_row, eps };
        let work = f64::from(rows * heads) * f64::from(dim) * 4.0;
        // A workgroup a head, or a thread.
        let groups = match pipeline.shader.find_constant("LANES") {
            Some(_) => [heads, rows, 1],
            None => [(rows * heads).div_ceil(pipeline.shader.workgroup[0]), 1, 1],
        };
        self.push(pipeline, params, &[w, table, positions, x], groups, work)
    }
}
