use bytemuck::{Pod, Zeroable};

use crate::gpu::Recorder;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    heads: u32,
    half: u32,
    x_row: u32,
    position_row: u32,
    eps: f32,
}

/// Where a token's place in its text, and that place's cosines and sines, are found.
#[derive(Clone, Copy)]
pub struct Rope<'a> {
    /// `[positions, Dh/2, 2]`: cosine and sine, see [`crate::cpu::rope_table`].
    pub table: &'a wgpu::Buffer,
    /// `[T]` u32: each token's place in its text.
    pub positions: &'a wgpu::Buffer,
}

impl Recorder<'_> {
    /// RMSNorm of each head, then rotary embedding, in place, on `rows` rows of `x` `[.., heads, Dh]` from `x_row`
    /// on, whose tokens are those from `position_row` on; `w` `[Dh]`.
    pub fn head_norm_rope(
        &mut self,
        x: &wgpu::Buffer,
        w: &wgpu::Buffer,
        rope: Rope<'_>,
        rows: u32,
        [heads, dh]: [u32; 2],
        [x_row, position_row]: [u32; 2],
        eps: f32,
    ) {
        let pipeline = self.kernels.head_norm_rope.clone();
        let params = Params { rows, heads, half: dh / 2, x_row, position_row, eps };
        let work = f64::from(rows * heads) * f64::from(dh) * 4.0;
        let groups = [(rows * heads).div_ceil(64), 1, 1];
        self.push(&pipeline, params, &[w, rope.table, rope.positions, x], groups, work);
    }
}
