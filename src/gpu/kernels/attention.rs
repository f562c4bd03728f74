use bytemuck::{Pod, Zeroable};

use crate::gpu::Recorder;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    tiles: u32,
    heads: u32,
    group: u32,
    dh4: u32,
    scale: f32,
    causal: u32,
    first_tile: u32,
}

/// Up to four consecutive tokens of one text, and the keys they attend to.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Tile {
    /// First query row in `q` and `y`.
    pub row: u32,
    /// Query rows, 1 to [`Tile::ROWS`].
    pub count: u32,
    /// Row of the text's first key in `k` and `v`.
    pub key: u32,
    /// Keys in reach: the whole text, or, where attention is causal, up to the tile's last token.
    pub keys: u32,
}

impl Tile {
    /// Most query rows in a tile.
    pub const ROWS: u32 = 4;

    /// The tiles of tokens `start..start + count` of a text of `length` tokens: its first key is row `key` of `k`,
    /// its token `start` is row `row` of `q`.
    pub fn cover(row: u32, key: u32, start: u32, count: u32, length: u32, causal: bool) -> impl Iterator<Item = Self> {
        (0..count).step_by(Self::ROWS as usize).map(move |at| {
            let rows = Self::ROWS.min(count - at);
            Self { row: row + at, count: rows, key, keys: if causal { start + at + rows } else { length } }
        })
    }
}

/// The shape of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Hq, query heads.
    pub query: u32,
    /// Hkv, key and value heads; divides Hq.
    pub key: u32,
    /// Dh, dimensions of a head; a multiple of four.
    pub dim: u32,
    /// Tokens see only themselves and those before them.
    pub causal: bool,
}

impl Recorder<'_> {
    /// Attention of the tokens in `tiles` (of which `buffers[0]` holds the bytes): `buffers` are tiles, `q`
    /// `[rows, Hq, Dh]`, `k` and `v` `[T, Hkv, Dh]`, and the result `[rows, Hq, Dh]`.
    pub fn attention(&mut self, tiles: &[Tile], buffers: [&wgpu::Buffer; 5], heads: Heads) {
        let pipeline = self.kernels.attention.clone();
        let keys = tiles.iter().map(|t| t.keys).max().unwrap_or(0);
        let tile_work = 2.0 * f64::from(Tile::ROWS) * f64::from(keys) * f64::from(heads.query * heads.dim);
        // A long text's tiles are spread over dispatches, so that no submission holds the device for long.
        let each = ((self.budget() / tile_work.max(1.0)) as usize).clamp(16, 4096);
        for (i, some) in tiles.chunks(each).enumerate() {
            let params = Params {
                tiles: some.len() as u32,
                heads: heads.query,
                group: heads.query / heads.key,
                dh4: heads.dim / 4,
                scale: (1.0 / f64::from(heads.dim).sqrt()) as f32,
                causal: u32::from(heads.causal),
                first_tile: (i * each) as u32,
            };
            let groups = [(some.len() as u32 * heads.query).div_ceil(64), 1, 1];
            self.push(&pipeline, params, &buffers, groups, tile_work * some.len() as f64);
        }
    }
}
