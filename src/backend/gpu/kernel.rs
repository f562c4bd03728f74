//! What a kernel is: a family's shaders, compiled for one operation.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::byte_strips;
use super::shaders::Shader;
use crate::backend::Precision;
use crate::backend::ops::{Heads, Operation, Tile};
use crate::numbers::MatrixFormat;

/// A way to do an operation. What a family needs and where it may run is a row of the table in `families.rs`.
#[derive(Debug)]
pub(super) struct Family {
    /// The middle of a kernel's name, `<operation>.<family>.<format>`.
    pub(super) name: &'static str,
    /// [`Operation::name`] of the operation.
    pub(super) operation: &'static str,
    /// The formats it reads; one empty name where the operation has none.
    pub(super) formats: &'static [&'static str],
    /// Its shaders, in the order in which the host function uses them; `{}` stands for the format.
    pub(super) shaders: &'static [&'static str],
    /// Rows and columns of the cooperative matrices that it multiplies, of activations rounded to halves, if it does.
    pub(super) matrices: Option<u32>,
    /// Where it may run.
    pub(super) adapters: Adapters,
    /// How it wants weights to lie.
    pub(super) packing: Packing,
    /// Largest deviation from the reference that is allowed, relative to `1 + |expected|`; 0 where it is exact.
    pub(super) tolerance: f64,
}

/// Which adapters a family suits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adapters {
    /// Any.
    Any,
    /// Not software adapters: there, workgroup barriers cost more than anything, and take seconds to compile.
    Hardware,
}

/// How the weights of a matmul family lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// `[N, K]`, row by row, and the scales and biases `[N, groups]` in a buffer of their own.
    RowMajor,
    /// In strips of 64 rows, as `strips.rs` says.
    Strips,
    /// In strips of 64 rows for activations of 8 bits, as `byte_strips.rs` says.
    ByteStrips,
}

impl Packing {
    /// How exactly kernels that read it take activations.
    pub(super) fn precision(self) -> Precision {
        match self {
            Self::RowMajor | Self::Strips => Precision::Exact,
            Self::ByteStrips => Precision::Fast,
        }
    }
}

/// Where `shared/norm_rows.wgsl` binds the norms.
const NORM_BINDING: u32 = 5;

/// A pipeline and the shader it was made of.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    /// Shared, because in a browser a clone of the handle itself is two calls into JavaScript.
    pub(super) raw: Arc<wgpu::ComputePipeline>,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) shader: &'static Shader,
}

/// The pipelines of one family for one operation.
#[derive(Debug)]
pub struct GpuKernel {
    pub(super) operation: Operation,
    pub(super) family: &'static Family,
    pub(super) pipelines: Vec<Pipeline>,
    /// Why this family was chosen, once it was.
    pub(super) why: OnceLock<String>,
}

impl GpuKernel {
    /// `<operation>.<family>.<format>`, or without the format where the operation has none.
    pub fn name(&self) -> String {
        let (operation, format) = self.operation.name();
        let dot = if format.is_empty() { "" } else { "." };
        format!("{operation}.{}{dot}{format}", self.family.name)
    }

