use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::Operation;
use crate::error::Result;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    h4: u32,
    eps: f32,
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::rms_norm`].
    pub fn rms_norm(&mut self, [x, w, y]: [&GpuBuffer; 3], rows: u32, h: u32, eps: f32) -> Result<()> {
        let kernel = self.kernel(Operation::RmsNorm)?;
        let work = f64::from(rows) * f64::from(h) * 2.0;
        self.push(&kernel.pipelines[0], Params { h4: h / 4, eps }, &[x, w, y], [rows, 1, 1], work)
    }
}
