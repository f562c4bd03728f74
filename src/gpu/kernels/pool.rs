use bytemuck::{Pod, Zeroable};

use crate::gpu::Recorder;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    h: u32,
}

/// Consecutive rows that belong to one pooled vector.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Segment {
    /// First row in `x`.
    pub row: u32,
    /// Rows.
    pub count: u32,
    /// Rows of this vector that came before, in earlier calls; 0 starts it anew.
    pub start: u32,
    /// The vector's row in the state.
    pub text: u32,
}

impl Recorder<'_> {
    /// Adds rows of `x` `[rows, H]` to the running sums `state` `[B, H, 2]`, as `segments` (whose bytes are in
    /// `table`) say. [`Recorder::quantise`] reads the state.
    pub fn pool(&mut self, segments: &[Segment], table: &wgpu::Buffer, x: &wgpu::Buffer, state: &wgpu::Buffer, h: u32) {
        let pipeline = self.kernels.pool.clone();
        let rows: u32 = segments.iter().map(|s| s.count).sum();
        let groups = [h.div_ceil(64), segments.len() as u32, 1];
        self.push(&pipeline, Params { h }, &[table, x, state], groups, f64::from(rows) * f64::from(h));
    }
}
