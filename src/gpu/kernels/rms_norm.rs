use bytemuck::{Pod, Zeroable};

use crate::gpu::Recorder;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    h4: u32,
    eps: f32,
}

impl Recorder<'_> {
    /// `y = RMSNorm(x) * w` for `rows` rows: `x` and `y` `[rows, H]`, `w` `[H]`; H is a multiple of four.
    pub fn rms_norm(&mut self, x: &wgpu::Buffer, w: &wgpu::Buffer, y: &wgpu::Buffer, rows: u32, h: u32, eps: f32) {
        let pipeline = self.kernels.rms_norm.clone();
        let work = f64::from(rows) * f64::from(h) * 2.0;
        self.push(&pipeline, Params { h4: h / 4, eps }, &[x, w, y], [rows, 1, 1], work);
    }
}
