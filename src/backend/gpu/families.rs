//! The table of kernel families: which operation each does, in which formats, what it needs, and where it suits.
//!
//! To add a family, write its shader, list it in `shaders/variants.txt`, and add a row here. `backend/choose.rs` compiles and
//! checks the rows that an adapter allows, and takes the fastest of those that are right.

use std::sync::{Arc, OnceLock};

use super::Gpu;
use super::kernel::{Adapters, Family, GpuKernel, Packing, Pipeline};
use super::shaders::Shader;
use crate::backend::Precision;
use crate::backend::ops::Operation;
use crate::error::{Error, Result};

const WEIGHTS: &[&str] = &["f32", "f16", "bf16", "q8", "q4"];
const CODES: &[&str] = &["q8", "q4"];
const NO_FORMAT: &[&str] = &[""];

/// Sums here have at most a few thousand terms of size about one, each rounded to f32 once, and `exp` may be off by a
/// few units in the last place. A kernel that is wrong is wrong by far more.
const ROUNDED: f64 = 2e-5;
/// MaxSim sums many such products.
const SUM_OF_PRODUCTS: f64 = 1e-4;
const EXACT: f64 = 0.0;
/// Half of what a search allows a bound to be off.
const BOUND: f64 = 2e-6;

const fn family(
    operation: &'static str,
    name: &'static str,
    formats: &'static [&'static str],
    shaders: &'static [&'static str],
    adapters: Adapters,
    tolerance: f64,
) -> Family {
    let (matrices, packing) = (None, Packing::RowMajor);
    Family { name, operation, formats, shaders, matrices, adapters, packing, tolerance }
}

/// A family that reads weights in strips.
const fn strips(
    operation: &'static str,
    name: &'static str,
    formats: &'static [&'static str],
    shaders: &'static [&'static str],
) -> Family {
    Family { packing: Packing::Strips, ..family(operation, name, formats, shaders, Adapters::Hardware, ROUNDED) }
}

/// A family that rounds activations to 8 bits, by its last shader, and reads weights in strips of bytes.
const fn bytes(operation: &'static str, shaders: &'static [&'static str]) -> Family {
    Family { packing: Packing::ByteStrips, ..family(operation, "int8", CODES, shaders, Adapters::Hardware, ROUNDED) }
}

/// A family that rounds activations to halves, by its last shader, and multiplies cooperative matrices of so many rows and
/// columns. It reads weights as those do that round to 8 bits.
#[cfg(not(target_arch = "wasm32"))]
const fn matrices(operation: &'static str, name: &'static str, size: u32, shaders: &'static [&'static str]) -> Family {
    let suits = family(operation, name, CODES, shaders, Adapters::Hardware, ROUNDED);
    Family { packing: Packing::ByteStrips, matrices: Some(size), ..suits }
}

