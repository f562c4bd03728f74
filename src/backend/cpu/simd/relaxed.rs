//! Products of bytes in WebAssembly. Their instructions (relaxed SIMD) are not in every engine, which would refuse a module
//! that has them: they are in a tiny module of their own (`relaxed/kernel.rs`). Its bytes are part of this one, and it is
//! started, with the memory of this one, where the engine says that it could be.
//!
//! The instructions leave to the engine what becomes of a byte whose highest bit is set. So the kernels are tried on known
//! numbers first, as in `HasUSDot` of onnxruntime's MLAS, and used only as far as they are exact.

use std::cell::OnceCell;

use js_sys::{Object, Reflect, Uint8Array, WebAssembly};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::int8::BytePanel;
use super::{CodeTile, Codes, ROWS};

static MODULE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/relaxed.wasm"));

/// Outputs of a panel: that of the exact kernels.
const WIDTH: usize = super::wasm::WIDTH;

/// A kernel of the module. All give the same sums; they differ in what they need of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backend::cpu) enum Relaxed {
    /// Codes of four bits, by sums of two products.
    Pairs,
    /// Codes of four bits, by sums of four products.
    Fours,
    /// Codes of a byte, which the engine takes for numbers without a sign.
    Bytes,
    /// Codes of a byte around zero, because the engine takes them for numbers with a sign.
    SignedBytes,
}

#[wasm_bindgen]
extern "C" {
    /// What the module exports.
    type Exports;
    /// See `relaxed/kernel.rs`.
    #[wasm_bindgen(method)]
    #[allow(clippy::too_many_arguments, reason = "numbers are all that modules can give each other")]
    fn products(
        this: &Exports,
        kind: u32,
        values: usize,
        groups: usize,
        blocks: usize,
        length: usize,
        tiles: usize,
        count: usize,
        out: usize,
    );
}

/// The module of this thread, and which of its kernels are right here: for codes of four bits, and for codes of a byte.
struct Started {
    exports: Exports,
    nibbles: Option<Relaxed>,
    bytes: Option<Relaxed>,
}

thread_local! {
    static STARTED: OnceCell<Option<Started>> = const { OnceCell::new() };
}

impl Relaxed {
    /// The kernel for codes of four bits, or of a byte, if there is one in this engine.
    pub(super) fn of(four_bits: bool) -> Option<Self> {
        STARTED.with(|started| {
            let started = started.get_or_init(Started::new).as_ref()?;
            if four_bits { started.nibbles } else { started.bytes }
        })
    }

    /// The products `[rows, WIDTH]` of all rows with a panel.
    pub(super) fn products(self, panel: &BytePanel<'_>, x: &Codes, out: &mut [f32]) {
        STARTED.with(|started| {
            if let Some(Some(started)) = started.get() {
                self.call(&started.exports, panel, x, out);
            }
        });
    }

    fn call(self, exports: &Exports, panel: &BytePanel<'_>, x: &Codes, out: &mut [f32]) {
        let place = |tile: &CodeTile| [tile.codes.as_ptr() as usize, tile.scales.as_ptr() as usize];
        let tiles: Vec<[usize; 2]> = x.tiles.iter().map(place).collect();
        let (groups, values) = (panel.groups.as_ptr() as usize, panel.values.as_ptr() as usize);
        let (blocks, length) = panel.blocks(WIDTH);
        let kind = match self {
            Self::Pairs => 0,
            Self::Fours => 1,
            Self::Bytes | Self::SignedBytes => 2,
        };
        let (tiles, out) = (tiles.as_slice(), out.as_mut_ptr() as usize);
        exports.products(kind, values, groups, blocks, length, tiles.as_ptr() as usize, tiles.len(), out);
    }
}

