//! The buffers of a forward pass. They grow to the largest batch seen and are reused by every call.

use super::shape::Shape;
use crate::backend::{Backend, Buffer, Segment, Tile};
use crate::error::Result;

/// Buffers for batches of up to `tokens` tokens and `vectors` vectors, of D dimensions before any are cut off.
///
/// Everything but attention works on one token at a time, so a batch goes through a layer in blocks of tokens: what a
/// layer makes in between (`q`, the gated MLP) needs room for one block only. Only `k` and `v` are as long as the batch.
pub(super) struct Arena {
    /// C, tokens of a block; see [`crate::backend::Limits::token_block`].
    pub(super) block: u32,
    pub(super) blocks: Vec<BlockBuffers>,
    /// `[C, H]`, normalized rows.
    pub(super) h: Buffer,
    /// `[C, Hq * Dh]`
    pub(super) q: Buffer,
    /// `[C, Hq * Dh]`, the result of attention.
    pub(super) a: Buffer,
    /// `[C]` of [`crate::backend::Heads::state_bytes`]
    pub(super) softmax: Buffer,
    /// `[C, I]`
    pub(super) m: Buffer,
    /// `[C, D]`, projected rows of a late model.
    pub(super) p: Buffer,
    /// `[T, Hkv * Dh]`
    pub(super) k: Buffer,
    /// `[T, Hkv * Dh]`
    pub(super) v: Buffer,
    /// `[T]`, each token's place in its text.
    pub(super) positions: Buffer,
    /// `[positions, Dh/2, 2]`
    pub(super) rope: Buffer,
    /// `[vectors, .., 2]`, as wide as the widest vector between pooling and the result.
    pub(super) sums: Buffer,
    /// `[vectors]`
    pub(super) counts: Buffer,
    /// `[vectors, words]`, then a word for each vector: 1 where it is not finite.
    pub(super) vectors: Buffer,
    /// There for a model that has linear layers after pooling.
    pub(super) head: Option<HeadBuffers>,
    tokens: u32,
    outputs: u32,
    longest: u32,
}

/// The buffers of the steps after pooling.
pub(super) struct HeadBuffers {
    /// What goes into a linear layer: vectors as [`Arena::vectors`] has them.
    pub(super) x: Buffer,
    /// What comes out.
    pub(super) y: Buffer,
    /// `[vectors]`, 1 for each vector of some tokens and 0 for those of none.
    pub(super) ones: Buffer,
    /// `[vectors]` of [`Segment`]: `rows`.
    pub(super) segments: Buffer,
    /// Each row is a sum of its own.
    pub(super) rows: Vec<Segment>,
}

impl HeadBuffers {
    fn new(backend: &Backend, vectors: u64, width: u64) -> Result<Self> {
        let row = |i: u64| Segment { row: i as u32, count: 1, start: 0, vector: i as u32, weight: 1.0, slope: 0.0 };
        Ok(Self {
            x: backend.buffer("head", vectors * (width + 1) * 4)?,
            y: backend.buffer("head", vectors * width * 4)?,
            ones: backend.buffer("ones", vectors * 4)?,
            segments: backend.buffer("rows", vectors * size_of::<Segment>() as u64)?,
            rows: (0..vectors).map(row).collect(),
        })
    }
}

/// The buffers that belong to one block of the batch.
pub(super) struct BlockBuffers {
    /// `[C, H]`, the residual stream.
    pub(super) x: Buffer,
    /// `[C]` of [`Tile`]
    pub(super) tiles: Buffer,
    /// `[C]` of [`Segment`]
    pub(super) segments: Buffer,
}

impl Arena {
    /// Room for one block of intermediate results, and no batch yet.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] if there is no room.
    pub(super) fn new(backend: &Backend, shape: &Shape) -> Result<Self> {
        let block = backend.limits().token_block;
        let rows = |name: &str, columns: u32| backend.buffer(name, u64::from(block) * u64::from(columns) * 4);
        let empty = |name: &str| backend.buffer(name, 0);
        Ok(Self {
            block,
            blocks: Vec::new(),
            h: rows("h", shape.hidden)?,
            q: rows("q", shape.query_heads * shape.head_dim)?,
            a: rows("a", shape.query_heads * shape.head_dim)?,
            softmax: backend.buffer("softmax", u64::from(block) * shape.heads(0).state_bytes())?,
            m: rows("m", shape.intermediate)?,
            p: rows("p", if shape.late { shape.dimensions } else { 0 })?,
            k: empty("k")?,
            v: empty("v")?,
            positions: empty("positions")?,
            rope: empty("rope")?,
            sums: empty("sums")?,
            counts: empty("counts")?,
            vectors: empty("vectors")?,
            head: None,
            tokens: 0,
            outputs: 0,
            longest: 0,
        })
    }

    /// Whether it is large enough for a batch.
    pub(super) fn has_room(&self, tokens: u32, outputs: u32, longest: u32) -> bool {
        let rows = self.blocks.len() as u64 * u64::from(self.block);
        u64::from(tokens) <= rows && tokens <= self.tokens && outputs <= self.outputs && longest <= self.longest
    }

    /// Grows to `tokens` tokens, the longest text of `longest`, and `outputs` vectors.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], or [`crate::Error::AdapterTooSmall`] if `k` does not fit one buffer.
    pub(super) fn reserve(
        &mut self,
        backend: &Backend,
        shape: &Shape,
        tokens: u32,
        outputs: u32,
        longest: u32,
    ) -> Result<()> {
        while (self.blocks.len() as u64 * u64::from(self.block)) < u64::from(tokens) {
            let of = |bytes: usize| u64::from(self.block) * bytes as u64;
            self.blocks.push(BlockBuffers {
                x: backend.buffer("x", of(shape.hidden as usize * 4))?,
                tiles: backend.buffer("tiles", of(size_of::<Tile>()))?,
                segments: backend.buffer("segments", of(size_of::<Segment>()))?,
            });
        }
        let most = backend.limits().buffer_bytes;
        let placed = tokens > self.tokens || longest > self.longest;
        if tokens > self.tokens {
            // To the next power of two, so that growing batches seldom reallocate, within what one buffer holds.
            let row = u64::from(shape.key_heads * shape.head_dim) * 4;
            let room = u64::from(tokens.next_power_of_two()).min(most / row).max(u64::from(tokens));
            self.k = backend.buffer("k", room * row)?;
            self.v = backend.buffer("v", room * row)?;
            self.tokens = room as u32;
        }
        if outputs > self.outputs {
            let width = u64::from(shape.widest);
            let room = u64::from(outputs.next_power_of_two()).min(most / (width * 8)).max(outputs.into());
            self.sums = backend.buffer("sums", room * width * 8)?;
            self.counts = backend.buffer("counts", room * 4)?;
            self.vectors = backend.buffer("vectors", room * (u64::from(shape.dimensions) * 4 + 4))?;
            self.head = match shape.dense {
                true => Some(HeadBuffers::new(backend, room, width)?),
                false => None,
            };
            self.outputs = room as u32;
        }
        if placed {
            let room = longest.next_power_of_two().max(512).max(self.longest);
            let table = shape.rope.table(room as usize, shape.head_dim as usize);
            let sizes = [size_of_val(&table[..]) as u64, u64::from(self.tokens) * 4];
            [self.rope, self.positions] = backend.buffers("places", sizes)?;
            self.rope.write(0, &table);
            self.longest = room;
        }
        Ok(())
    }
}
