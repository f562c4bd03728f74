//! The operations that read weight matrices: `matmul`, `swiglu` and `heads`.

use std::rc::Rc;

use bytemuck::{Pod, Zeroable};

use crate::backend::Precision;
use crate::backend::gpu::byte_strips::Shape;
use crate::backend::gpu::kernel::{GpuKernel, Packing, Pipeline};
use crate::backend::gpu::{GpuBuffer, GpuWeight, Recorder};
use crate::backend::ops::{HeadProducts, Operation};
use crate::error::{Error, Result};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    rows: u32,
    cols: u32,
    k4: u32,
    groups: u32,
    group4: u32,
    y_row: u32,
    y_col: u32,
    y_stride: u32,
    accumulate: u32,
    eps: f32,
}

/// Of the kernels of `heads`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadParams {
    rows: u32,
    k4: u32,
    groups: u32,
    group4: u32,
    eps: f32,
    query_heads: u32,
    key_heads: u32,
    first_head: u32,
    first_row: u32,
    query_norm: u32,
    key_norm: u32,
    positions: u32,
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::matmuls`] and [`crate::backend::Run::matmul_add`].
    pub fn matmuls(
        &mut self,
        x: &GpuBuffer,
        products: &[(&GpuWeight, &GpuBuffer, u32)],
        rows: u32,
        add: bool,
    ) -> Result<()> {
        // Weights that lie alike read the same rounded rows.
        let mut rounded: Option<(Shape, Rc<GpuBuffer>)> = None;
        for &(w, y, y_row) in products {
            let kernel = self.kernel(Operation::Matmul(w.format()))?;
            let params = Params { rows, y_row, accumulate: u32::from(add), ..w.params() };
            if rounded.as_ref().is_none_or(|(shape, _)| *shape != w.byte_shape()) {
                rounded = self.rounded(&kernel, x, w, None, rows)?.map(|rows| (w.byte_shape(), rows));
            }
            let x = rounded.as_ref().filter(|_| kernel.precision() == Precision::Fast).map_or(x, |(_, rows)| rows);
            self.linear(&kernel, [x, y], w, None, params, 1)?;
        }
        Ok(())
    }

    /// See [`crate::backend::Run::swiglu`].
    pub fn swiglu(
        &mut self,
        x: &GpuBuffer,
        norm: Option<(&GpuBuffer, f32)>,
        gate_up: &GpuWeight,
        y: &GpuBuffer,
        rows: u32,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::Swiglu(gate_up.format()))?;
        if kernel.normalizes() != norm.is_some() {
            let message = format!("{} takes {} norm", kernel.name(), if kernel.normalizes() { "a" } else { "no" });
            return Err(Error::Gpu { message });
        }
        let eps = norm.map_or(0.0, |(_, eps)| eps);
        let params = Params { rows, eps, ..gate_up.params() };
        match self.rounded(&kernel, x, gate_up, norm, rows)? {
            Some(x) => self.linear(&kernel, [&x, y], gate_up, None, params, 2),
            None => self.linear(&kernel, [x, y], gate_up, norm.map(|(weight, _)| weight), params, 2),
        }
    }

    /// See [`crate::backend::Run::heads`].
    pub fn heads(
        &mut self,
        x: &GpuBuffer,
        [wq, wk, wv]: [&GpuWeight; 3],
        [norm, query_norm, key_norm]: [&GpuBuffer; 3],
        [table, positions]: [&GpuBuffer; 2],
        [q, k, v]: [&GpuBuffer; 3],
        products: HeadProducts,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::Heads(wq.format()))?;
        let HeadProducts { rows, first_row, query, key, heads, eps } = products;
        let apart = || Error::Gpu { message: format!("what {} reads does not lie in one", kernel.name()) };
        let weights =
            wq.all([wk, wv]).filter(|_| [wq.n, wk.n, wv.n] == [query, key, key].map(|n| n * HeadProducts::DIM));
        let weights = weights.ok_or_else(apart)?;
        let at =
            |first: &GpuBuffer, other, unit| first.place_of(other).map(|bytes| (bytes / unit) as u32).ok_or_else(apart);
        let [groups, group4] = wq.shader_groups();
        let params = HeadParams {
            rows,
            k4: wq.k / 4,
            groups,
            group4,
            eps,
            query_heads: query,
            key_heads: key,
            first_head: heads.start,
            first_row,
            query_norm: at(norm, query_norm, 8)?,
            key_norm: at(norm, key_norm, 8)?,
            positions: at(table, positions, 4)?,
        };
        let outputs = heads.len() as u32 * HeadProducts::DIM;
        let (pipeline, groups) = grid(&kernel, rows, outputs, 1);
        let work = f64::from(rows) * f64::from(outputs) * f64::from(wq.k);
        let rounded = self.rounded(&kernel, x, wq, Some((norm, eps)), rows)?;
        let x = rounded.as_deref().unwrap_or(x);
        let (norms, places) = (norm.all(), table.all());
        let buffers: Vec<_> = [x, q].into_iter().chain(&weights).chain([&norms, &places, k, v]).collect();
        self.push(pipeline, params, &buffers, groups, work)
    }

    /// A dispatch for each part of the weight, which must be of so many matrices.
    fn linear(
        &mut self,
        kernel: &GpuKernel,
        [x, y]: [&GpuBuffer; 2],
        w: &GpuWeight,
        norm: Option<&GpuBuffer>,
        params: Params,
        matrices: u32,
    ) -> Result<()> {
        if w.packing != kernel.family.packing {
            let message = format!("{} reads {:?}, the weight is {:?}", kernel.name(), kernel.family.packing, w.packing);
            return Err(Error::Gpu { message });
        }
        if w.matrices != matrices {
            let message = format!("{} reads {matrices} matrices, the weight has {}", kernel.name(), w.matrices);
            return Err(Error::Gpu { message });
        }
        for part in &w.parts {
            let (pipeline, groups) = grid(kernel, params.rows, part.rows, matrices);
            let work = f64::from(matrices) * f64::from(params.rows) * f64::from(part.rows) * f64::from(w.k);
            let buffers: Vec<_> = [x, y].into_iter().chain(part.buffers()).chain(norm).collect();
            self.push(pipeline, Params { cols: part.rows, y_col: part.first, ..params }, &buffers, groups, work)?;
        }
        Ok(())
    }
}

/// Workgroups below which a tile is too large: it would leave much of a GPU without work.
const ENOUGH_GROUPS: u32 = 32;
/// Tokens up to which the kernel for few of them is taken: as many as two of its workgroups have.
const FEW_TOKENS: u32 = 32;

/// The pipeline for so many rows and outputs, and its workgroups. Families of several tiles list the largest first and the
/// one for few tokens last; all give the same bits.
fn grid(kernel: &GpuKernel, rows: u32, cols: u32, matrices: u32) -> (&Pipeline, [u32; 3]) {
    let (tiles, _) = kernel.tiles();
    let grid = |pipeline: &Pipeline| {
        let shader = pipeline.shader;
        let [outputs, tokens] = match kernel.family.packing {
            // A thread's share.
            Packing::RowMajor => {
                [shader.workgroup[0] * shader.constant("OUTPUTS"), shader.workgroup[1] * shader.constant("TOKENS")]
            }
            // A workgroup's, which a pair has to share.
            Packing::Strips | Packing::ByteStrips => [shader.constant("OUTPUTS") / matrices, shader.constant("TOKENS")],
        };
        [cols.div_ceil(outputs), rows.div_ceil(tokens), 1]
    };
    let last = tiles.len() - 1;
    let fits = |i: &usize| {
        let [x, y, _] = grid(&tiles[*i]);
        rows > FEW_TOKENS && (x * y >= ENOUGH_GROUPS || i + 2 > last)
    };
    let pipeline = &tiles[(0..last).find(fits).unwrap_or(last)];
    (pipeline, grid(pipeline))
}

impl GpuWeight {
    /// The parameters that follow from the weight alone.
    fn params(&self) -> Params {
        let [groups, group4] = self.shader_groups();
        let (k4, y_stride) = (self.k / 4, self.n);
        Params { rows: 0, cols: 0, k4, groups, group4, y_row: 0, y_col: 0, y_stride, accumulate: 0, eps: 0.0 }
    }
}
