use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::{TokenForm, parameters, pipeline};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Recorder, probe};
use crate::watch::Watch;

/// Most workgroups of a dispatch; WebGPU allows one less than 65,536.
const GROUPS: u32 = 32_768;
/// Threads of a workgroup.
const LANES: u32 = 64;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    dim: u32,
    stride: u32,
    first: u32,
    at: u32,
    words: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ScaleParams {
    dim: u32,
    first: u32,
    at: u32,
    rows: u32,
}

/// Where token vectors come from and go to.
#[derive(Clone, Copy)]
pub struct KeepBuffers<'a> {
    /// `[n, D]` float32, finite
    pub vectors: &'a wgpu::Buffer,
    /// Rows of [`TokenForm::row_bytes`]
    pub data: &'a wgpu::Buffer,
    /// `[rows]` float32: the scales of [`TokenForm::I8`], which has to have them; other forms have none.
    pub scales: Option<&'a wgpu::Buffer>,
}

/// The pipelines that write token vectors as rows of one form. One recorder at a time may have them, because they have
/// one buffer for parameters.
pub struct Keep {
    params: wgpu::Buffer,
    rows: wgpu::ComputePipeline,
    /// Of int8.
    scale: Option<wgpu::ComputePipeline>,
    form: TokenForm,
}

impl Keep {
    /// Compiles them and checks them against their CPU twins on this adapter.
    ///
    /// # Errors
    /// [`Error::Gpu`] if a shader does not compile, [`Error::WrongKernel`] if one gives wrong bits.
    pub async fn new(gpu: &Gpu, form: TokenForm) -> Result<Self> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let kernels = Self {
            params: parameters(gpu),
            rows: pipeline(gpu, form.keep_kernel()),
            scale: (form == TokenForm::I8).then(|| pipeline(gpu, "keep_scale")),
            form,
        };
        if let Some(error) = scope.pop().await {
            return Err(Error::Gpu { message: format!("compiling shaders: {error}") });
        }
        probe::keep(gpu, &kernels, 5, 37).await?;
        Ok(kernels)
    }

    /// The form they write.
    pub fn form(&self) -> TokenForm {
        self.form
    }
}

impl<'a> Recorder<'a, Keep> {
    /// An empty recorder for keeping token vectors.
    pub fn for_keep(gpu: &'a Gpu, kernels: &'a Keep, watch: &'a dyn Watch) -> Self {
        Self::with(gpu, kernels, &kernels.params, watch)
    }

    /// Writes the rows `from` of the vectors, of `dim` dimensions, as rows `at` and on of the data: the same bits as
    /// [`crate::model::late::TokenEmbeddings`] has of the same vectors, padded with zeros.
    pub fn keep(&mut self, buffers: KeepBuffers<'_>, from: Range<u32>, at: u32, dim: u32) {
        let Keep { rows, scale, form, .. } = self.kernels;
        let KeepBuffers { vectors, data, scales } = buffers;
        let stride = form.row_bytes(dim) / 4;
        // What a number costs: two divisions of int8 are the dearest.
        let work = f64::from(dim) * if *form == TokenForm::I8 { 32.0 } else { 4.0 };
        let most = f64::from((GROUPS * LANES / stride.max(1)).max(1));
        let each = (self.budget() / work).clamp(1.0, most) as u32;
        for first in from.clone().step_by(each as usize) {
            let count = each.min(from.end - first);
            let at = at + first - from.start;
            let (work, words) = (work * f64::from(count), count * stride);
            let params = Params { dim, stride, first, at, words };
            let groups = |threads: u32| [threads.div_ceil(LANES), 1, 1];
            match (scale, scales) {
                (None, _) => self.push(rows, params, &[vectors, data], groups(words), work),
                (Some(scale), Some(scales)) => {
                    let of_scales = ScaleParams { dim, first, at, rows: count };
                    self.push(scale, of_scales, &[vectors, scales], groups(count), f64::from(count) * f64::from(dim));
                    self.push(rows, params, &[vectors, data, scales], groups(words), work);
                }
                (Some(_), None) => self.fail(Error::Gpu { message: "int8 token vectors need room for scales".into() }),
            }
        }
    }
}
