//! The two operations that read weight matrices: `matmul` and `swiglu`.

use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::kernel::GpuKernel;
use crate::backend::gpu::{GpuBuffer, GpuWeight, Recorder};
use crate::backend::ops::Operation;
use crate::error::{Error, Result};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    k4: u32,
    groups: u32,
    group4: u32,
    y_row: u32,
    y_col: u32,
    y_stride: u32,
    accumulate: u32,
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::matmul`] and [`crate::backend::Run::matmul_add`].
    pub fn matmul(
        &mut self,
        x: &GpuBuffer,
        w: &GpuWeight,
        y: &GpuBuffer,
        rows: u32,
        y_row: u32,
        add: bool,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::Matmul(w.format()))?;
        self.linear(&kernel, x, w, y, Params { rows, y_row, accumulate: u32::from(add), ..w.params() }, 1)
    }

    /// See [`crate::backend::Run::swiglu`].
    pub fn swiglu(&mut self, x: &GpuBuffer, gate_up: &GpuWeight, y: &GpuBuffer, rows: u32) -> Result<()> {
        let kernel = self.kernel(Operation::Swiglu(gate_up.format()))?;
        self.linear(&kernel, x, gate_up, y, Params { rows, ..gate_up.params() }, 2)
    }

    /// A dispatch for each part of the weight, which must be of so many matrices.
    fn linear(
        &mut self,
        kernel: &GpuKernel,
        x: &GpuBuffer,
        w: &GpuWeight,
        y: &GpuBuffer,
        params: Params,
        matrices: u32,
    ) -> Result<()> {
        let pipeline = &kernel.pipelines[0];
        if w.packing != kernel.family.packing {
            let message = format!("{} reads {:?}, the weight is {:?}", kernel.name(), kernel.family.packing, w.packing);
            return Err(Error::Gpu { message });
        }
        if w.matrices != matrices {
            let message = format!("{} reads {matrices} matrices, the weight has {}", pipeline.shader.name, w.matrices);
            return Err(Error::Gpu { message });
        }
        let [threads_x, threads_y, _] = pipeline.shader.workgroup;
        let outputs = threads_x * pipeline.shader.constant("OUTPUTS");
        let tokens = threads_y * pipeline.shader.constant("TOKENS");
        for part in &w.parts {
            let groups = [part.rows.div_ceil(outputs), params.rows.div_ceil(tokens), 1];
            let work = f64::from(matrices) * f64::from(params.rows) * f64::from(part.rows) * f64::from(w.k);
            let buffers: Vec<_> = [x, y].into_iter().chain(part.buffers()).collect();
            self.push(pipeline, Params { cols: part.rows, y_col: part.first, ..params }, &buffers, groups, work)?;
        }
        Ok(())
    }
}

impl GpuWeight {
    /// The parameters that follow from the weight alone.
    fn params(&self) -> Params {
        let [groups, group4] = self.shader_groups();
        let (k4, y_stride) = (self.k / 4, self.n);
        Params { rows: 0, cols: 0, k4, groups, group4, y_row: 0, y_col: 0, y_stride, accumulate: 0 }
    }
}
