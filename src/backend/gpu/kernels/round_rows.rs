use std::rc::Rc;

use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::kernel::GpuKernel;
use crate::backend::gpu::{GpuBuffer, GpuWeight, Recorder};
use crate::error::Result;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    k4: u32,
    group4: u32,
    block4: u32,
    pieces: u32,
    blocks: u32,
    span: u32,
    eps: f32,
}

impl Recorder<'_> {
    /// The rows of `x` rounded as `kernel` reads them with this weight, normalized before where there is a norm; `None` where it
    /// reads `x` itself. They stay until rows are rounded again.
    pub(super) fn rounded(
        &mut self,
        kernel: &GpuKernel,
        x: &GpuBuffer,
        w: &GpuWeight,
        norm: Option<(&GpuBuffer, f32)>,
        rows: u32,
    ) -> Result<Option<Rc<GpuBuffer>>> {
        let Some(pipeline) = kernel.tiles().1 else { return Ok(None) };
        let shape = w.byte_shape();
        let row_bytes = if kernel.takes_halves() { shape.half_row_bytes() } else { shape.row_bytes() };
        let rounded = self.scratch("rounded", u64::from(rows) * row_bytes)?;
        let params = Params {
            k4: w.k / 4,
            group4: shape.group / 4,
            block4: shape.block / 4,
            pieces: shape.group.div_ceil(shape.block),
            blocks: shape.blocks,
            span: shape.span,
            eps: norm.map_or(0.0, |(_, eps)| eps),
        };
        let buffers: Vec<&GpuBuffer> = [x, &rounded].into_iter().chain(norm.map(|(weight, _)| weight)).collect();
        self.push(pipeline, params, &buffers, [rows, 1, 1], f64::from(rows) * f64::from(w.k) * 4.0)?;
        Ok(Some(rounded))
    }
}
