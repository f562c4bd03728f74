use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::{Operation, Segment};
use crate::error::Result;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    h: u32,
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::pool`].
    pub fn pool(&mut self, segments: &[Segment], [table, x, sums]: [&GpuBuffer; 3], h: u32) -> Result<()> {
        let kernel = self.kernel(Operation::Pool)?;
        let pipeline = &kernel.pipelines[0];
        let rows: u32 = segments.iter().map(|s| s.count).sum();
        let groups = [h.div_ceil(pipeline.shader.workgroup[0]), segments.len() as u32, 1];
        self.push(pipeline, Params { h }, &[table, x, sums], groups, f64::from(rows) * f64::from(h))
    }
}
