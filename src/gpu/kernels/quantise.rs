use bytemuck::{Pod, Zeroable};

use crate::gpu::Recorder;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    d: u32,
    h: u32,
    words: u32,
    form: u32,
    normalise: u32,
}

/// The form in which vectors leave the GPU. The numbers are those of `quantise.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// f32
    Float32 = 0,
    /// `round(127 tanh x)`
    Int8 = 1,
    /// +1 and -1
    Binary = 2,
    /// bits, most significant first
    Ubinary = 3,
}

impl Form {
    /// Bytes of a vector of `d` dimensions.
    pub fn row_bytes(self, d: u32) -> u32 {
        match self {
            Self::Float32 => d * 4,
            Self::Int8 | Self::Binary => d,
            Self::Ubinary => d.div_ceil(8),
        }
    }

    /// 32-bit words of a row of the kernel's result: [`Form::row_bytes`] rounded up.
    pub fn row_words(self, d: u32) -> u32 {
        self.row_bytes(d).div_ceil(4)
    }
}

impl Recorder<'_> {
    /// The means of `state` `[B, H, 2]` over `counts` `[B]` tokens, cut to `d` dimensions, normalised if asked for,
    /// in `form`: `y` is `[B, row_words]`.
    pub fn quantise(
        &mut self,
        [counts, state, y]: [&wgpu::Buffer; 3],
        texts: u32,
        [d, h]: [u32; 2],
        form: Form,
        normalise: bool,
    ) {
        let pipeline = self.kernels.quantise.clone();
        let params = Params { d, h, words: form.row_words(d), form: form as u32, normalise: u32::from(normalise) };
        self.push(&pipeline, params, &[counts, state, y], [texts, 1, 1], f64::from(texts) * f64::from(d) * 8.0);
    }
}
