use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::{Heads, Operation, Tile};
use crate::error::Result;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    tiles: u32,
    heads: u32,
    group: u32,
    dh4: u32,
    scale: f32,
    causal: u32,
    first_key: u32,
    end_key: u32,
    reach: u32,
}

/// Keys of a text that one dispatch covers; see `attention.wgsl` for why there is a bound.
const RANGE: u32 = 2048;

impl Recorder<'_> {
    /// See [`crate::backend::Run::attention`]. The buffers are the tiles, `q`, `k`, `v`, `y` and the scratch memory.
    pub fn attention(&mut self, tiles: &[Tile], buffers: [&GpuBuffer; 6], heads: Heads) -> Result<()> {
        let kernel = self.kernel(Operation::Attention)?;
        let pipeline = &kernel.pipelines[0];
        let keys = tiles.iter().map(|t| t.keys).max().unwrap_or(0);
        for first_key in (0..keys).step_by(RANGE as usize) {
            let params = Params {
                tiles: tiles.len() as u32,
                heads: heads.query,
                group: heads.query / heads.key,
                dh4: heads.dim / 4,
                scale: (1.0 / f64::from(heads.dim).sqrt()) as f32,
                causal: u32::from(heads.causal),
                first_key,
                end_key: first_key + RANGE,
                reach: heads.reach(),
            };
            let seen = tiles.iter().map(|t| f64::from(t.keys.saturating_sub(first_key).min(RANGE))).sum::<f64>();
            let work = 2.0 * f64::from(Tile::ROWS) * seen * f64::from(heads.query * heads.dim);
            let groups = [(tiles.len() as u32 * heads.query).div_ceil(pipeline.shader.workgroup[0]), 1, 1];
            self.push(pipeline, params, &buffers, groups, work)?;
        }
        Ok(())
    }
}