    /// The family's name.
    pub fn family(&self) -> &'static str {
        self.family.name
    }

    /// Largest deviation from the reference that is allowed, relative to `1 + |expected|`.
    pub fn tolerance(&self) -> f64 {
        self.family.tolerance
    }

    /// Whether it does this operation, groups of matrices aside.
    pub fn does(&self, operation: Operation) -> bool {
        self.operation.name() == operation.name()
    }

    /// Whether a linear layer normalizes the rows that it reads.
    pub fn normalizes(&self) -> bool {
        self.pipelines.iter().any(|pipeline| pipeline.shader.buffers.contains(&NORM_BINDING))
    }

    /// How exactly a linear layer takes its activations.
    pub fn precision(&self) -> Precision {
        self.family.packing.precision()
    }

    /// The pipelines of its tiles, the largest first, and, where activations are rounded before, the one that does.
    pub(super) fn tiles(&self) -> (&[Pipeline], Option<&Pipeline>) {
        match (self.family.packing, &self.pipelines[..]) {
            (Packing::ByteStrips, [tiles @ .., round]) => (tiles, Some(round)),
            (_, tiles) => (tiles, None),
        }
    }

    /// Whether a linear layer rounds its activations to halves.
    pub(super) fn takes_halves(&self) -> bool {
        self.family.matrices.is_some()
    }

    /// Whether it takes one of several tiles, by size.
    pub fn has_tiles(&self) -> bool {
        self.family.packing != Packing::RowMajor && self.tiles().0.len() > 1
    }

    /// Most tokens in a tile of attention: a kernel that takes all query heads of a key head has ROWS of both together.
    pub(super) fn tile_rows(&self, heads: Heads) -> u32 {
        let rows = self.pipelines.first().and_then(|pipeline| pipeline.shader.find_constant("ROWS"));
        rows.map_or(Tile::ROWS, |rows| (rows / heads.group()).max(1))
    }

    /// Notes why this family was chosen; the first note stays.
    pub fn explain(&self, why: String) {
        self.why.get_or_init(|| why);
    }
}

/// A kernel that was chosen on a device.
pub struct KnownKernel {
    /// The family, where the caller asked for one by name.
    pub family: Option<String>,
    /// How exactly it was to take activations.
    pub precision: Precision,
    /// The kernel.
    pub kernel: Arc<GpuKernel>,
}

/// The kernels of one model, index or scorer.
#[derive(Clone, Debug, Default)]
pub struct GpuKernels(pub(super) Vec<Arc<GpuKernel>>);

impl GpuKernels {
    /// These kernels.
    pub fn new(kernels: Vec<Arc<GpuKernel>>) -> Self {
        Self(kernels)
    }

    /// The kernel for an operation, if it is among these.
    pub(in crate::backend) fn find(&self, operation: Operation) -> Option<&Arc<GpuKernel>> {
        self.0.iter().find(|kernel| kernel.does(operation))
    }

    /// [`Precision::Fast`] if any of them rounds activations.
    pub fn precision(&self) -> Precision {
        let fast = self.0.iter().any(|kernel| kernel.precision() == Precision::Fast);
        if fast { Precision::Fast } else { Precision::Exact }
    }

    /// The blocks of a row of K activations that a linear layer rounds with one scale each, and the largest code; `None` where
    /// it does not.
    pub fn rounded_blocks(&self, operation: Operation, k: u32) -> Option<(Vec<Range<usize>>, f32)> {
        let format = operation.weights()?;
        let kernel = self.find(operation)?;
        let fast = kernel.precision() == Precision::Fast && !kernel.takes_halves();
        let blocks = || byte_strips::blocks(format, k).iter().map(|b| b.start..b.start + b.count).collect();
        fast.then(|| (blocks(), byte_strips::LEVELS))
    }

    /// Whether a linear layer rounds its activations, and the weights that it widens, to halves.
    pub fn takes_halves(&self, operation: Operation) -> bool {
        self.find(operation).is_some_and(|kernel| kernel.takes_halves())
    }

    /// Most tokens in a tile of attention; those of the processor where none of these does it.
    pub fn tile_rows(&self, heads: Heads) -> u32 {
        self.find(Operation::Attention(heads)).map_or(Tile::ROWS, |kernel| kernel.tile_rows(heads))
    }

    /// How a weight of so many matrices has to lie for these kernels; row by row where none of them reads it.
    pub(super) fn packing(&self, matrices: u32, format: MatrixFormat) -> Packing {
        let operation = if matrices == 1 { Operation::Matmul(format) } else { Operation::Swiglu(format) };
        self.find(operation).map_or(Packing::RowMajor, |kernel| kernel.family.packing)
    }

    /// Names and reasons, sorted by name.
    pub fn choices(&self) -> Vec<(String, String)> {
        let mut names: Vec<_> =
            self.0.iter().map(|kernel| (kernel.name(), kernel.why.get().cloned().unwrap_or_default())).collect();
        names.sort_unstable();
        names
    }
}
