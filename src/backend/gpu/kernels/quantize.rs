use bytemuck::{Pod, Zeroable};

use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::Operation;
use crate::error::Result;
use crate::numbers::Dtype;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    d: u32,
    h: u32,
    words: u32,
    form: u32,
    normalize: u32,
    vectors: u32,
}

/// The numbers that `quantize.wgsl` gives the forms.
fn form(dtype: Dtype) -> u32 {
    match dtype {
        Dtype::Float32 => 0,
        Dtype::Int8 => 1,
        Dtype::Binary => 2,
        Dtype::Ubinary => 3,
    }
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::quantize`].
    pub fn quantize(
        &mut self,
        [counts, sums, y]: [&GpuBuffer; 3],
        vectors: u32,
        [d, h]: [u32; 2],
        dtype: Dtype,
        normalize: bool,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::Quantize)?;
        let (words, normalize) = (dtype.row_words(d), u32::from(normalize));
        let params = Params { d, h, words, form: form(dtype), normalize, vectors };
        let work = f64::from(vectors) * f64::from(d) * 8.0;
        self.push(&kernel.pipelines[0], params, &[counts, sums, y], [vectors, 1, 1], work)
    }
}
