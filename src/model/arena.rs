//! The buffers of a forward pass. They grow to the largest batch seen and are used again by every call.

use super::Config;
use crate::cpu;
use crate::error::Result;
use crate::gpu::{Gpu, Segment, Tile};

/// Tokens of a slab on a GPU, and on a software adapter.
///
/// Everything but attention works on one token at a time, so a batch goes through a layer slab by slab: what a layer
/// makes in between (`q`, the gated MLP) needs room for one slab only, and no buffer of a 4B model at 32,768 tokens
/// outgrows WebGPU's 128 MiB binding. Only `k` and `v` are as long as the batch.
const SLAB: u32 = 512;
const SLAB_SOFTWARE: u32 = 128;

/// Buffers for batches of up to `tokens` tokens and `outputs` vectors, of D dimensions before any are cut off.
pub(super) struct Arena {
    /// C, tokens of a slab.
    pub(super) slab: u32,
    pub(super) slabs: Vec<Slab>,
    /// `[C, H]`, normalised rows.
    pub(super) h: wgpu::Buffer,
    /// `[C, Hq * Dh]`
    pub(super) q: wgpu::Buffer,
    /// `[C, Hq * Dh]`, what attention gives.
    pub(super) a: wgpu::Buffer,
    /// `[C]` of [`crate::gpu::Heads::state_bytes`]
    pub(super) softmax: wgpu::Buffer,
    /// `[C, I]`
    pub(super) m: wgpu::Buffer,
    /// `[C, D]`, projected rows of a late model.
    pub(super) p: wgpu::Buffer,
    /// `[T, Hkv * Dh]`
    pub(super) k: wgpu::Buffer,
    /// `[T, Hkv * Dh]`
    pub(super) v: wgpu::Buffer,
    /// `[T]`, each token's place in its text.
    pub(super) positions: wgpu::Buffer,
    /// `[positions, Dh/2, 2]`
    pub(super) rope: wgpu::Buffer,
    /// `[outputs, D, 2]`
    pub(super) sums: wgpu::Buffer,
    /// `[outputs]`
    pub(super) counts: wgpu::Buffer,
    /// `[outputs, words]`
    pub(super) vectors: wgpu::Buffer,
    tokens: u32,
    outputs: u32,
    longest: u32,
}

/// The buffers that belong to one slab of the batch.
pub(super) struct Slab {
    /// `[C, H]`, the residual stream.
    pub(super) x: wgpu::Buffer,
    /// `[C]` of [`Tile`]
    pub(super) tiles: wgpu::Buffer,
    /// `[C]` of [`Segment`]
    pub(super) segments: wgpu::Buffer,
}

impl Arena {
    /// Room for nothing yet.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] if there is no room for one slab.
    pub(super) fn new(gpu: &Gpu, config: &Config) -> Result<Self> {
        let slab = if gpu.adapter().software { SLAB_SOFTWARE } else { SLAB };
        let rows = |name: &str, columns: u32| gpu.storage(name, u64::from(slab) * u64::from(columns) * 4);
        Ok(Self {
            slab,
            slabs: Vec::new(),
            h: rows("h", config.hidden)?,
            q: rows("q", config.query_heads * config.head_dim)?,
            a: rows("a", config.query_heads * config.head_dim)?,
            softmax: gpu.storage("softmax", u64::from(slab) * config.heads().state_bytes())?,
            m: rows("m", config.intermediate)?,
            p: rows("p", if config.late.is_some() { config.dimensions() } else { 0 })?,
            k: gpu.storage("k", 0)?,
            v: gpu.storage("v", 0)?,
            positions: gpu.storage("positions", 0)?,
            rope: gpu.storage("rope", 0)?,
            sums: gpu.storage("sums", 0)?,
            counts: gpu.storage("counts", 0)?,
            vectors: gpu.storage("vectors", 0)?,
            tokens: 0,
            outputs: 0,
            longest: 0,
        })
    }

    /// Grows to `tokens` tokens, the longest text of `longest`, and `outputs` vectors.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`], or [`crate::Error::AdapterTooSmall`] if `k` does not fit one binding.
    pub(super) fn reserve(
        &mut self,
        gpu: &Gpu,
        config: &Config,
        tokens: u32,
        outputs: u32,
        longest: u32,
    ) -> Result<()> {
        while (self.slabs.len() as u64 * u64::from(self.slab)) < u64::from(tokens) {
            let of = |bytes: usize| u64::from(self.slab) * bytes as u64;
            self.slabs.push(Slab {
                x: gpu.storage("x", of(config.hidden as usize * 4))?,
                tiles: gpu.storage("tiles", of(size_of::<Tile>()))?,
                segments: gpu.storage("segments", of(size_of::<Segment>()))?,
            });
        }
        if tokens > self.tokens {
            // To the next power of two, so that growing batches seldom reallocate, within what one binding holds.
            let row = u64::from(config.key_heads * config.head_dim) * 4;
            let room = u64::from(tokens.next_power_of_two()).min(gpu.max_binding() / row).max(u64::from(tokens));
            replace(&mut self.k, gpu.storage("k", room * row)?);
            replace(&mut self.v, gpu.storage("v", room * row)?);
            replace(&mut self.positions, gpu.storage("positions", room * 4)?);
            self.tokens = room as u32;
        }
        if outputs > self.outputs {
            let number = u64::from(config.dimensions()) * 4;
            let room = u64::from(outputs.next_power_of_two()).min(gpu.max_binding() / (number * 2)).max(outputs.into());
            replace(&mut self.sums, gpu.storage("sums", room * number * 2)?);
            replace(&mut self.counts, gpu.storage("counts", room * 4)?);
            replace(&mut self.vectors, gpu.storage("vectors", room * number)?);
            self.outputs = room as u32;
        }
        if longest > self.longest {
            let room = longest.next_power_of_two().max(512);
            let table = cpu::rope_table(room as usize, config.head_dim as usize, config.rope_theta);
            replace(&mut self.rope, gpu.storage_of("rope", &table)?);
            self.longest = room;
        }
        Ok(())
    }
}

/// Puts `new` in the place of `old`, whose memory is given back now: a browser would wait for its garbage collector,
/// which does not know how large it is.
fn replace(old: &mut wgpu::Buffer, new: wgpu::Buffer) {
    std::mem::replace(old, new).destroy();
}
