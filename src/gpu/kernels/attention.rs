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
    first_key: u32,
    end_key: u32,
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

/// The buffers of an attention layer.
#[derive(Clone, Copy)]
pub struct AttentionBuffers<'a> {
    /// The bytes of the tiles.
    pub tiles: &'a wgpu::Buffer,
    /// `[rows, Hq, Dh]`
    pub q: &'a wgpu::Buffer,
    /// `[T, Hkv, Dh]`
    pub k: &'a wgpu::Buffer,
    /// `[T, Hkv, Dh]`
    pub v: &'a wgpu::Buffer,
    /// The result, `[rows, Hq, Dh]`
    pub y: &'a wgpu::Buffer,
    /// Scratch, [`Heads::state_bytes`] a tile
    pub state: &'a wgpu::Buffer,
}

impl Heads {
    /// Bytes of scratch that a tile needs: two vec4 a head.
    pub fn state_bytes(&self) -> u64 {
        u64::from(self.query) * 32
    }
}

/// Keys of a text that one dispatch covers; see `attention.wgsl` for why there is a bound.
const RANGE: u32 = 2048;

impl Recorder<'_> {
    /// Attention of the tokens in `tiles`, whose bytes are in `buffers.tiles`.
    pub fn attention(&mut self, tiles: &[Tile], buffers: AttentionBuffers<'_>, heads: Heads) {
        let pipeline = self.kernels.attention.clone();
        let AttentionBuffers { tiles: table, q, k, v, y, state } = buffers;
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
            };
            let seen = tiles.iter().map(|t| f64::from(t.keys.saturating_sub(first_key).min(RANGE))).sum::<f64>();
            let work = 2.0 * f64::from(Tile::ROWS) * seen * f64::from(heads.query * heads.dim);
            let groups = [(tiles.len() as u32 * heads.query).div_ceil(64), 1, 1];
            self.push(&pipeline, params, &[table, q, k, v, y, state], groups, work);
        }
    }
}
