//! The shader modules that `build.rs` put together and validated.

use super::Gpu;
use crate::error::{Error, Result};

/// Name and WGSL of every module of `shaders/variants`.
pub const ALL: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// The WGSL of one module; empty if the list has no such name, which `Kernels::new` reports.
pub(super) fn source(name: &str) -> &'static str {
    ALL.iter().find(|(n, _)| *n == name).map_or("", |(_, source)| source)
}

/// Compiles a module and its pipeline with the platform's own compiler: in Chrome that is Tint, where `build.rs` asked
/// naga.
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
