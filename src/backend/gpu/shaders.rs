//! The shader modules that `build.rs` put together, validated and reflected.

use super::Gpu;
use crate::error::{Error, Result};

/// A WGSL module with one entry point, `main`.
#[derive(Debug)]
pub struct Shader {
    /// Its name in `shaders/variants.txt`.
    pub name: &'static str,
    /// The files that it is made of, as places among those of all modules.
    files: &'static [u8],
    /// Threads of a workgroup in each direction.
    pub workgroup: [u32; 3],
    /// The bindings of the storage buffers that it takes, in the order in which they are given; binding 0 is the parameters.
    pub buffers: &'static [u32],
    /// The bindings that it writes; it only reads the others.
    pub written: &'static [u32],
    /// Bytes of its parameters.
    pub params_bytes: usize,
    /// Those of its u32 constants that the host reads, such as the sizes of its tile.
    pub constants: &'static [(&'static str, u32)],
}

/// The texts of all files, and the modules that are made of them.
type Modules = (&'static [&'static str], &'static [Shader]);
const MODULES: Modules = include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// Every module of `shaders/variants.txt`.
pub const ALL: &[Shader] = MODULES.1;

impl Shader {
    /// The WGSL.
    pub fn source(&self) -> String {
        self.files.iter().filter_map(|&file| MODULES.0.get(usize::from(file))).copied().collect()
    }

    /// The module of that name, if the list has it.
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|shader| shader.name == name)
    }

    /// A u32 constant of the module that `build.rs` lists; 1 if it has none of that name.
    pub(super) fn constant(&self, name: &str) -> u32 {
        self.find_constant(name).unwrap_or(1)
    }

    /// A u32 constant of the module, if it has one of that name.
    pub(super) fn find_constant(&self, name: &str) -> Option<u32> {
        self.constants.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// The lanes of a workgroup that has to have so many subgroups, if this is one, whatever size they are.
    fn lanes(&self, gpu: &Gpu) -> Option<u32> {
        self.find_constant("SUBGROUPS").map(|subgroups| (subgroups * gpu.subgroup).max(self.constant("FEWEST")))
    }

    /// The layout of its bindings: parameters at an offset that each dispatch has, then storage buffers.
    fn layout(&self, gpu: &Gpu) -> wgpu::BindGroupLayout {
        let entry = |binding: u32| {
            let (ty, has_dynamic_offset, bytes) = match binding {
                0 => (wgpu::BufferBindingType::Uniform, true, self.params_bytes as u64),
                _ => (wgpu::BufferBindingType::Storage { read_only: !self.written.contains(&binding) }, false, 0),
            };
            let min_binding_size = std::num::NonZeroU64::new(bytes);
            let ty = wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size };
            wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
        };
        let entries: Vec<_> = std::iter::once(&0).chain(self.buffers).map(|&binding| entry(binding)).collect();
        let label = Some(self.name);
        gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries })
    }

    /// Its module, with all of wgpu's checks but that loops end. Counting their turns takes up to a tenth of a GPU's time: it
    /// keeps compilers from unrolling them.
    #[expect(unsafe_code, reason = "wgpu asks for it where a check is left out")]
    fn module(&self, gpu: &Gpu) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(self.name),
            source: wgpu::ShaderSource::Wgsl(self.source().into()),
        };
        let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
        // SAFETY: all loops of the shaders in `shaders/`, and there are no others, end. They count up to a number that does not
        // change meanwhile; that of `maxsim_tile.wgsl` over documents stops at the one that a token before the last end is in.
        unsafe { gpu.device.create_shader_module_trusted(descriptor, checks) }
    }

    /// Compiles it, and makes the layout of its bindings.
    pub(super) fn pipeline(&self, gpu: &Gpu) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
        let module = self.module(gpu);
        let bindings = self.layout(gpu);
        let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(self.name),
            bind_group_layouts: &[Some(&bindings)],
            ..Default::default()
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(self.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            // Every shader writes its workgroup memory before it reads it.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                constants: &self.lanes(gpu).map(|lanes| ("LANES", lanes.into())).into_iter().collect::<Vec<_>>(),
            },
            cache: None,
        });
        (pipeline, bindings)
    }
}

/// Compiles WGSL with the platform's own compiler: in Chrome that is Tint, where `build.rs` asked naga.
///
/// # Errors
/// [`Error::Gpu`] with what the compiler says.
pub async fn compile(gpu: &Gpu, name: &str, source: &str) -> Result<()> {
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(name),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let info = module.get_compilation_info().await;
    let _ = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(name),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let refused = scope.pop().await.map(|e| e.to_string());
    let is_error = |m: &&wgpu::CompilationMessage| m.message_type == wgpu::CompilationMessageType::Error;
    let said = info.messages.iter().find(is_error).map(|m| format!("{}, at {:?}", m.message, m.location));
    match said.or(refused) {
        None => Ok(()),
        Some(message) => Err(Error::Gpu { message: format!("module {name}: {message}") }),
    }
}