/// Of several families that suit an adapter, the first is taken unless another is faster.
#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    family("rms_norm", "row", NO_FORMAT, &["rms_norm"], Adapters::Any, ROUNDED),
    family("head_norm_rope", "lanes", NO_FORMAT, &["head_norm_rope_lanes"], Adapters::Hardware, ROUNDED),
    family("head_norm_rope", "head", NO_FORMAT, &["head_norm_rope"], Adapters::Any, ROUNDED),
    family("attention", "tile", &["64", "128", "256"], &["attention_tile_{}"], Adapters::Hardware, ROUNDED),
    family("attention", "narrow", &["128"], &["attention_narrow_{}"], Adapters::Hardware, ROUNDED),
    family("attention", "range", &["64", "128", "256", "any"], &["attention"], Adapters::Any, ROUNDED),
    family("bias", "number", NO_FORMAT, &["bias"], Adapters::Any, ROUNDED),
    family("pool", "blocks", NO_FORMAT, &["pool"], Adapters::Any, ROUNDED),
    family("quantize", "words", NO_FORMAT, &["quantize"], Adapters::Any, ROUNDED),
    bytes("matmul", &["matmul_int8_large_{}", "matmul_int8_small_{}", "matmul_int8_few_{}", "round_rows"]),
    bytes("swiglu", &["swiglu_int8_large_{}", "swiglu_int8_small_{}", "swiglu_int8_few_{}", "round_normed_rows"]),
    bytes("heads", &["heads_int8_large_{}", "heads_int8_small_{}", "heads_int8_few_{}", "round_normed_rows"]),
    #[cfg(not(target_arch = "wasm32"))]
    matrices("matmul", "matrix16", 16, &["matmul_matrix16_large_{}", "matmul_matrix16_small_{}", "halve_rows"]),
    #[cfg(not(target_arch = "wasm32"))]
    matrices("matmul", "matrix8", 8, &["matmul_matrix8_large_{}", "matmul_matrix8_small_{}", "halve_rows"]),
    #[cfg(not(target_arch = "wasm32"))]
    matrices("swiglu", "matrix16", 16, &["swiglu_matrix16_large_{}", "swiglu_matrix16_small_{}", "halve_normed_rows"]),
    #[cfg(not(target_arch = "wasm32"))]
    matrices("swiglu", "matrix8", 8, &["swiglu_matrix8_large_{}", "swiglu_matrix8_small_{}", "halve_normed_rows"]),
    #[cfg(not(target_arch = "wasm32"))]
    matrices("heads", "matrix16", 16, &["heads_matrix16_large_{}", "heads_matrix16_small_{}", "halve_normed_rows"]),
    #[cfg(not(target_arch = "wasm32"))]
    matrices("heads", "matrix8", 8, &["heads_matrix8_large_{}", "heads_matrix8_small_{}", "halve_normed_rows"]),
    strips("matmul", "tile", WEIGHTS, &["matmul_large_{}", "matmul_small_{}", "matmul_few_{}"]),
    strips("matmul", "narrow", WEIGHTS, &["matmul_small_{}", "matmul_few_{}"]),
    family("matmul", "register", WEIGHTS, &["matmul_{}"], Adapters::Any, ROUNDED),
    strips("swiglu", "tile", WEIGHTS, &["swiglu_large_{}", "swiglu_small_{}", "swiglu_few_{}"]),
    strips("swiglu", "narrow", WEIGHTS, &["swiglu_small_{}", "swiglu_few_{}"]),
    family("swiglu", "register", WEIGHTS, &["swiglu_{}"], Adapters::Any, ROUNDED),
    strips("heads", "tile", WEIGHTS, &["heads_large_{}", "heads_small_{}", "heads_few_{}"]),
    strips("heads", "narrow", WEIGHTS, &["heads_small_{}", "heads_few_{}"]),
    family("pack_rows", "words", &["float32", "float16", "binary"], &["pack_rows_{}"], Adapters::Any, EXACT),
    family("pack_rows", "words", &["int8"], &["pack_rows_{}", "pack_scales"], Adapters::Any, EXACT),
    family("dense", "tile", &["int8", "binary"], &["dense_tile_{}"], Adapters::Hardware, EXACT),
    family("dense", "tile", &["float32"], &["dense_tile_{}"], Adapters::Hardware, ROUNDED),
    family("dense", "rows", &["int8", "binary"], &["dense_{}"], Adapters::Any, EXACT),
    family("dense", "rows", &["float32"], &["dense_{}"], Adapters::Any, ROUNDED),
    family("dense_bounds", "blocks", &["float32", "int8", "binary"], &["dense_bounds_{}"], Adapters::Hardware, BOUND),
    family("maxsim", "tile", &["float32", "float16", "int8", "binary"], &["maxsim_tile_{}", "maxsim_sum"], Adapters::Hardware, SUM_OF_PRODUCTS),
    family("maxsim", "narrow", &["float32", "float16", "int8", "binary"], &["maxsim_narrow_{}", "maxsim_sum"], Adapters::Hardware, SUM_OF_PRODUCTS),
    family("maxsim", "strip", &["float32", "float16", "int8", "binary"], &["maxsim_strip_{}", "maxsim_sum"], Adapters::Any, SUM_OF_PRODUCTS),
];

