use bytemuck::{Pod, Zeroable};

use super::Products;
use crate::gpu::{Linear, Recorder};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    k4: u32,
    groups: u32,
    group4: u32,
    y_col: u32,
    y_stride: u32,
}

impl Recorder<'_> {
    /// `y = silu(x gate^T) * (x up^T)` for `rows` rows of `x` `[rows, K]`; `gate_up` is the pair of gate and up, each
    /// `[I, K]`; `y` `[rows, I]`.
    pub fn swiglu(&mut self, x: &wgpu::Buffer, gate_up: &Linear, y: &wgpu::Buffer, rows: u32) {
        let Some(Products { swiglu: pipeline, .. }) = self.products(gate_up, 2) else { return };
        let [groups, group4] = gate_up.storage().shader_groups(gate_up.k);
        for part in &gate_up.parts {
            let params = Params {
                rows,
                cols: part.rows,
                k4: gate_up.k / 4,
                groups,
                group4,
                y_col: part.first,
                y_stride: gate_up.n,
            };
            // A workgroup is 8 x 8 threads of 4 outputs x 4 tokens.
            let workgroups = [part.rows.div_ceil(32), rows.div_ceil(32), 1];
            let work = 2.0 * f64::from(rows) * f64::from(part.rows) * f64::from(gate_up.k);
            let buffers: Vec<_> = [x, y].into_iter().chain(part.buffers()).collect();
            self.push(&pipeline, params, &buffers, workgroups, work);
        }
    }
}
