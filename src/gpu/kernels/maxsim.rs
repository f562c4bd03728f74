use bytemuck::{Pod, Zeroable};

use super::{pad_rows, parameters, pipeline};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recorder};
use crate::watch::Watch;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    k4: u32,
    stride: u32,
    scaled: u32,
    first_strip: u32,
    end_strip: u32,
    first_block: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumParams {
    outputs: u32,
}

/// A family of the MaxSim kernel. Both give the same bits wherever a compiler adds in the order that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Tiles in workgroup memory that take no notice of where documents end: for GPUs.
    Tile,
    /// Registers only, a piece of one document a thread: for software adapters, which barriers ruin.
    Strip,
}

impl Family {
    /// Most tokens of a strip.
    pub(crate) const TOKENS: u32 = 64;
    /// Most loop iterations of a thread; llvmpipe ends loops after 65,535.
    const ITERATIONS: u32 = 16_384;

    /// Tokens of a strip of `dim` dimensions: fewer than [`Family::TOKENS`] where a thread would loop for too long.
    pub(crate) fn strip_tokens(self, dim: u32) -> usize {
        let fours = match self {
            Self::Tile => Self::TOKENS / 4,
            Self::Strip => (Self::ITERATIONS / dim.div_ceil(4)).clamp(1, Self::TOKENS / 4),
        };
        fours as usize * 4
    }

    /// Query rows that a workgroup or thread takes.
    fn rows(self) -> u32 {
        match self {
            Self::Tile => 32,
            Self::Strip => 8,
        }
    }

    /// Strips a workgroup.
    fn strips(self) -> u32 {
        match self {
            Self::Tile => 1,
            Self::Strip => 64,
        }
    }
}

/// How the kernel reads document tokens. Rows are padded with zeros to whole elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenForm {
    /// float32; an element has four dimensions.
    F32,
    /// float16; an element has four dimensions.
    F16,
    /// int8; an element has four dimensions.
    I8,
    /// A bit a dimension, +1 and -1; an element has 32 dimensions.
    B1,
}

impl TokenForm {
    /// Bytes of an element.
    fn element(self) -> u32 {
        match self {
            Self::F32 => 16,
            Self::F16 => 8,
            Self::I8 | Self::B1 => 4,
        }
    }

    /// Elements of a token of `dim` dimensions.
    fn stride(self, dim: u32) -> u32 {
        dim.div_ceil(if self == Self::B1 { 32 } else { 4 })
    }

    /// Bytes of a token of `dim` dimensions on the device.
    pub fn row_bytes(self, dim: u32) -> u32 {
        self.stride(dim) * self.element()
    }

    /// Bytes of a token of `dim` dimensions in host memory.
    pub fn host_bytes(self, dim: u32) -> u32 {
        match self {
            Self::F32 => dim * 4,
            Self::F16 => dim * 2,
            Self::I8 => dim,
            Self::B1 => dim.div_ceil(8),
        }
    }

    /// Appends rows `[n, D]` of [`TokenForm::host_bytes`] each as the device has them.
    pub fn pad_rows(self, rows: &[u8], dim: u32, into: &mut Vec<u8>) {
        pad_rows(rows, self.host_bytes(dim) as usize, self.row_bytes(dim) as usize, into);
    }

    /// The kernel that writes it.
    pub(in crate::gpu) fn keep_kernel(self) -> &'static str {
        match self {
            Self::F32 => "keep_f32",
            Self::F16 => "keep_f16",
            Self::I8 => "keep_i8",
            Self::B1 => "keep_b1",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::B1 => "b1",
        }
    }
}

/// Consecutive tokens in a shard of documents, and the query rows they are held against.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Strip {
    /// Its first token in the shard.
    pub token: u32,
    /// The token after its last; at most [`Family::TOKENS`] further. In [`Family::Strip`], of the same document.
    pub end: u32,
    /// The document of its first token, as the shard's `ends` count them.
    pub doc: u32,
    /// Where in `best` that document's rows begin.
    pub best: u32,
    /// Its first query row.
    pub query: u32,
    /// Its query rows, which is also the distance of two documents in `best`.
    pub rows: u32,
}

/// A sum of consecutive numbers in `best`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Output {
    /// Where in `best` they begin.
    pub best: u32,
    /// How many they are, 1 to 32,768.
    pub rows: u32,
}

