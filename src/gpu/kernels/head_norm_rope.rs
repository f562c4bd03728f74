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

/// Which rows of which heads, and the norm's epsilon.
#[derive(Clone, Copy)]
pub struct HeadRows {
    /// Tokens.
    pub rows: u32,
    /// Hq or Hkv.
    pub heads: u32,
    /// Dh, even.
    pub dim: u32,
    /// The first token's row of `x`.
    pub x_row: u32,
    /// The first token's row of the table of positions.
    pub position_row: u32,
    /// RMSNorm's epsilon.
    pub eps: f32,
}

impl Recorder<'_> {
    /// RMSNorm of each head with weight `w` `[Dh]`, then rotary embedding, in place, of `x` `[.., heads, Dh]`.
    pub fn head_norm_rope(&mut self, x: &wgpu::Buffer, w: &wgpu::Buffer, rope: Rope<'_>, shape: HeadRows) {
        let pipeline = self.kernels.head_norm_rope.clone();
        let HeadRows { rows, heads, dim, x_row, position_row, eps } = shape;
        let params = Params { rows, heads, half: dim / 2, x_row, position_row, eps };
        let work = f64::from(rows * heads) * f64::from(dim) * 4.0;
        let groups = [(rows * heads).div_ceil(64), 1, 1];
        self.push(&pipeline, params, &[w, rope.table, rope.positions, x], groups, work);
    }
}
