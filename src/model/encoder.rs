//! The forward pass: token ids to pooled vectors.

use super::arena::{Arena, Slab};
use super::weights::{Layer, Weights};
use super::{Config, Pooling};
use crate::error::Result;
use crate::gpu::{AttentionBuffers, Form, Gpu, HeadRows, Kernels, Recorder, Rope, Segment, Tile};
use crate::watch::Watch;

/// What leaves the encoder.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) form: Form,
    pub(super) dimensions: u32,
    pub(super) normalize: bool,
}

/// All that a forward pass reads.
pub(super) struct Encoder<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) kernels: &'a Kernels,
    pub(super) config: &'a Config,
    pub(super) weights: &'a Weights,
}

/// A slab's share of the batch.
struct Part {
    /// Row of the batch where the slab starts.
    first: u32,
    rows: u32,
    tiles: Vec<Tile>,
    segments: Vec<Segment>,
}

impl Encoder<'_> {
    /// The vectors of `texts` (token ids), `[texts, output.form.row_words]` as bytes. `passed` hears how many layers
    /// are done.
    ///
    /// # Errors
    /// [`crate::Error::Aborted`], [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn embed(
        &self,
        arena: &mut Arena,
        texts: &[&[u32]],
        output: Output,
        watch: &dyn Watch,
        passed: impl Fn(u32),
    ) -> Result<Vec<u8>> {
        let parts = self.lay_out(arena, texts)?;
        let mut run = Recorder::new(self.gpu, self.kernels, watch);
        for (i, layer) in self.weights.layers.iter().enumerate() {
            self.layer(&mut run, arena, &parts, layer);
            run.pump().await?;
            passed(i as u32 + 1);
        }
        for (part, slab) in parts.iter().zip(&arena.slabs) {
            self.norm(&mut run, arena, slab, &self.weights.norm, part.rows);
            run.pool(&part.segments, &slab.segments, &arena.h, &arena.sums, self.config.hidden);
        }
        let count = texts.len() as u32;
        let size = [output.dimensions, self.config.hidden];
        run.quantise([&arena.counts, &arena.sums, &arena.vectors], count, size, output.form, output.normalize);
        run.finish().await?;
        let words = count as u64 * u64::from(output.form.row_words(output.dimensions));
        self.gpu.read(&arena.vectors, words * 4).await
    }

    /// The residual stream of one text after `layers` layers, or, beyond the last, the final norm of it: `[T, H]`.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub(super) async fn states(&self, arena: &mut Arena, text: &[u32], layers: usize) -> Result<Vec<f32>> {
        let parts = self.lay_out(arena, &[text])?;
        let mut states = Vec::new();
        let mut run = Recorder::new(self.gpu, self.kernels, &());
        for layer in self.weights.layers.iter().take(layers) {
            self.layer(&mut run, arena, &parts, layer);
        }
        run.finish().await?;
        for (part, slab) in parts.iter().zip(&arena.slabs) {
            let mut buffer = &slab.x;
            if layers > self.weights.layers.len() {
                let mut run = Recorder::new(self.gpu, self.kernels, &());
                self.norm(&mut run, arena, slab, &self.weights.norm, part.rows);
                run.finish().await?;
                buffer = &arena.h;
            }
            let bytes = self.gpu.read(buffer, u64::from(part.rows) * u64::from(self.config.hidden) * 4).await?;
            states.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
        }
        Ok(states)
    }

    /// Writes the batch to the arena: embeddings, positions, and which rows attend and pool together.
    fn lay_out(&self, arena: &mut Arena, texts: &[&[u32]]) -> Result<Vec<Part>> {
        let lengths: Vec<u32> = texts.iter().map(|t| t.len() as u32).collect();
        let tokens: u32 = lengths.iter().sum();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        arena.reserve(self.gpu, self.config, tokens, texts.len() as u32, longest)?;

        let mean = self.config.pooling == Pooling::Mean;
        let counts: Vec<u32> = lengths.iter().map(|&n| if mean { n } else { n.min(1) }).collect();
        let positions: Vec<u32> = lengths.iter().flat_map(|&n| 0..n).collect();
        let ids: Vec<u32> = texts.concat();
        let queue = &self.gpu.queue;
        queue.write_buffer(&arena.counts, 0, bytemuck::cast_slice(&counts));
        queue.write_buffer(&arena.positions, 0, bytemuck::cast_slice(&positions));

        let mut parts = Vec::new();
        for (first, slab) in (0..tokens).step_by(arena.slab as usize).zip(&arena.slabs) {
            let rows = arena.slab.min(tokens - first);
            let part = self.part(first, rows, &lengths);
            let embedded = self.weights.embedding.rows(&ids[first as usize..(first + rows) as usize]);
            queue.write_buffer(&slab.x, 0, bytemuck::cast_slice(&embedded));
            queue.write_buffer(&slab.tiles, 0, bytemuck::cast_slice(&part.tiles));
            queue.write_buffer(&slab.segments, 0, bytemuck::cast_slice(&part.segments));
            parts.push(part);
        }
        Ok(parts)
    }

    /// The share of rows `first..first + rows` of a batch of texts of `lengths`.
    fn part(&self, first: u32, rows: u32, lengths: &[u32]) -> Part {
        let (mut tiles, mut segments) = (Vec::new(), Vec::new());
        let mut key = 0;
        for (text, &length) in (0..).zip(lengths) {
            let (from, to) = (first.max(key), (first + rows).min(key + length));
            if from < to {
                let (row, count, start) = (from - first, to - from, from - key);
                tiles.extend(Tile::cover(row, key, start, count, length, self.config.causal));
                match self.config.pooling {
                    Pooling::Mean => segments.push(Segment { row, count, start, text }),
                    Pooling::Last if to == key + length => {
                        segments.push(Segment { row: row + count - 1, count: 1, start: 0, text });
                    }
                    Pooling::Last => {}
                }
            }
            key += length;
        }
        Part { first, rows, tiles, segments }
    }

    fn norm(&self, run: &mut Recorder<'_>, arena: &Arena, slab: &Slab, weight: &wgpu::Buffer, rows: u32) {
        run.rms_norm(&slab.x, weight, &arena.h, rows, self.config.hidden, self.config.norm_eps);
    }

    fn layer(&self, run: &mut Recorder<'_>, arena: &Arena, parts: &[Part], layer: &Layer) {
        let c = self.config;
        let rope = Rope { table: &arena.rope, positions: &arena.positions };
        // Attention reads the keys and values of the whole batch, so they come first, for every slab.
        for (part, slab) in parts.iter().zip(&arena.slabs) {
            self.norm(run, arena, slab, &layer.input_norm, part.rows);
            run.matmul(&arena.h, &layer.k, &arena.k, part.rows, part.first);
            run.matmul(&arena.h, &layer.v, &arena.v, part.rows, part.first);
            let keys = HeadRows {
                rows: part.rows,
                heads: c.key_heads,
                dim: c.head_dim,
                x_row: part.first,
                position_row: part.first,
                eps: c.norm_eps,
            };
            run.head_norm_rope(&arena.k, &layer.k_norm, rope, keys);
        }
        for (part, slab) in parts.iter().zip(&arena.slabs) {
            if parts.len() > 1 {
                self.norm(run, arena, slab, &layer.input_norm, part.rows);
            }
            run.matmul(&arena.h, &layer.q, &arena.q, part.rows, 0);
            let queries = HeadRows {
                rows: part.rows,
                heads: c.query_heads,
                dim: c.head_dim,
                x_row: 0,
                position_row: part.first,
                eps: c.norm_eps,
            };
            run.head_norm_rope(&arena.q, &layer.q_norm, rope, queries);
            let heads = c.heads();
            let buffers = AttentionBuffers {
                tiles: &slab.tiles,
                q: &arena.q,
                k: &arena.k,
                v: &arena.v,
                y: &arena.a,
                state: &arena.softmax,
            };
            run.attention(&part.tiles, buffers, heads);
            run.matmul_add(&arena.a, &layer.o, &slab.x, part.rows);

            self.norm(run, arena, slab, &layer.mlp_norm, part.rows);
            run.swiglu(&arena.h, &layer.gate_up, &arena.m, part.rows);
            run.matmul_add(&arena.m, &layer.down, &slab.x, part.rows);
        }
    }
}
