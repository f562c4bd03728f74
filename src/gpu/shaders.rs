//! The shader modules that `build.rs` put together and validated.

/// Name and WGSL of every module of `shaders/variants`.
pub const ALL: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// The WGSL of one module; empty if the list has no such name, which `Kernels::new` reports.
pub(super) fn source(name: &str) -> &'static str {
    ALL.iter().find(|(n, _)| *n == name).map_or("", |(_, source)| source)
}
