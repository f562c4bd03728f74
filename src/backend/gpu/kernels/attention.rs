use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::kernel::Pipeline;
use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::{Heads, Operation, Tile};
use crate::error::Result;

/// Of `attention.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RangeParams {
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

/// Of `attention_tile.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct TileParams {
    heads: u32,
    group: u32,
    dh4: u32,
    scale: f32,
    causal: u32,
    keys: u32,
    first: u32,
    reach: u32,
}

/// Keys of a text that one dispatch covers; see `attention.wgsl` for why there is a bound.
const RANGE: u32 = 2048;

impl Recorder<'_> {
    /// See [`crate::backend::Run::attention`]. The buffers are the tiles, `q`, `k`, `v`, `y` and the scratch memory.
    pub fn attention(&mut self, tiles: &[Tile], buffers: [&GpuBuffer; 6], heads: Heads) -> Result<()> {
        let kernel = self.kernel(Operation::Attention(heads))?;
        let pipeline = &kernel.pipelines[0];
        if pipeline.shader.find_constant("ROWS").is_some() {
            return self.attention_tiles(pipeline, tiles, buffers, heads);
        }
        self.attention_ranges(pipeline, tiles, buffers, heads)
    }

    /// A dispatch for each range of keys.
    fn attention_ranges(
        &mut self,
        pipeline: &Pipeline,
        tiles: &[Tile],
        buffers: [&GpuBuffer; 6],
        heads: Heads,
    ) -> Result<()> {
        let keys = tiles.iter().map(|t| t.keys).max().unwrap_or(0);
        for first_key in (0..keys).step_by(RANGE as usize) {
            let params = RangeParams {
                tiles: tiles.len() as u32,
                heads: heads.query,
                group: heads.group(),
                dh4: heads.dim / 4,
                scale: scale(heads) as f32,
                causal: u32::from(heads.causal),
                first_key,
                end_key: first_key + RANGE,
                reach: heads.reach(),
            };
            let groups = [(tiles.len() as u32 * heads.query).div_ceil(pipeline.shader.workgroup[0]), 1, 1];
            let work = tiles.iter().map(|t| work(t.count, t.keys.saturating_sub(first_key).min(RANGE), heads)).sum();
            self.push(pipeline, params, &buffers, groups, work)?;
        }
        Ok(())
    }

    /// A workgroup for each tile and key head, in dispatches of tiles that fill a submission.
    fn attention_tiles(
        &mut self,
        pipeline: &Pipeline,
        tiles: &[Tile],
        buffers: [&GpuBuffer; 6],
        heads: Heads,
    ) -> Result<()> {
        let [table, q, k, v, y, _] = buffers;
        let mut first = 0;
        while first < tiles.len() {
            let budget = self.budget();
            let (mut end, mut together) = (first, 0.0);
            while end < tiles.len() && (end == first || together < budget) {
                let tile = &tiles[end];
                let keys = tile.seen(0, heads).start..tile.seen(tile.count - 1, heads).end;
                together += work(tile.count, keys.len() as u32, heads);
                end += 1;
            }
            let params = TileParams {
                heads: heads.query,
                group: heads.group(),
                dh4: heads.dim / 4,
                scale: (scale(heads) * std::f64::consts::LOG2_E) as f32,
                causal: u32::from(heads.causal),
                keys: pipeline.shader.constant("KEYS"),
                first: first as u32,
                reach: heads.reach(),
            };
            let groups = [(end - first) as u32, heads.key, 1];
            self.push(pipeline, params, &[table, q, k, v, y], groups, together)?;
            first = end;
        }
        Ok(())
    }
}

fn scale(heads: Heads) -> f64 {
    1.0 / f64::from(heads.dim).sqrt()
}

/// Multiply-adds of so many queries with so many keys and values.
fn work(queries: u32, keys: u32, heads: Heads) -> f64 {
    2.0 * f64::from(queries) * f64::from(keys) * f64::from(heads.query * heads.dim)
}
