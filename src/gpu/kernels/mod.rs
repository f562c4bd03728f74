//! One host function a kernel: it names the shader's bindings in order, and says their shapes.
//!
//! Every `Params` here has the fields of the `Params` of the shader of the same name, in the same order.

mod attention;
mod head_norm_rope;
mod matmul;
mod maxsim;
mod pool;
mod quantise;
mod rms_norm;
mod swiglu;

pub use attention::{AttentionBuffers, Heads, Tile};
pub use head_norm_rope::{HeadRows, Rope};
pub use maxsim::{Family, MaxSim, Output, ShardBuffers, Strip, TokenForm};
pub use pool::Segment;
pub use quantise::Form;

use super::recorder::PARAMS_BYTES;
use super::{Gpu, WeightType, probe, shaders};
use crate::error::{Error, Result};

/// The pipelines of one device, for weights of one type.
pub struct Kernels {
    pub(super) params: wgpu::Buffer,
    rms_norm: wgpu::ComputePipeline,
    matmul: wgpu::ComputePipeline,
    swiglu: wgpu::ComputePipeline,
    head_norm_rope: wgpu::ComputePipeline,
    attention: wgpu::ComputePipeline,
    pool: wgpu::ComputePipeline,
    quantise: wgpu::ComputePipeline,
    weight_type: WeightType,
}

impl Kernels {
    /// Compiles every kernel, and checks each against its CPU twin on this adapter.
    ///
    /// # Errors
    /// [`Error::Gpu`] if a shader does not compile, [`Error::WrongKernel`] if one gives wrong numbers.
    pub async fn new(gpu: &Gpu, weight_type: WeightType) -> Result<Self> {
        let kernels = Self::compile(gpu, weight_type).await?;
        probe::check(gpu, &kernels).await?;
        Ok(kernels)
    }

    async fn compile(gpu: &Gpu, weight_type: WeightType) -> Result<Self> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let suffix = weight_type.name();
        let kernels = Self {
            params: parameters(gpu),
            rms_norm: pipeline(gpu, "rms_norm"),
            matmul: pipeline(gpu, &format!("matmul_{suffix}")),
            swiglu: pipeline(gpu, &format!("swiglu_{suffix}")),
            head_norm_rope: pipeline(gpu, "head_norm_rope"),
            attention: pipeline(gpu, "attention"),
            pool: pipeline(gpu, "pool"),
            quantise: pipeline(gpu, "quantise"),
            weight_type,
        };
        match scope.pop().await {
            None => Ok(kernels),
            Some(error) => Err(Error::Gpu { message: format!("compiling shaders: {error}") }),
        }
    }

    /// The type of weights these kernels read.
    pub fn weight_type(&self) -> WeightType {
        self.weight_type
    }

    /// The shader modules in use.
    pub fn names(&self) -> Vec<String> {
        let suffix = self.weight_type.name();
        let mut names: Vec<String> =
            ["rms_norm", "head_norm_rope", "attention", "pool", "quantise"].map(String::from).into();
        names.extend([format!("matmul_{suffix}"), format!("swiglu_{suffix}")]);
        names.sort();
        names
    }
}

/// The buffer that a recorder keeps the parameters of one submission in.
fn parameters(gpu: &Gpu) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("parameters"),
        size: PARAMS_BYTES,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn pipeline(gpu: &Gpu, name: &str) -> wgpu::ComputePipeline {
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(shaders::source(name).into()),
    });
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        // Every shader writes its shared memory before it reads it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    })
}
