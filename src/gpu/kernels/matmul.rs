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
    y_row: u32,
    y_col: u32,
    y_stride: u32,
    accumulate: u32,
}

impl Recorder<'_> {
    /// `y[y_row..] = x w^T` for `rows` rows of `x` `[rows, K]`; `w` `[N, K]`, `y` `[.., N]`.
    pub fn matmul(&mut self, x: &wgpu::Buffer, w: &Linear, y: &wgpu::Buffer, rows: u32, y_row: u32) {
        self.linear(x, w, y, rows, y_row, false);
    }

    /// `y += x w^T`, otherwise as [`Recorder::matmul`] from row 0.
    pub fn matmul_add(&mut self, x: &wgpu::Buffer, w: &Linear, y: &wgpu::Buffer, rows: u32) {
        self.linear(x, w, y, rows, 0, true);
    }

    fn linear(&mut self, x: &wgpu::Buffer, w: &Linear, y: &wgpu::Buffer, rows: u32, y_row: u32, accumulate: bool) {
        let Some(Products { matmul: pipeline, .. }) = self.products(w, 1) else { return };
        let [groups, group4] = w.storage().shader_groups(w.k);
        for part in &w.parts {
            let params = Params {
                rows,
                cols: part.rows,
                k4: w.k / 4,
                groups,
                group4,
                y_row,
                y_col: part.first,
                y_stride: w.n,
                accumulate: u32::from(accumulate),
            };
            // A workgroup is 8 x 8 threads of 8 outputs x 4 tokens.
            let workgroups = [part.rows.div_ceil(64), rows.div_ceil(32), 1];
            let work = f64::from(rows) * f64::from(part.rows) * f64::from(w.k);
            let buffers: Vec<_> = [x, y].into_iter().chain(part.buffers()).collect();
            self.push(&pipeline, params, &buffers, workgroups, work);
        }
    }
}