/// The families that can do `operation` on this device as exactly as `precision` says, or more so, the preferred one first.
/// `only` names the one to take, for tests and measurements, whatever the adapter.
fn families(
    gpu: &Gpu,
    operation: Operation,
    precision: Precision,
    only: Option<&str>,
) -> impl Iterator<Item = &'static Family> {
    let (name, format) = operation.name();
    let software = gpu.adapter().software;
    let exact_enough = move |family: &Family| [Precision::Exact, precision].contains(&family.packing.precision());
    let does = move |family: &&Family| {
        family.operation == name && family.formats.contains(&format) && (only.is_some() || exact_enough(family))
    };
    let is_preferred = |family: &Family| gpu.preferred.iter().any(|name| name == family.name);
    let any_preferred = FAMILIES.iter().filter(does).any(is_preferred);
    FAMILIES.iter().filter(does).filter(move |family| {
        let suits = !(software && family.adapters == Adapters::Hardware);
        let can = family.matrices.is_none_or(|size| gpu.matrices.contains(&size));
        can && match only {
            Some(only) => family.name == only,
            None if any_preferred => is_preferred(family),
            None => suits,
        }
    })
}

/// Compiles every family that can do `operation` as exactly as `precision` says, or more so, the preferred one first.
///
/// # Errors
/// [`Error::Gpu`] if a shader does not compile, or no family does this operation.
pub(in crate::backend) async fn candidates(
    gpu: &Arc<Gpu>,
    operation: Operation,
    precision: Precision,
    only: Option<&str>,
) -> Result<Vec<GpuKernel>> {
    let (name, format) = operation.name();
    let mut compiled: Vec<GpuKernel> = Vec::new();
    let mut refused = None;
    for family in families(gpu, operation, precision, only) {
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let mut pipelines = Vec::new();
        for pattern in family.shaders {
            let module = pattern.replace("{}", format);
            let shader = Shader::find(&module).ok_or_else(|| missing(&module))?;
            // Families may share shaders.
            let mut before = compiled.iter().flat_map(|kernel: &GpuKernel| &kernel.pipelines);
            let pipeline = before.find(|pipeline| pipeline.shader.name == shader.name).cloned();
            pipelines.push(pipeline.unwrap_or_else(|| {
                let (raw, layout) = shader.pipeline(gpu);
                Pipeline { raw: Arc::new(raw), layout, shader }
            }));
        }
        // What a browser does not know yet, another family may do without.
        if let Some(error) = scope.pop().await {
            refused.get_or_insert(Error::Gpu { message: format!("compiling {name}.{}: {error}", family.name) });
            continue;
        }
        compiled.push(GpuKernel { operation, family, pipelines, why: OnceLock::new() });
    }
    if compiled.is_empty() {
        let none = || Error::Gpu { message: format!("no kernel does {name} for {format}") };
        return Err(refused.unwrap_or_else(none));
    }
    Ok(compiled)
}

fn missing(module: &str) -> Error {
    Error::Gpu { message: format!("shader module {module} is not listed in shaders/variants.txt") }
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, Packing, Shader};

    #[test]
    fn every_shader_of_every_family_is_listed_and_none_is_unused() {
        let mut used: Vec<String> = Vec::new();
        for family in FAMILIES {
            for format in family.formats {
                used.extend(family.shaders.iter().map(|pattern| pattern.replace("{}", format)));
            }
        }
        for module in &used {
            assert!(Shader::find(module).is_some(), "{module}");
        }
        for shader in super::super::shaders::ALL {
            assert!(used.iter().any(|module| module == shader.name), "{} is in no family", shader.name);
        }
    }

    #[test]
    fn the_tiles_of_every_family_that_reads_strips_say_their_size() {
        let strips = FAMILIES.iter().filter(|family| family.packing != Packing::RowMajor);
        let names = strips.flat_map(|family| family.formats.iter().map(move |format| (family, format)));
        for (family, format) in names {
            for pattern in family.shaders.iter().filter(|pattern| pattern.contains("{}")) {
                let shader = Shader::find(&pattern.replace("{}", format)).unwrap();
                assert!(
                    ["TOKENS", "OUTPUTS"].iter().all(|name| shader.find_constant(name).is_some()),
                    "{}",
                    shader.name
                );
            }
        }
    }
}
