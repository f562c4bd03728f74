//! The two operations that read weight matrices: `matmul` and `swiglu`.

use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::kernel::{GpuKernel, Packing, Pipeline};
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
        if w.packing != kernel.family.packing {
            let message = format!("{} reads {:?}, the weight is {:?}", kernel.name(), kernel.family.packing, w.packing);
            return Err(Error::Gpu { message });
        }
        if w.matrices != matrices {
            let message = format!("{} reads {matrices} matrices, the weight has {}", kernel.name(), w.matrices);
            return Err(Error::Gpu { message });
        }
        for part in &w.parts {
            let (pipeline, groups) = grid(kernel, params.rows, part.rows, matrices);
            let work = f64::from(matrices) * f64::from(params.rows) * f64::from(part.rows) * f64::from(w.k);
            let buffers: Vec<_> = [x, y].into_iter().chain(part.buffers()).collect();
            self.push(pipeline, Params { cols: part.rows, y_col: part.first, ..params }, &buffers, groups, work)?;
        }
        Ok(())
    }
}

/// Workgroups below which a tile is too large: it would leave much of a GPU without work.
const ENOUGH_GROUPS: u32 = 32;
/// Tokens up to which the kernel for few of them is taken: as many as two of its workgroups have.
const FEW_TOKENS: u32 = 32;

/// The pipeline for so many rows and outputs, and its workgroups. Families of several tiles list the largest first and the
/// one for few tokens last; all give the same bits.
fn grid(kernel: &GpuKernel, rows: u32, cols: u32, matrices: u32) -> (&Pipeline, [u32; 3]) {
    let grid = |pipeline: &Pipeline| {
        let shader = pipeline.shader;
        let [outputs, tokens] = match kernel.family.packing {
            // A thread's share.
            Packing::RowMajor => {
                [shader.workgroup[0] * shader.constant("OUTPUTS"), shader.workgroup[1] * shader.constant("TOKENS")]
            }
            // A workgroup's, which a pair has to share.
            Packing::Strips => [shader.constant("OUTPUTS") / matrices, shader.constant("TOKENS")],
        };
        [cols.div_ceil(outputs), rows.div_ceil(tokens), 1]
    };
    let last = kernel.pipelines.len() - 1;
    let fits = |i: &usize| {
        let [x, y, _] = grid(&kernel.pipelines[*i]);
        rows > FEW_TOKENS && (x * y >= ENOUGH_GROUPS || i + 2 > last)
    };
    let pipeline = &kernel.pipelines[(0..last).find(fits).unwrap_or(last)];
    (pipeline, grid(pipeline))
}

impl GpuWeight {
    /// The parameters that follow from the weight alone.
    fn params(&self) -> Params {
        let [groups, group4] = self.shader_groups();
        let (k4, y_stride) = (self.k / 4, self.n);
        Params { rows: 0, cols: 0, k4, groups, group4, y_row: 0, y_col: 0, y_stride, accumulate: 0 }
    }
}
