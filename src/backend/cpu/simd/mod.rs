//! Vector instructions: one set of kernels, expanded for each kind of processor, and the choice between them.
//!
//! Kernels are safe code. What is not safe is to call one on a processor that lacks its instructions; that happens in one
//! place, [`dispatch`], with a [`Simd`] that only [`Simd::detect`] makes.

#[macro_use]
mod rounding;
#[macro_use]
mod kernels;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_int8;
mod int8;
mod portable;
#[cfg(target_arch = "wasm32")]
mod relaxed;
#[cfg(target_arch = "wasm32")]
mod wasm;

pub(super) use int8::{BytePanel, Int8, LEVELS};

/// Rows of activations that a tile has.
pub(super) const ROWS: usize = 4;
/// Terms of a sum of floats that are added up before they join the terms before, which keeps rounding small.
const BLOCK_OF_SUMS: usize = 128;

/// Bytes of a panel that are read again and again: half of a first cache.
const NEAR_BYTES: usize = 16 << 10;

/// A kind of vector instructions that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Simd {
    /// What the compiler makes of plain loops.
    Portable,
    /// x86-64 with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Detected),
    /// x86-64 with AVX-512 and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512(Detected512),
    /// WebAssembly's 128-bit instructions.
    #[cfg(target_arch = "wasm32")]
    Simd128,
}

/// Proof that the processor was asked for AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Detected(());

/// Proof that the processor was asked for AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Detected512(());

/// A panel of quantized weights.
pub(super) struct CodePanel<'a> {
    /// `[K / 2, WIDTH, 2]` codes of a byte; or, of four bits, 32 codes in 16 bytes: the low halves, then the high ones.
    pub(super) values: &'a [u8],
    pub(super) four_bits: bool,
    /// Codes of the panel.
    pub(super) codes: usize,
    /// `[blocks, 2, WIDTH]`: scales, and biases of codes around zero.
    pub(super) groups: &'a [f32],
}

/// Activations rounded to 16 or 8 bits with a scale for each row and block of K: a tile for each [`ROWS`] rows.
#[derive(Default)]
pub(super) struct Codes {
    pub(super) tiles: Vec<CodeTile>,
}

/// [`ROWS`] rows of them; those that are missing are zero.
#[derive(Default)]
pub(super) struct CodeTile {
    /// `[K / 2, ROWS]` pairs of 16-bit codes, or `[K / 4, ROWS]` fours of 8-bit ones.
    pub(super) codes: Vec<[i32; ROWS]>,
    /// `[blocks, 2, ROWS]`: scales, and the sums of the codes times their scale.
    pub(super) scales: Vec<[[f32; ROWS]; 2]>,
}

/// Calls a kernel as it was expanded for these instructions.
macro_rules! dispatch {
    ($simd:expr, $kernel:ident($($argument:expr),*)) => {
        match $simd {
            Self::Portable => portable::$kernel($($argument),*),
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code, reason = "a `Detected` exists only where the processor has the instructions")]
            // SAFETY: see the reason above; kernels have no other precondition.
            Self::Avx2(_) => unsafe { avx2::$kernel($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code, reason = "a `Detected512` exists only where the processor has the instructions")]
            // SAFETY: see the reason above; kernels have no other precondition.
            Self::Avx512(_) => unsafe { avx512::$kernel($($argument),*) },
            #[cfg(target_arch = "wasm32")]
            Self::Simd128 => wasm::$kernel($($argument),*),
        }
    };
}

impl Simd {
    /// The best that this processor has.
    pub(super) fn detect() -> Self {
        Self::all().last().copied().unwrap_or(Self::Portable)
    }

    /// All that this processor has, the best last.
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma");
            if avx2 {
                all.push(Self::Avx2(Detected(())));
            }
            if avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vnni") {
                all.push(Self::Avx512(Detected512(())));
            }
        }
        #[cfg(target_arch = "wasm32")]
        all.push(Self::Simd128);
        all
    }

    /// The name of the family of kernels.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "wasm32")]
            Self::Simd128 => "simd128",
        }
    }

    /// Outputs of a panel.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Portable => portable::WIDTH,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => avx2::WIDTH,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => avx512::WIDTH,
            #[cfg(target_arch = "wasm32")]
            Self::Simd128 => wasm::WIDTH,
        }
    }

    pub(super) fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        dispatch!(self, dot(a, b))
    }

    pub(super) fn scale_by(self, x: &[f32], scale: f32, w: &[f32], y: &mut [f32]) {
        dispatch!(self, scale_by(x, scale, w, y));
    }

    pub(super) fn norm_rope(self, head: &mut [f32], w: &[f32], turns: &[f32], eps: f32) {
        dispatch!(self, norm_rope(head, w, turns, eps));
    }

    pub(super) fn silu_times(self, gate: &mut [f32], up: &[f32]) {
        dispatch!(self, silu_times(gate, up));
    }

    pub(super) fn round_block(self, x: &[f32], row: usize, pairs: &mut [[i32; ROWS]], scales: &mut [[f32; ROWS]; 2]) {
        dispatch!(self, round_block(x, row, pairs, scales));
    }

    pub(super) fn round_block_to_bytes(
        self,
        x: &[f32],
        row: usize,
        fours: &mut [[i32; ROWS]],
        scales: &mut [[f32; ROWS]; 2],
    ) {
        dispatch!(self, round_block_to_bytes(x, row, fours, scales));
    }

    pub(super) fn products_of_codes(self, panel: &CodePanel<'_>, x: &Codes, wide: &mut [i16], out: &mut [f32]) {
        dispatch!(self, products_of_codes(panel, x, wide, out));
    }

    pub(super) fn products_of_floats(self, panel: &[f32], x: &[[f32; ROWS]], out: &mut [f32]) {
        dispatch!(self, products_of_floats(panel, x, out));
    }

    pub(super) fn score(self, panels: &[f32], x: [&[f32]; ROWS], out: &mut [f32]) {
        dispatch!(self, score(panels, x, out));
    }

    pub(super) fn mix(self, panels: &[f32], x: [&[f32]; ROWS], factors: [f32; ROWS], out: &mut [f32]) {
        dispatch!(self, mix(panels, x, factors, out));
    }

    pub(super) fn soften(self, scores: &mut [f32], seen: usize, scale: f32, state: &mut [f32; 2]) -> f32 {
        dispatch!(self, soften(scores, seen, scale, state))
    }

    pub(super) fn raise(self, panels: &[f32], tokens: [&[f32]; ROWS], factors: [f32; ROWS], best: &mut [f32]) {
        dispatch!(self, raise(panels, tokens, factors, best));
    }

    pub(super) fn dot_codes(self, query: &[i16], row: &[i8]) -> i32 {
        dispatch!(self, dot_codes(query, row))
    }

    pub(super) fn hamming(self, query: &[u32], row: &[u32]) -> u32 {
        dispatch!(self, hamming(query, row))
    }
}
