//! The operations. Each is one match: the engines do the rest.

use std::ops::Range;

use super::buffer::{Buffer, Weight, other_engine};
use super::cpu::{CpuRun, MatmulStore, Product, TokenRows};
use super::gpu::Recorder;
use super::ops::{Activation, HeadProducts, HeadRows, Heads, MaxSimRows, MaxSimShard, MaximaSum, Segment, Tile};
use crate::error::{Error, Result};
use crate::numbers::{Dtype, RowFormat};

/// Operations in order. A GPU's are recorded and handed over in submissions; the processor's are done when they are
/// called. Buffers may be written again after [`Run::flush`], and read after it, too.
///
/// Every operation fails with [`crate::Error::Gpu`] if a buffer, weight or kernel is not of this run's engine.
pub enum Run<'a> {
    /// On a GPU.
    Gpu(Box<Recorder<'a>>),
    /// On the processor.
    Cpu(CpuRun<'a>),
}

impl Run<'_> {
    /// `y = RMSNorm(x) * w` for `rows` rows: `x` and `y` `[rows, H]`, `w` `[H]`; H is a multiple of four. Zhang and
    /// Sennrich 2019.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub fn rms_norm(&mut self, x: &Buffer, w: &Buffer, y: &Buffer, rows: u32, h: u32, eps: f32) -> Result<()> {
        match self {
            Self::Gpu(run) => run.rms_norm([x.gpu()?, w.gpu()?, y.gpu()?], rows, h, eps),
            Self::Cpu(run) => run.rms_norm([x.cpu()?, w.cpu()?, y.cpu()?], rows, h, eps),
        }
    }

    /// `y[y_row..] = x w^T` for `rows` rows of `x` `[rows, K]`; `w` `[N, K]`, `y` `[.., N]`. An output is the same
    /// whatever other rows there are.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub async fn matmul(&mut self, x: &Buffer, w: &Weight, y: &Buffer, rows: u32, y_row: u32) -> Result<()> {
        match self {
            Self::Gpu(run) => run.matmuls(x.gpu()?, &[(w.gpu()?, y.gpu()?, y_row)], rows, false),
            Self::Cpu(run) => {
                let product = Product { w: w.cpu()?, y: y.cpu()?, store: MatmulStore::At(y_row) };
                run.matmul(x.cpu()?, &[product], rows).await
            }
        }
    }

    /// [`Run::matmul`] with each of `products`, a weight, where its products go, and the first row there, of the same rows.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub async fn matmuls(&mut self, x: &Buffer, products: &[(&Weight, &Buffer, u32)], rows: u32) -> Result<()> {
        match self {
            Self::Gpu(run) => {
                let on_gpu = products.iter().map(|(w, y, y_row)| Ok((w.gpu()?, y.gpu()?, *y_row)));
                run.matmuls(x.gpu()?, &on_gpu.collect::<Result<Vec<_>>>()?, rows, false)
            }
            Self::Cpu(run) => {
                let mut on_cpu = Vec::with_capacity(products.len());
                for &(w, y, row) in products {
                    on_cpu.push(Product { w: w.cpu()?, y: y.cpu()?, store: MatmulStore::At(row) });
                }
                run.matmul(x.cpu()?, &on_cpu, rows).await
            }
        }
    }

    /// `y += x w^T`, otherwise as [`Run::matmul`] from row 0.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub async fn matmul_add(&mut self, x: &Buffer, w: &Weight, y: &Buffer, rows: u32) -> Result<()> {
        match self {
            Self::Gpu(run) => run.matmuls(x.gpu()?, &[(w.gpu()?, y.gpu()?, 0)], rows, true),
            Self::Cpu(run) => {
                let product = Product { w: w.cpu()?, y: y.cpu()?, store: MatmulStore::Add };
                run.matmul(x.cpu()?, &[product], rows).await
            }
        }
    }

    /// `y = silu(x gate^T) * (x up^T)` for `rows` rows of `x` `[rows, K]`; `gate_up` is the pair of gate and up, each
    /// `[I, K]`; `y` `[rows, I]`. Shazeer 2020. Where [`Kernels::normalizes`], rows of `x` are first normalized by `norm`, a
    /// weight `[K]` and an epsilon, as [`Run::rms_norm`] does; elsewhere there must be none.
    ///
    /// # Errors
    /// As [`Run`] says; [`crate::Error::Gpu`] for a norm where it does not belong, or none where it does.
    pub async fn swiglu(
        &mut self,
        x: &Buffer,
        norm: Option<(&Buffer, f32)>,
        gate_up: &Weight,
        y: &Buffer,
        rows: u32,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => {
                let norm = norm.map(|(weight, eps)| weight.gpu().map(|weight| (weight, eps))).transpose()?;
                run.swiglu(x.gpu()?, norm, gate_up.gpu()?, y.gpu()?, rows)
            }
            Self::Cpu(_) if norm.is_some() => Err(Error::Gpu { message: "the processor takes normalized rows".into() }),
            Self::Cpu(run) => {
                let product = Product { w: gate_up.cpu()?, y: y.cpu()?, store: MatmulStore::Swiglu };
                run.matmul(x.cpu()?, &[product], rows).await
            }
        }
    }

    /// Of rows of `x` `[rows, K]`, what [`Run::rms_norm`], three times [`Run::matmul`], and [`Run::head_norm_rope`] of queries
    /// and keys make, in one: `outputs` are `q` `[rows, Hq, 128]`, `k` and `v` `[.., Hkv, 128]`. `weights` come from
    /// [`super::Backend::head_weights`]. `norms` are the weights of the norms of rows `[K]`, of queries and of keys, `places` the
    /// table of rotations and the positions, both from [`super::Backend::buffers`].
    ///
    /// # Errors
    /// As [`Run`] says; [`crate::Error::Gpu`] if buffers do not lie as they should, or on an engine without such a kernel.
    pub fn heads(
        &mut self,
        x: &Buffer,
        [q, k, v]: [&Weight; 3],
        [rows, queries, keys]: [&Buffer; 3],
        [table, positions]: [&Buffer; 2],
        outputs: [&Buffer; 3],
        products: HeadProducts,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => run.heads(
                x.gpu()?,
                [q.gpu()?, k.gpu()?, v.gpu()?],
                [rows.gpu()?, queries.gpu()?, keys.gpu()?],
                [table.gpu()?, positions.gpu()?],
                [outputs[0].gpu()?, outputs[1].gpu()?, outputs[2].gpu()?],
                products,
            ),
            Self::Cpu(_) => Err(other_engine("weight")),
        }
    }

    /// RMSNorm of each head with weight `w` `[Dh]`, then rotary embedding, in place, of `x` `[.., heads, Dh]`. `table` is
    /// [`crate::numbers::Rope::table`], `positions` `[T]` u32 each token's place in its text.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub fn head_norm_rope(
        &mut self,
        x: &Buffer,
        w: &Buffer,
        [table, positions]: [&Buffer; 2],
        shape: HeadRows,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => run.head_norm_rope([x.gpu()?, w.gpu()?, table.gpu()?, positions.gpu()?], shape),
            Self::Cpu(run) => run.head_norm_rope([x.cpu()?, w.cpu()?, table.cpu()?, positions.cpu()?], shape),
        }
    }

    /// Softmax attention of the tokens in `tiles` over their own texts: `y` of `q`, both `[rows, Hq, Dh]`, with `k` and
    /// `v` `[T, Hkv, Dh]`. `table` holds the bytes of `tiles`, of [`Kernels::tile_rows`]; `state` is scratch memory of [`Heads::state_bytes`] a tile.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub async fn attention(
        &mut self,
        tiles: &[Tile],
        table: &Buffer,
        [q, k, v, y]: [&Buffer; 4],
        state: &Buffer,
        heads: Heads,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => {
                let buffers = [table.gpu()?, q.gpu()?, k.gpu()?, v.gpu()?, y.gpu()?, state.gpu()?];
                run.attention(tiles, buffers, heads)
            }
            Self::Cpu(run) => run.attention(tiles, [q.cpu()?, k.cpu()?, v.cpu()?, y.cpu()?], heads).await,
        }
    }

    /// `y[y_row..] = activation(y[y_row..] + b)` for `rows` rows of `y` `[.., N]`; `b` is `[N]`.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub fn bias(&mut self, [b, y]: [&Buffer; 2], rows: u32, y_row: u32, n: u32, activation: Activation) -> Result<()> {
        match self {
            Self::Gpu(run) => run.bias([b.gpu()?, y.gpu()?], rows, y_row, n, activation),
            Self::Cpu(run) => run.bias([b.cpu()?, y.cpu()?], rows, y_row, n, activation),
        }
    }

    /// Adds rows of `x` `[rows, H]`, weighted as `segments` say, to the running sums `[vectors, H, 2]`. `table`
    /// holds the bytes of `segments`. [`Run::quantize`] reads the sums.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub fn pool(&mut self, segments: &[Segment], table: &Buffer, x: &Buffer, sums: &Buffer, h: u32) -> Result<()> {
        match self {
            Self::Gpu(run) => run.pool(segments, [table.gpu()?, x.gpu()?, sums.gpu()?], h),
            Self::Cpu(run) => run.pool(segments, [x.cpu()?, sums.cpu()?], h),
        }
    }

    /// The means of `sums` `[vectors, H, 2]` over `counts` `[vectors]` u32 tokens, cut to D dimensions, at unit length if
    /// asked for, as `dtype`: `y` is `[vectors, row_words]`, and behind them `[vectors]` words that are 1 where a vector is
    /// not finite, which its codes would not show. A count of 0 gives the zero vector.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub fn quantize(
        &mut self,
        [counts, sums, y]: [&Buffer; 3],
        vectors: u32,
        [d, h]: [u32; 2],
        dtype: Dtype,
        normalize: bool,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => run.quantize([counts.gpu()?, sums.gpu()?, y.gpu()?], vectors, [d, h], dtype, normalize),
            Self::Cpu(run) => run.quantize([counts.cpu()?, sums.cpu()?, y.cpu()?], vectors, [d, h], dtype, normalize),
        }
    }

    /// Writes the rows `from` of `vectors` `[n, D]` float32 as rows `at` and on of `data`, in `format`, padded to
    /// [`RowFormat::padded_bytes`]: with the bits that [`crate::numbers::RowBuf`] gives the same vectors. int8 rows need
    /// `scales` `[rows]`.
    ///
    /// # Errors
    /// As [`Run`] says; [`crate::Error::Gpu`] for int8 without scales.
    pub fn pack_rows(
        &mut self,
        format: RowFormat,
        vectors: &Buffer,
        (data, scales): (&Buffer, Option<&Buffer>),
        from: Range<u32>,
        at: u32,
        dim: u32,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => {
                let scales = scales.map(Buffer::gpu).transpose()?;
                run.pack_rows(format, vectors.gpu()?, (data.gpu()?, scales), from, at, dim)
            }
            Self::Cpu(run) => {
                let scales = scales.map(Buffer::cpu).transpose()?;
                run.pack_rows(format, vectors.cpu()?, (data.cpu()?, scales), from, at, dim)
            }
        }
    }

    /// The similarities `[Q, rows.len()]` of `queries` (made by [`super::Backend::queries`]) with these rows of a buffer,
    /// each [`RowFormat::padded_bytes`]: int8 dot products as i32 and Hamming distances as u32, both exact, dot products of
    /// float32 as f32. There are no float16 rows. A similarity has the same bits whatever else is asked for.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub fn dense(
        &mut self,
        format: RowFormat,
        [queries, data, similarities]: [&Buffer; 3],
        count: u32,
        rows: Range<u32>,
        dim: u32,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => run.dense(format, [queries.gpu()?, data.gpu()?, similarities.gpu()?], count, rows, dim),
            Self::Cpu(run) => run.dense(format, [queries.cpu()?, data.cpu()?, similarities.cpu()?], count, rows, dim),
        }
    }

    /// The highest score of each [`super::BOUND_ROWS`] columns of `similarities` `[Q, N]`, as [`Run::dense`] makes them: `bounds`
    /// are `[Q, blocks]` float32. A score is the dot product of float32 rows; that of codes by the length of the row, or 0 for a
    /// row of zeros; of bits, the distance below 0. `squares` `[rows]` are of rows of codes, and column 0 is row `first_row` there.
    ///
    /// # Errors
    /// As [`Run`] says; [`crate::Error::Gpu`] on an engine without such a kernel.
    pub fn dense_bounds(
        &mut self,
        format: RowFormat,
        [similarities, bounds]: [&Buffer; 2],
        squares: Option<&Buffer>,
        shape: [u32; 2],
        first_row: u32,
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => {
                let squares = squares.map(Buffer::gpu).transpose()?;
                run.dense_bounds(format, [similarities.gpu()?, bounds.gpu()?], squares, shape, first_row)
            }
            Self::Cpu(_) => Err(other_engine("kernel")),
        }
    }

    /// Raises `best` by the dot products of query rows with the tokens of documents: for each job `[documents, rows]` u32
    /// from its place on, in an order-preserving form where 0 means that no token was seen. `queries` are
    /// `[rows, ceil(D / 4) * 4]` float32, `rows` document tokens of `format`.
    ///
    /// # Errors
    /// As [`Run`] says; [`crate::Error::Aborted`], and faults of the device.
    pub async fn maxsim(
        &mut self,
        format: RowFormat,
        shard: MaxSimShard<'_>,
        [queries, best]: [&Buffer; 2],
        rows: MaxSimRows<'_>,
    ) -> Result<()> {
        match (self, rows) {
            (Self::Gpu(run), MaxSimRows::Device { data, factors }) => {
                let buffers = [queries.gpu()?, data.gpu()?, best.gpu()?];
                run.maxsim(format, shard, buffers, factors.map(Buffer::gpu).transpose()?).await
            }
            (Self::Gpu(_), MaxSimRows::Host { .. }) => Err(other_engine("host row")),
            (Self::Cpu(run), MaxSimRows::Device { data, factors }) => {
                let factors = factors.map(Buffer::cpu).transpose()?;
                run.maxsim_of_buffer(format, shard, [queries.cpu()?, best.cpu()?], data.cpu()?, factors)
            }
            (Self::Cpu(run), MaxSimRows::Host { data, factors }) => {
                let width = format.row_len(shard.dim as usize);
                run.maxsim(shard, [queries.cpu()?, best.cpu()?], TokenRows { data, width, factors })
            }
        }
    }

    /// Adds to `scores` `[sums]` the sums of maxima that `sums` (whose bytes are in `table`) name, and sets those maxima
    /// to "no token seen". No two sums may share a maximum.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub fn maxsim_sum(
        &mut self,
        format: RowFormat,
        sums: &[MaximaSum],
        [table, best, scores]: [&Buffer; 3],
    ) -> Result<()> {
        match self {
            Self::Gpu(run) => run.maxsim_sum(format, sums, [table.gpu()?, best.gpu()?, scores.gpu()?]),
            Self::Cpu(run) => run.maxsim_sum(sums, [best.cpu()?, scores.cpu()?]),
        }
    }

    /// Hands full submissions to the device.
    ///
    /// # Errors
    /// [`crate::Error::Aborted`], or a fault of the device.
    pub async fn pump(&mut self) -> Result<()> {
        match self {
            Self::Gpu(run) => run.pump().await,
            Self::Cpu(run) => run.pause().await,
        }
    }

    /// Hands everything recorded to the device, so that its buffers may be written again: writes wait their turn.
    ///
    /// # Errors
    /// As [`Run::pump`].
    pub async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Gpu(run) => run.flush().await,
            Self::Cpu(run) => run.pause().await,
        }
    }

    /// Does everything recorded and waits for it.
    ///
    /// # Errors
    /// As [`Run::pump`].
    pub async fn finish(&mut self) -> Result<()> {
        match self {
            Self::Gpu(run) => run.finish().await,
            Self::Cpu(run) => run.pause().await,
        }
    }
}
