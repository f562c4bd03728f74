//! The forward pass: token ids to pooled vectors.

use std::ops::Range;

use super::arena::{Arena, BlockBuffers};
use super::dense::Dense;
use super::shape::Shape;
use super::weights::{Layer, Weights};
use crate::backend::{Activation, Backend, Buffer, HeadProducts, HeadRows, Kernels, Run, Segment, Tile};
use crate::error::Result;
use crate::numbers::Dtype;
use crate::progress::Watch;

/// The form in which vectors leave the encoder.
#[derive(Clone, Copy)]
pub(super) struct OutputForm {
    pub(super) dtype: Dtype,
    pub(super) dimensions: u32,
    pub(super) normalize: bool,
}

impl OutputForm {
    /// Bytes of a vector as it is on the device.
    pub(super) fn row_bytes(self) -> u64 {
        u64::from(self.dtype.row_words(self.dimensions)) * 4
    }
}

/// What goes through the model as one: a text, or a document of several chunks.
pub(super) struct Sequence {
    /// Which of the caller's texts or documents it belongs to.
    pub(super) item: usize,
    pub(super) ids: Vec<u32>,
    /// How many of the leading tokens all others attend to; where attention is causal, all of them.
    pub(super) attended: u32,
    /// The tokens of each vector that it gives, in ascending order; the vector is pooled from them.
    pub(super) spans: Vec<Range<u32>>,
}

/// All that a forward pass reads.
pub(super) struct Encoder<'a> {
    pub(super) backend: &'a Backend,
    pub(super) kernels: &'a Kernels,
    pub(super) shape: &'a Shape,
    pub(super) weights: &'a Weights,
    /// From H to D dimensions, for each token before the mean is taken.
    pub(super) projection: Option<&'a Dense>,
    /// What is done with the mean, up to the last linear layer.
    pub(super) head: &'a [Step],
}

/// A step between pooling and the vector, on the device.
pub(super) enum Step {
    Normalize,
    Dense(Box<Dense>),
}

/// The share of the batch that one block of tokens has.
struct TokenBlock {
    /// Row of the batch where the block starts.
    first: u32,
    rows: u32,
    tiles: Vec<Tile>,
    segments: Vec<Segment>,
}

/// What attention reads of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Queries,
    Keys,
    Values,
}

