use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::{Activation, Operation};
use crate::error::Result;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    n: u32,
    y_row: u32,
    tanh: u32,
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::bias`].
    pub fn bias(
        &mut self,
        [b, y]: [&GpuBuffer; 2],
        rows: u32,
        y_row: u32,
        n: u32,
        activation: Activation,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::Bias)?;
        let pipeline = &kernel.pipelines[0];
        let params = Params { rows, n, y_row, tanh: u32::from(activation == Activation::Tanh) };
        let groups = [n.div_ceil(pipeline.shader.workgroup[0]), rows, 1];
        self.push(pipeline, params, &[b, y], groups, f64::from(rows) * f64::from(n))
    }
}
