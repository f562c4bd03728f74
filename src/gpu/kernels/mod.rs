//! One host function a kernel: it names the shader's bindings in order, and says their shapes.
//!
//! Every `Params` here has the fields of the `Params` of the shader of the same name, in the same order.

mod attention;
mod dense;
mod head_norm_rope;
mod keep;
mod matmul;
mod maxsim;
mod pool;
mod quantise;
mod rms_norm;
mod swiglu;

pub use attention::{AttentionBuffers, Heads, Tile};
pub use dense::{Dense, DenseBuffers, DenseForm};
pub use head_norm_rope::{HeadRows, Rope};
pub use keep::{Keep, KeepBuffers};
pub use maxsim::{Family, MaxSim, Output, ShardBuffers, Strip, TokenForm};
pub use pool::Segment;
pub use quantise::Form;

use super::recorder::PARAMS_BYTES;
use super::{Gpu, Linear, Recorder, WeightType, probe, shaders};
use crate::error::{Error, Result};

/// The pipelines of one device, for weights of some types.
pub struct Kernels {
    pub(super) params: wgpu::Buffer,
    rms_norm: wgpu::ComputePipeline,
    /// One for each type of weights.
    products: Vec<Products>,
    head_norm_rope: wgpu::ComputePipeline,
    attention: wgpu::ComputePipeline,
    pool: wgpu::ComputePipeline,
    quantise: wgpu::ComputePipeline,
}

/// The pipelines that read weights of one type.
#[derive(Clone)]
pub(super) struct Products {
    weight_type: WeightType,
    matmul: wgpu::ComputePipeline,
    swiglu: wgpu::ComputePipeline,
}

impl Kernels {
    /// Compiles every kernel, those that read weights for each of `types`, and checks each against its CPU twin on
    /// this adapter.
    ///
    /// # Errors
    /// [`Error::Gpu`] if a shader does not compile, [`Error::WrongKernel`] if one gives wrong numbers.
    pub async fn new(gpu: &Gpu, types: &[WeightType]) -> Result<Self> {
        let kernels = Self::compile(gpu, types).await?;
        probe::check(gpu, &kernels).await?;
        Ok(kernels)
    }

    async fn compile(gpu: &Gpu, types: &[WeightType]) -> Result<Self> {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let mut products: Vec<Products> = Vec::new();
        for &weight_type in types {
            if products.iter().all(|p| p.weight_type != weight_type) {
                let [matmul, swiglu] = product_names(weight_type).map(|name| pipeline(gpu, &name));
                products.push(Products { weight_type, matmul, swiglu });
            }
        }
        let kernels = Self {
            params: parameters(gpu),
            rms_norm: pipeline(gpu, "rms_norm"),
            products,
            head_norm_rope: pipeline(gpu, "head_norm_rope"),
            attention: pipeline(gpu, "attention"),
            pool: pipeline(gpu, "pool"),
            quantise: pipeline(gpu, "quantise"),
        };
        match scope.pop().await {
            None => Ok(kernels),
            Some(error) => Err(Error::Gpu { message: format!("compiling shaders: {error}") }),
        }
    }

    /// The types of weights these kernels read.
    pub fn weight_types(&self) -> impl Iterator<Item = WeightType> {
        self.products.iter().map(|p| p.weight_type)
    }

    /// The shader modules in use.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            ["rms_norm", "head_norm_rope", "attention", "pool", "quantise"].map(String::from).into();
        names.extend(self.weight_types().flat_map(product_names));
        names.sort();
        names
    }
}

impl Recorder<'_> {
    /// The pipelines that read `w`, which has to be of that many matrices. If there are none, the recorder fails.
    fn products(&mut self, w: &Linear, matrices: u32) -> Option<Products> {
        let weight_type = w.storage().weight_type;
        let found = self.kernels.products.iter().find(|p| p.weight_type == weight_type && w.matrices == matrices);
        if found.is_none() {
            let message = format!("no kernel for {} matrices of {} was compiled", w.matrices, weight_type.name());
            self.fail(Error::Gpu { message });
        }
        found.cloned()
    }
}

fn product_names(weight_type: WeightType) -> [String; 2] {
    ["matmul", "swiglu"].map(|kernel| format!("{kernel}_{}", weight_type.name()))
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

/// Appends rows of `host` bytes, each padded with zeros to `device` bytes.
fn pad_rows(rows: &[u8], host: usize, device: usize, into: &mut Vec<u8>) {
    into.reserve(rows.len() / host * device);
    for row in rows.chunks_exact(host) {
        into.extend_from_slice(row);
        into.resize(into.len() + device - host, 0);
    }
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