impl Encoder<'_> {
    /// Leaves the vectors of `sequences` in `arena.vectors`, one for each of their spans: `[spans,
    /// row_words]`. Gives how many they are. `passed` hears how many layers are done.
    ///
    /// # Errors
    /// [`crate::Error::Aborted`], [`crate::Error::OutOfMemory`], or a fault of the device.
    pub(super) async fn embed(
        &self,
        arena: &mut Arena,
        sequences: &[Sequence],
        output: OutputForm,
        watch: &dyn Watch,
        passed: &dyn Fn(u32),
    ) -> Result<u32> {
        let count = sequences.iter().map(|s| s.spans.len() as u32).sum::<u32>();
        if count == 0 {
            return Ok(0);
        }
        let blocks = self.lay_out(arena, sequences).await?;
        let pooled_width = self.projection.map_or(self.shape.hidden, |projection| projection.outputs);
        let mut run = self.backend.run(self.kernels, watch)?;
        for (i, layer) in self.weights.layers.iter().enumerate() {
            self.layer(&mut run, arena, &blocks, i, layer).await?;
            run.pump().await?;
            passed(i as u32 + 1);
        }
        let pooled = blocks.iter().zip(&arena.blocks).filter(|(block, _)| !block.segments.is_empty());
        for (block, buffers) in pooled {
            self.norm(&mut run, arena, buffers, &self.weights.norm, block.rows)?;
            let mut rows = &arena.h;
            if let Some(projection) = self.projection {
                projection.run(&mut run, &arena.h, &arena.p, block.rows).await?;
                rows = &arena.p;
            }
            run.pool(&block.segments, &buffers.segments, rows, &arena.sums, pooled_width)?;
            run.pump().await?;
        }
        let (counts, full) = self.head(&mut run, arena, count, pooled_width).await?;
        let size = [output.dimensions, full];
        run.quantize([counts, &arena.sums, &arena.vectors], count, size, output.dtype, output.normalize)?;
        run.finish().await?;
        Ok(count)
    }

    /// Takes the pooled sums of `count` vectors, `width` wide, through the steps after pooling: sums again, of one row each.
    /// Gives their counts and how wide they are then. A text without tokens stays one: its count stays 0.
    async fn head<'b>(
        &self,
        run: &mut Run<'_>,
        arena: &'b Arena,
        count: u32,
        mut width: u32,
    ) -> Result<(&'b Buffer, u32)> {
        let mut counts = &arena.counts;
        let Some(buffers) = &arena.head else { return Ok((counts, width)) };
        let mut normalize = false;
        for step in self.head {
            match step {
                Step::Normalize => normalize = true,
                Step::Dense(dense) => {
                    run.quantize([counts, &arena.sums, &buffers.x], count, [width; 2], Dtype::Float32, normalize)?;
                    dense.run(run, &buffers.x, &buffers.y, count).await?;
                    width = dense.outputs;
                    run.pool(&buffers.rows[..count as usize], &buffers.segments, &buffers.y, &arena.sums, width)?;
                    (counts, normalize) = (&buffers.ones, false);
                }
            }
        }
        Ok((counts, width))
    }

    /// The residual stream of one text after `layers` layers, or, beyond the last, the final norm of it: `[T, H]`.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub(super) async fn states(&self, arena: &mut Arena, text: &Sequence, layers: usize) -> Result<Vec<f32>> {
        let blocks = self.lay_out(arena, std::slice::from_ref(text)).await?;
        let mut states = Vec::new();
        let mut run = self.backend.run(self.kernels, &())?;
        for (i, layer) in self.weights.layers.iter().enumerate().take(layers) {
            self.layer(&mut run, arena, &blocks, i, layer).await?;
        }
        run.finish().await?;
        for (block, buffers) in blocks.iter().zip(&arena.blocks) {
            let mut buffer = &buffers.x;
            if layers > self.weights.layers.len() {
                let mut run = self.backend.run(self.kernels, &())?;
                self.norm(&mut run, arena, buffers, &self.weights.norm, block.rows)?;
                run.finish().await?;
                buffer = &arena.h;
            }
            let bytes = buffer.read(0, u64::from(block.rows) * u64::from(self.shape.hidden) * 4).await?;
            states.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
        }
        Ok(states)
    }

    /// Writes the batch to the arena: embeddings, positions, and which rows attend and pool together.
    async fn lay_out(&self, arena: &mut Arena, sequences: &[Sequence]) -> Result<Vec<TokenBlock>> {
        let lengths: Vec<u32> = sequences.iter().map(|s| s.ids.len() as u32).collect();
        let tokens: u32 = lengths.iter().sum();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let counts: Vec<u32> = sequences.iter().flat_map(|s| &s.spans).map(|span| span.end - span.start).collect();
        if !arena.has_room(tokens, counts.len() as u32, longest) {
            let room = || arena.reserve(self.backend, self.shape, tokens, counts.len() as u32, longest);
            self.backend.allocate(room).await?;
        }

        let positions: Vec<u32> = lengths.iter().flat_map(|&n| 0..n).collect();
        let ids: Vec<u32> = sequences.iter().flat_map(|s| &s.ids).copied().collect();
        if let Some(head) = &arena.head {
            let ones: Vec<u32> = counts.iter().map(|&count| count.min(1)).collect();
            head.ones.write(0, &ones);
            head.segments.write(0, &head.rows[..counts.len()]);
        }
        arena.counts.write(0, &counts);
        arena.positions.write(0, &positions);

        let mut blocks = Vec::new();
        for (first, buffers) in (0..tokens).step_by(arena.block as usize).zip(&arena.blocks) {
            let rows = arena.block.min(tokens - first);
            let block = self.token_block(first, rows, sequences);
            buffers.x.write(0, &self.weights.embedded(&ids[first as usize..(first + rows) as usize]));
            buffers.tiles.write(0, &block.tiles);
            buffers.segments.write(0, &block.segments);
            blocks.push(block);
        }
        Ok(blocks)
    }

    /// The share of rows `first..first + rows` of a batch.
    fn token_block(&self, first: u32, rows: u32, sequences: &[Sequence]) -> TokenBlock {
        let (mut tiles, mut segments) = (Vec::new(), Vec::new());
        let (mut key, mut vector) = (0, 0);
        let most = self.kernels.tile_rows(self.shape.heads(0));
        for sequence in sequences {
            let length = sequence.ids.len() as u32;
            let (from, to) = (first.max(key), (first + rows).min(key + length));
            if from < to {
                let (row, count, start) = (from - first, to - from, from - key);
                tiles.extend(Tile::cover(most, row, key, start, count, sequence.attended, self.shape.causal));
                let here = start..start + count;
                let before = sequence.spans.partition_point(|span| span.end <= here.start);
                for (vector, span) in (vector..).zip(&sequence.spans).skip(before) {
                    let (from, to) = (span.start.max(here.start), span.end.min(here.end));
                    if from < to {
                        let (row, start) = (row + from - here.start, from - span.start);
                        let [weight, slope] = self.shape.pooling.weights(span);
                        segments.push(Segment { row, count: to - from, start, vector, weight, slope });
                    } else if span.start >= here.end {
                        break;
                    }
                }
            }
            key += length;
            vector += sequence.spans.len() as u32;
        }
        TokenBlock { first, rows, tiles, segments }
    }

    fn norm(&self, run: &mut Run<'_>, arena: &Arena, buffers: &BlockBuffers, weight: &Buffer, rows: u32) -> Result<()> {
        run.rms_norm(&buffers.x, weight, &arena.h, rows, self.shape.hidden, self.shape.norm_eps)
    }

    async fn layer(
        &self,
        run: &mut Run<'_>,
        arena: &Arena,
        blocks: &[TokenBlock],
        index: usize,
        layer: &Layer,
    ) -> Result<()> {
        let c = self.shape;
        // Attention reads the keys and values of the whole batch, so they come first, for every block; queries with them where
        // there is one. Products that follow each other without reading one another run side by side on a GPU.
        let alone = blocks.len() == 1;
        let first = if alone { &[Part::Keys, Part::Values, Part::Queries][..] } else { &[Part::Keys, Part::Values] };
        for (block, buffers) in blocks.iter().zip(&arena.blocks) {
            self.heads(run, arena, (block, buffers), layer, first).await?;
        }
        for (block, buffers) in blocks.iter().zip(&arena.blocks) {
            if !alone {
                self.heads(run, arena, (block, buffers), layer, &[Part::Queries]).await?;
            }
            let attended = [&arena.q, &arena.k, &arena.v, &arena.a];
            run.attention(&block.tiles, &buffers.tiles, attended, &arena.softmax, c.heads(index)).await?;
            run.matmul_add(&arena.a, &layer.o, &buffers.x, block.rows).await?;
            if let Some(biases) = &layer.biases {
                run.bias([&biases.o, &buffers.x], block.rows, 0, c.hidden, Activation::Identity)?;
            }

            if self.kernels.normalizes(layer.mlp.format()) {
                let norm = Some((&layer.mlp_norm, c.norm_eps));
                run.swiglu(&buffers.x, norm, &layer.mlp, &arena.m, block.rows).await?;
            } else {
                self.norm(run, arena, buffers, &layer.mlp_norm, block.rows)?;
                run.swiglu(&arena.h, None, &layer.mlp, &arena.m, block.rows).await?;
            }
            run.matmul_add(&arena.m, &layer.down, &buffers.x, block.rows).await?;
        }
        Ok(())
    }

    /// These parts of the heads of a block.
    async fn heads(
        &self,
        run: &mut Run<'_>,
        arena: &Arena,
        (block, buffers): (&TokenBlock, &BlockBuffers),
        layer: &Layer,
        parts: &[Part],
    ) -> Result<()> {
        let c = self.shape;
        let (rows, first_row) = (block.rows, block.first);
        let places = [&arena.rope, &arena.positions];
        if layer.heads_in_one {
            // Queries come before keys and values.
            let [from, to] = [Part::Queries, Part::Values].map(|part| parts.contains(&part));
            let first = if from { 0 } else { c.query_heads };
            let end = c.query_heads + if to { 2 * c.key_heads } else { 0 };
            let products = HeadProducts {
                rows,
                first_row,
                query: c.query_heads,
                key: c.key_heads,
                heads: first..end,
                eps: c.norm_eps,
            };
            let norms = [&layer.input_norm, &layer.q_norm, &layer.k_norm];
            let outputs = [&arena.q, &arena.k, &arena.v];
            return run.heads(&buffers.x, [&layer.q, &layer.k, &layer.v], norms, places, outputs, products);
        }
        self.norm(run, arena, buffers, &layer.input_norm, rows)?;
        let of = |part: &Part| match part {
            Part::Queries => (&layer.q, &arena.q, 0, c.query_heads),
            Part::Keys => (&layer.k, &arena.k, first_row, c.key_heads),
            Part::Values => (&layer.v, &arena.v, first_row, c.key_heads),
        };
        let products: Vec<_> = parts.iter().map(of).map(|(weight, y, y_row, _)| (weight, y, y_row)).collect();
        run.matmuls(&arena.h, &products, rows).await?;
        for (part, (_, y, y_row, heads)) in parts.iter().map(|part| (part, of(part))) {
            let (bias, norm) = match part {
                Part::Queries => (layer.biases.as_ref().map(|b| &b.q), Some(&layer.q_norm)),
                Part::Keys => (layer.biases.as_ref().map(|b| &b.k), Some(&layer.k_norm)),
                Part::Values => (layer.biases.as_ref().map(|b| &b.v), None),
            };
            if let Some(bias) = bias {
                run.bias([bias, y], rows, y_row, heads * c.head_dim, Activation::Identity)?;
            }
            if let Some(norm) = norm {
                let (dim, eps) = (c.head_dim, c.norm_eps);
                let shape = HeadRows { rows, heads, dim, x_row: y_row, position_row: first_row, eps };
                run.head_norm_rope(y, norm, places, shape)?;
            }
        }
        Ok(())
    }
}