impl Started {
    /// Starts the module, if the engine has the instructions.
    fn new() -> Option<Self> {
        let bytes: JsValue = Uint8Array::from(MODULE).into();
        if !WebAssembly::validate(&bytes).ok()? {
            return None;
        }
        let module = WebAssembly::Module::new(&bytes).ok()?;
        let (imports, memory) = (Object::new(), Object::new());
        Reflect::set(&memory, &"memory".into(), &wasm_bindgen::memory()).ok()?;
        Reflect::set(&imports, &"env".into(), &memory).ok()?;
        let instance = WebAssembly::Instance::new(&module, &imports).ok()?;
        let exports: Exports = instance.exports().unchecked_into();
        let right = |kernel: &Relaxed| Trial::new(*kernel).is_passed(&exports);
        let bytes = [Relaxed::Bytes, Relaxed::SignedBytes].into_iter().find(right);
        // An engine that is right with bytes has one instruction for four products. Others use three, and are faster by two.
        let nibbles = if bytes.is_some() { Relaxed::Fours } else { Relaxed::Pairs };
        Some(Self { nibbles: Some(nibbles).filter(right), bytes, exports })
    }
}

/// Known numbers: two tiles, two blocks, of which the first has the largest codes there are.
struct Trial {
    kernel: Relaxed,
    values: Vec<u8>,
    groups: Vec<f32>,
    x: Codes,
}

impl Trial {
    const BLOCKS: usize = 2;
    const FOURS: usize = 11;

    fn new(kernel: Relaxed) -> Self {
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let four_bits = matches!(kernel, Relaxed::Pairs | Relaxed::Fours);
        let block = Self::FOURS * WIDTH * if four_bits { 2 } else { 4 };
        let mut values: Vec<u8> = (0..Self::BLOCKS * block).map(|_| byte()).collect();
        values[..block].fill(if kernel == Relaxed::SignedBytes { 0x80 } else { 0xff });
        let groups = (0..Self::BLOCKS * 2 * WIDTH).map(|_| f32::from(byte()) / 16.0).collect();
        let tiles = [127, -127].map(|largest: i8| {
            let fours = (0..Self::BLOCKS * Self::FOURS).map(|i| {
                let row = |_| [0; 4].map(|_: i8| if i < Self::FOURS { largest } else { (byte() as i8).max(-127) });
                [0; ROWS].map(row).map(bytemuck::must_cast)
            });
            CodeTile { codes: fours.collect(), scales: vec![[[0.5; ROWS], [0.25; ROWS]]; Self::BLOCKS] }
        });
        Self { kernel, values, groups, x: Codes { tiles: tiles.into() } }
    }

    /// Whether the module gives the bits that plain sums give.
    fn is_passed(&self, exports: &Exports) -> bool {
        let four_bits = matches!(self.kernel, Relaxed::Pairs | Relaxed::Fours);
        let panel = BytePanel { values: &self.values, four_bits, groups: &self.groups };
        let mut out = vec![f32::NAN; self.x.tiles.len() * ROWS * WIDTH];
        self.kernel.call(exports, &panel, &self.x, &mut out);
        (0..out.len()).all(|i| out[i].to_bits() == self.expected(i / WIDTH, i % WIDTH).to_bits())
    }

    fn code(&self, four: usize, lane: usize, i: usize) -> i32 {
        let half = WIDTH / 2;
        match self.kernel {
            Relaxed::Pairs | Relaxed::Fours => {
                let byte = self.values[(four * half + lane % half) * 4 + i];
                i32::from(byte >> (lane / half * 4) & 15)
            }
            Relaxed::Bytes => i32::from(self.values[(four * WIDTH + lane) * 4 + i]),
            Relaxed::SignedBytes => i32::from(self.values[(four * WIDTH + lane) * 4 + i] as i8),
        }
    }

    fn expected(&self, row: usize, lane: usize) -> f32 {
        let tile = &self.x.tiles[row / ROWS];
        let mut total = 0.0;
        for block in 0..Self::BLOCKS {
            let fours = block * Self::FOURS..(block + 1) * Self::FOURS;
            let sum: i32 = fours
                .map(|four| {
                    let x: [i8; 4] = bytemuck::must_cast(tile.codes[four][row % ROWS]);
                    (0..4).map(|i| i32::from(x[i]) * self.code(four, lane, i)).sum::<i32>()
                })
                .sum();
            let [scale, offset] = tile.scales[block].map(|rows| rows[row % ROWS]);
            let [w_scale, w_bias] = [0, WIDTH].map(|half| self.groups[block * 2 * WIDTH + half + lane]);
            total += sum as f32 * scale * w_scale;
            total += offset * w_bias;
        }
        total
    }
}
