//! Cooperative matrices: what an adapter has of them, and a device that may use them.

#[cfg(not(target_arch = "wasm32"))]
use super::shaders::Shader;

/// Bytes of workgroup memory of their kernels.
#[cfg(not(target_arch = "wasm32"))]
const WORKGROUP_BYTES: u32 = 32_768;
/// Most lanes of a workgroup, as WebGPU guarantees.
#[cfg(not(target_arch = "wasm32"))]
const MOST_LANES: u32 = 256;

/// Lanes of the largest subgroups. wgpu says 64 of every Metal device; those that multiply matrices have 32.
pub(super) fn largest_subgroup(info: &wgpu::AdapterInfo) -> u32 {
    if info.backend == wgpu::Backend::Metal { 32 } else { info.subgroup_max_size }
}

/// The sizes of cooperative matrices of halves, with sums in f32, that kernels may use, and what to ask for then; WebGPU's defaults
/// where there are none.
#[cfg(not(target_arch = "wasm32"))]
#[expect(unsafe_code, reason = "wgpu asks for it where a feature is experimental")]
pub(super) fn with_matrices(adapter: &wgpu::Adapter) -> (Vec<u32>, wgpu::DeviceDescriptor<'static>) {
    use wgpu::{CooperativeScalarType, Features};
    let needed = Features::EXPERIMENTAL_COOPERATIVE_MATRIX | Features::SHADER_F16 | Features::SUBGROUP;
    let subgroup = largest_subgroup(&adapter.get_info());
    let can = adapter.features().contains(needed)
        && adapter.limits().max_compute_workgroup_storage_size >= WORKGROUP_BYTES
        && subgroup > 0;
    let mut sizes: Vec<u32> = Vec::new();
    for matrix in adapter.cooperative_matrix_properties().into_iter().filter(|_| can) {
        let [m, n, k] = [matrix.m_size, matrix.n_size, matrix.k_size];
        let types = (matrix.ab_type, matrix.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32);
        // A workgroup has a subgroup for each part of its tile.
        let Some(shader) = Shader::find(&format!("matmul_matrix{m}_large_q8")) else { continue };
        if types && m == n && n == k && shader.constant("SUBGROUPS") * subgroup <= MOST_LANES {
            sizes.push(m);
        }
    }
    if sizes.is_empty() {
        return (sizes, wgpu::DeviceDescriptor::default());
    }
    let required_limits = wgpu::Limits { max_compute_workgroup_storage_size: WORKGROUP_BYTES, ..Default::default() };
    // SAFETY: of what is experimental only cooperative matrices are used, by shaders of `shaders/variants.txt` that naga has
    // validated and whose results are compared before they are taken.
    let experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    let descriptor = wgpu::DeviceDescriptor {
        required_features: needed,
        required_limits,
        experimental_features,
        ..Default::default()
    };
    (sizes, descriptor)
}

/// No browser has them.
#[cfg(target_arch = "wasm32")]
pub(super) fn with_matrices(_: &wgpu::Adapter) -> (Vec<u32>, wgpu::DeviceDescriptor<'static>) {
    (Vec::new(), wgpu::DeviceDescriptor::default())
}