/// The buffers of a shard.
#[derive(Clone, Copy)]
pub struct ShardBuffers<'a> {
    /// The bytes of the strips.
    pub strips: &'a wgpu::Buffer,
    /// `[rows, ceil(D/4) * 4]` float32, padded with zeros
    pub queries: &'a wgpu::Buffer,
    /// `[T]` of [`TokenForm::row_bytes`]
    pub data: &'a wgpu::Buffer,
    /// `[T]` float32, or anything where `scaled` is false
    pub scales: &'a wgpu::Buffer,
    /// Multiply similarities by the scales.
    pub scaled: bool,
    /// u32 for each document of the shard: the token after its last. There are no empty documents.
    pub ends: &'a wgpu::Buffer,
    /// u32, see `shared/maxsim.wgsl`
    pub best: &'a wgpu::Buffer,
}

/// The pipelines of MaxSim for one form of documents.
pub struct MaxSim {
    params: wgpu::Buffer,
    best: wgpu::ComputePipeline,
    sum: wgpu::ComputePipeline,
    family: Family,
    form: TokenForm,
}

impl MaxSim {
    /// Compiles them.
    ///
    /// # Errors
    /// [`Error::Gpu`] if a shader does not compile.
    pub async fn compile(gpu: &Gpu, family: Family, form: TokenForm) -> Result<Self> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let kernels = Self {
            params: parameters(gpu),
            best: pipeline(gpu, &format!("{}_{}", Self::module(family), form.name())),
            sum: pipeline(gpu, "maxsim_sum"),
            family,
            form,
        };
        match scope.pop().await {
            None => Ok(kernels),
            Some(error) => Err(Error::Gpu { message: format!("compiling shaders: {error}") }),
        }
    }

    /// The family these belong to.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The form they read.
    pub fn form(&self) -> TokenForm {
        self.form
    }

    fn module(family: Family) -> &'static str {
        match family {
            Family::Tile => "maxsim_tile",
            Family::Strip => "maxsim_strip",
        }
    }
}

impl<'a> Recorder<'a, MaxSim> {
    /// An empty recorder for MaxSim.
    pub fn for_maxsim(gpu: &'a Gpu, kernels: &'a MaxSim, watch: &'a dyn Watch) -> Self {
        Self::with(gpu, kernels, &kernels.params, watch)
    }

    /// Raises `best` by `strips`, whose bytes are in `buffers.strips` and none of which has more than `rows` query
    /// rows; documents and queries have `dim` dimensions.
    pub fn maxsim(&mut self, strips: &[Strip], rows: u32, buffers: ShardBuffers<'_>, dim: u32) {
        let pipeline = self.kernels.best.clone();
        let (family, form) = (self.kernels.family, self.kernels.form);
        let blocks = rows.div_ceil(family.rows());
        let mut bindings =
            vec![buffers.strips, buffers.queries, buffers.data, buffers.scales, buffers.best, buffers.ends];
        if family == Family::Strip {
            bindings.truncate(5);
        }
        // A dispatch has no more work than a submission is meant to have, and no more workgroups than are allowed.
        let block = f64::from(family.rows()) * f64::from(Family::TOKENS) * f64::from(dim);
        let room = self.budget() / block;
        let strips_each = (room / f64::from(blocks)).clamp(f64::from(family.strips()), 32_768.0) as u32;
        let blocks_each = (room / f64::from(strips_each)).clamp(1.0, f64::from(blocks)) as u32;
        for first_strip in (0..strips.len() as u32).step_by(strips_each as usize) {
            let end_strip = (first_strip + strips_each).min(strips.len() as u32);
            let part = &strips[first_strip as usize..end_strip as usize];
            let tokens = part.iter().map(|s| f64::from(s.end - s.token)).sum::<f64>();
            for first_block in (0..blocks).step_by(blocks_each as usize) {
                let blocks = blocks_each.min(blocks - first_block);
                let params = Params {
                    k4: dim.div_ceil(4),
                    stride: form.stride(dim),
                    scaled: u32::from(buffers.scaled),
                    first_strip,
                    end_strip,
                    first_block,
                };
                let groups = [(end_strip - first_strip).div_ceil(family.strips()), blocks, 1];
                let work = tokens * f64::from(blocks * family.rows()) * f64::from(dim);
                self.push(&pipeline, params, &bindings, groups, work);
            }
        }
    }

    /// Adds to `scores` `[outputs]` the sums of `best` that `outputs` (whose bytes are in `table`) name, and sets
    /// those to "no token seen". No two outputs may share a number.
    pub fn maxsim_sum(&mut self, outputs: &[Output], table: &wgpu::Buffer, best: &wgpu::Buffer, scores: &wgpu::Buffer) {
        let pipeline = self.kernels.sum.clone();
        let count = outputs.len() as u32;
        let work = outputs.iter().map(|o| f64::from(o.rows)).sum();
        let groups = [count.div_ceil(64), 1, 1];
        self.push(&pipeline, SumParams { outputs: count }, &[table, best, scores], groups, work);
    }
}
