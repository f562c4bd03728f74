//! The forward pass: token ids to pooled vectors.

use std::ops::Range;

use super::Config;
use super::arena::{Arena, Slab};
use super::weights::{Layer, Weights};
use crate::error::Result;
use crate::gpu::{AttentionBuffers, Form, Gpu, HeadRows, Kernels, Linear, Recorder, Rope, Segment, Tile};
use crate::watch::Watch;

/// What leaves the encoder.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) form: Form,
    pub(super) dimensions: u32,
    pub(super) normalize: bool,
}

/// What goes through the model as one: a text, or a document of several chunks.
pub(super) struct Sequence {
    /// Which of the caller's texts or documents it belongs to.
    pub(super) item: usize,
    pub(super) ids: Vec<u32>,
    /// How many of the leading tokens all others attend to; where attention is causal, all of them.
    pub(super) attended: u32,
    /// The tokens of each vector that it gives, in ascending order; the vector is their mean.
    pub(super) spans: Vec<Range<u32>>,
}

/// All that a forward pass reads.
pub(super) struct Encoder<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) kernels: &'a Kernels,
    pub(super) config: &'a Config,
    pub(super) weights: &'a Weights,
    /// From H to D dimensions, for each token before the mean is taken.
    pub(super) projection: Option<&'a Linear>,
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
    /// Leaves the vectors of `sequences` in `arena.vectors`, one for each of their spans: `[spans,
    /// output.form.row_words]`. Gives how many they are. `passed` hears how many layers are done.
    ///
    /// # Errors
    /// [`crate::Error::Aborted`], [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn embed(
        &self,
        arena: &mut Arena,
        sequences: &[Sequence],
        output: Output,
        watch: &dyn Watch,
        passed: impl Fn(u32),
    ) -> Result<u32> {
        let count = sequences.iter().map(|s| s.spans.len() as u32).sum::<u32>();
        if count == 0 {
            return Ok(0);
        }
        let parts = self.lay_out(arena, sequences)?;
        let full = self.config.dimensions();
        let mut run = Recorder::new(self.gpu, self.kernels, watch);
        for (i, layer) in self.weights.layers.iter().enumerate() {
            self.layer(&mut run, arena, &parts, layer);
            run.pump().await?;
            passed(i as u32 + 1);
        }
        let pooled = parts.iter().zip(&arena.slabs).filter(|(part, _)| !part.segments.is_empty());
        for (part, slab) in pooled {
            self.norm(&mut run, arena, slab, &self.weights.norm, part.rows);
            let mut rows = &arena.h;
            if let Some(projection) = self.projection {
                run.matmul(&arena.h, projection, &arena.p, part.rows, 0);
                rows = &arena.p;
            }
            run.pool(&part.segments, &slab.segments, rows, &arena.sums, full);
            run.pump().await?;
        }
        let size = [output.dimensions, full];
        run.quantise([&arena.counts, &arena.sums, &arena.vectors], count, size, output.form, output.normalize);
        run.finish().await?;
        Ok(count)
    }

    /// The residual stream of one text after `layers` layers, or, beyond the last, the final norm of it: `[T, H]`.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub(super) async fn states(&self, arena: &mut Arena, text: &Sequence, layers: usize) -> Result<Vec<f32>> {
        let parts = self.lay_out(arena, std::slice::from_ref(text))?;
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
    fn lay_out(&self, arena: &mut Arena, sequences: &[Sequence]) -> Result<Vec<Part>> {
        let lengths: Vec<u32> = sequences.iter().map(|s| s.ids.len() as u32).collect();
        let tokens: u32 = lengths.iter().sum();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let counts: Vec<u32> = sequences.iter().flat_map(|s| &s.spans).map(|span| span.end - span.start).collect();
        arena.reserve(self.gpu, self.config, tokens, counts.len() as u32, longest)?;

        let positions: Vec<u32> = lengths.iter().flat_map(|&n| 0..n).collect();
        let ids: Vec<u32> = sequences.iter().flat_map(|s| &s.ids).copied().collect();
        let queue = &self.gpu.queue;
        queue.write_buffer(&arena.counts, 0, bytemuck::cast_slice(&counts));
        queue.write_buffer(&arena.positions, 0, bytemuck::cast_slice(&positions));

        let mut parts = Vec::new();
        for (first, slab) in (0..tokens).step_by(arena.slab as usize).zip(&arena.slabs) {
            let rows = arena.slab.min(tokens - first);
            let part = self.part(first, rows, sequences);
            let embedded = self.weights.embedded(&ids[first as usize..(first + rows) as usize]);
            queue.write_buffer(&slab.x, 0, bytemuck::cast_slice(&embedded));
            queue.write_buffer(&slab.tiles, 0, bytemuck::cast_slice(&part.tiles));
            queue.write_buffer(&slab.segments, 0, bytemuck::cast_slice(&part.segments));
            parts.push(part);
        }
        Ok(parts)
    }

    /// The share of rows `first..first + rows` of a batch.
    fn part(&self, first: u32, rows: u32, sequences: &[Sequence]) -> Part {
        let (mut tiles, mut segments) = (Vec::new(), Vec::new());
        let (mut key, mut vector) = (0, 0);
        for sequence in sequences {
            let length = sequence.ids.len() as u32;
            let (from, to) = (first.max(key), (first + rows).min(key + length));
            if from < to {
                let (row, count, start) = (from - first, to - from, from - key);
                tiles.extend(Tile::cover(row, key, start, count, sequence.attended, self.config.causal));
                let here = start..start + count;
                let before = sequence.spans.partition_point(|span| span.end <= here.start);
                for (text, span) in (vector..).zip(&sequence.spans).skip(before) {
                    let (from, to) = (span.start.max(here.start), span.end.min(here.end));
                    if from < to {
                        let (row, start) = (row + from - here.start, from - span.start);
                        segments.push(Segment { row, count: to - from, start, text });
                    } else if span.start >= here.end {
                        break;
                    }
                }
            }
            key += length;
            vector += sequence.spans.len() as u32;
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
            run.swiglu(&arena.h, &layer.mlp, &arena.m, part.rows);
            run.matmul_add(&arena.m, &layer.down, &slab.x, part.rows);
        }
    }
}
