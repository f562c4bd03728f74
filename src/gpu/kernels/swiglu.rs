use bytemuck::{Pod, Zeroable};

use crate::gpu::{Linear, Recorder};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    k4: u32,
    y_col: u32,
    y_stride: u32,
}

impl Recorder<'_> {
    /// `y = silu(x gate^T) * (x up^T)` for `rows` rows of `x` `[rows, K]`; `gate` and `up` `[I, K]`, of one type and
    /// so cut alike; `y` `[rows, I]`.
    pub fn swiglu(&mut self, x: &wgpu::Buffer, gate: &Linear, up: &Linear, y: &wgpu::Buffer, rows: u32) {
        let pipeline = self.kernels.swiglu.clone();
        for (gate_part, up_part) in gate.parts.iter().zip(&up.parts) {
            let params =
                Params { rows, cols: gate_part.rows, k4: gate.k / 4, y_col: gate_part.first, y_stride: gate.n };
            // A workgroup is 8 x 8 threads of 4 outputs x 4 tokens.
            let groups = [gate_part.rows.div_ceil(32), rows.div_ceil(32), 1];
            let work = 2.0 * f64::from(rows) * f64::from(gate_part.rows) * f64::from(gate.k);
            self.push(&pipeline, params, &[x, &gate_part.buffer, &up_part.buffer, y], groups, work);
        }
    }
}
