//! Kernels of 8-bit activations, for [`crate::backend::Precision::Fast`]. Only some processors have them.

#[cfg(target_arch = "wasm32")]
use super::relaxed::Relaxed;
use super::{Codes, Simd};
#[cfg(target_arch = "x86_64")]
use super::{Detected512, avx512_int8};

/// The largest code of an activation of 8 bits.
pub(in crate::backend::cpu) const LEVELS: f32 = 127.0;

/// Instructions that multiply bytes and add up four products at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) enum Int8 {
    /// x86-64 with AVX-512 and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Detected512),
    /// WebAssembly with relaxed SIMD, in a module of its own.
    #[cfg(target_arch = "wasm32")]
    Relaxed(Relaxed),
}

/// A panel of quantized weights, four inputs of an output side by side.
pub(in crate::backend::cpu) struct BytePanel<'a> {
    /// `[K / 4, WIDTH, 4]` codes of a byte, around zero if [`Int8::around_zero`] says so; of four bits, the second half of
    /// the outputs in the high halves of the bytes of the first.
    pub(in crate::backend::cpu) values: &'a [u8],
    pub(in crate::backend::cpu) four_bits: bool,
    /// `[blocks, 2, WIDTH]`: scales and biases.
    pub(in crate::backend::cpu) groups: &'a [f32],
}

impl BytePanel<'_> {
    /// How many blocks of K there are, and how many fours of inputs each has room for.
    pub(super) fn blocks(&self, width: usize) -> (usize, usize) {
        let (blocks, four) = (self.groups.len() / (2 * width), if self.four_bits { 2 * width } else { 4 * width });
        (blocks, self.values.len() / (four * blocks.max(1)))
    }
}

impl Int8 {
    /// Those for codes of four bits, or of a byte, that go with these vector instructions. Without VNNI there are none on
    /// x86-64: `pmaddubsw`, which AVX2 has, saturates.
    #[cfg_attr(not(target_arch = "wasm32"), expect(unused_variables, reason = "one instruction is for both"))]
    pub(in crate::backend::cpu) fn of(simd: Simd, four_bits: bool) -> Option<Self> {
        match simd {
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512(detected) => Some(Self::Avx512(detected)),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2(_) => None,
            #[cfg(target_arch = "wasm32")]
            Simd::Simd128 => Relaxed::of(four_bits).map(Self::Relaxed),
            Simd::Portable => None,
        }
    }

    /// The name of the family of kernels.
    pub(in crate::backend::cpu) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512_int8",
            #[cfg(target_arch = "wasm32")]
            Self::Relaxed(_) => "relaxed_int8",
        }
    }

    /// Whether codes of a byte are 128 below those of the weight, because the instruction takes them for numbers with a sign.
    pub(in crate::backend::cpu) fn around_zero(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => false,
            #[cfg(target_arch = "wasm32")]
            Self::Relaxed(kernel) => kernel == Relaxed::SignedBytes,
        }
    }

    /// The products `[rows, WIDTH]` of all rows with a panel.
    pub(in crate::backend::cpu) fn products(self, panel: &BytePanel<'_>, x: &Codes, out: &mut [f32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code, reason = "a `Detected512` exists only where the processor has the instructions")]
            // SAFETY: see the reason above; kernels have no other precondition.
            Self::Avx512(_) => unsafe { avx512_int8::products(panel, x, out) },
            #[cfg(target_arch = "wasm32")]
            Self::Relaxed(kernel) => kernel.products(panel, x, out),
        }
    }
}
