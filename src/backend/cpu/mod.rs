//! The processor as an engine: vector instructions and threads, over buffers in host memory.
//!
//! Every sum has one order that depends on its own length alone, so results have the same bits in any batch and on any
//! number of threads. Operations are done when they are called.

mod attention;
mod buffer;
mod helpers;
mod linear;
mod maxsim;
mod rows;
mod simd;
mod threads;
mod vectors;

use std::sync::Arc;

use crate::backend::Precision;
use crate::backend::ops::{AdapterInfo, Limits, Operation};
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;
use crate::progress::Watch;
use helpers::Helpers;
use simd::{Codes, Int8, ROWS, Simd};
use threads::Threads;

pub(super) use buffer::CpuBuffer;
pub use helpers::{Answer, Helper, Link, refused};
pub(super) use linear::{CpuWeight, MatmulStore, Product};
pub(super) use maxsim::TokenRows;

/// The largest buffer: what a 32-bit host can address in one piece, with room for others.
const MAX_BUFFER: u64 = 1 << 30;
/// Tokens of a block: its activations stay in the caches.
const TOKEN_BLOCK: u32 = 128;

/// The processor.
pub struct Cpu {
    adapter: AdapterInfo,
    simd: Simd,
    threads: Threads,
    helpers: Helpers,
}

impl Cpu {
    /// The processor with `threads` threads; `None` for one for each core.
    pub(super) fn new(threads: Option<usize>) -> Self {
        let adapter = AdapterInfo { name: std::env::consts::ARCH.into(), backend: "cpu".into(), software: false };
        Self { adapter, simd: Simd::detect(), threads: Threads::new(threads), helpers: Helpers::default() }
    }

    /// Shared by clones of a backend. In a browser helpers belong to one thread, and nothing there has two.
    #[cfg_attr(target_arch = "wasm32", expect(clippy::arc_with_non_send_sync, reason = "natively it is both"))]
    pub(super) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// One for each kind of vector instructions, with a thread for each core.
    pub(super) fn all() -> Vec<Self> {
        Simd::all().into_iter().map(|simd| Self { simd, ..Self::new(None) }).collect()
    }

    /// One thread here, and helpers.
    pub(super) fn with_helpers(links: Vec<Box<dyn Link>>) -> Self {
        Self { helpers: Helpers::new(links), ..Self::new(Some(1)) }
    }

    /// Waits until helpers have done what they were told.
    ///
    /// # Errors
    /// [`Error::Gpu`] with what went wrong there.
    pub(super) async fn sync(&self) -> Result<()> {
        self.helpers.sync().await
    }

    /// Whether its weights serve the other, too: they lie alike, and no helper has a share of them.
    pub(super) fn serves(&self, other: &Self) -> bool {
        self.simd == other.simd && self.helpers.count() + other.helpers.count() == 0
    }

    pub(super) fn threads(&self) -> usize {
        self.threads.count() + self.helpers.count()
    }

    pub(super) fn adapter(&self) -> &AdapterInfo {
        &self.adapter
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { buffer_bytes: MAX_BUFFER, vectors: u64::from(u32::MAX), token_block: TOKEN_BLOCK }
    }

    pub(super) fn memory_for_weights(&self) -> Option<u64> {
        super::memory::for_weights(true)
    }

    /// What multiplies weights of this format with activations of 8 bits, if that is asked for and the processor can do it.
    fn int8(&self, format: MatrixFormat, precision: Precision) -> Option<Int8> {
        match (format, precision) {
            (MatrixFormat::Q8 { .. }, Precision::Fast) => Int8::of(self.simd, false),
            (MatrixFormat::Q4 { .. }, Precision::Fast) => Int8::of(self.simd, true),
            _ => None,
        }
    }

    /// `<operation>.<instructions>.<format>` for each operation, and how exactly they multiply: [`Precision::Fast`] if that
    /// is asked for and any of them can do it.
    pub(super) fn kernels(&self, operations: &[Operation], asked: Precision) -> (Vec<String>, Precision) {
        let mut precision = Precision::Exact;
        let named = operations.iter().filter(|operation| !operation.is_optional()).map(|&operation| {
            let int8 = match operation {
                Operation::Matmul(format) | Operation::Swiglu(format) => self.int8(format, asked),
                _ => None,
            };
            if int8.is_some() {
                precision = Precision::Fast;
            }
            let (name, format) = operation.name();
            let family = int8.map_or(self.simd.name(), Int8::name);
            format!("{name}.{family}{}{format}", if format.is_empty() { "" } else { "." })
        });
        (named.collect(), precision)
    }
}

/// Operations of one call.
pub struct CpuRun<'a> {
    cpu: Arc<Cpu>,
    watch: &'a dyn Watch,
    memory: RunMemory,
}

/// Memory that is kept from one operation to the next.
#[derive(Default)]
struct RunMemory {
    /// Activations in tiles, rounded.
    codes: Codes,
    /// Activations in tiles, as they are.
    tiles: Vec<[f32; ROWS]>,
    /// Products before they are put in their places.
    products: Vec<f32>,
}

impl<'a> CpuRun<'a> {
    pub(super) fn new(cpu: &Arc<Cpu>, watch: &'a dyn Watch) -> Self {
        Self { cpu: Arc::clone(cpu), watch, memory: RunMemory::default() }
    }

    /// As [`CpuRun::check_cancelled`], after messages had their chance to cancel.
    pub(super) async fn pause(&self) -> Result<()> {
        #[cfg(target_arch = "wasm32")]
        if self.watch.listens() {
            crate::backend::turn::let_messages_in().await;
        }
        self.check_cancelled()
    }

    /// # Errors
    /// [`Error::Aborted`] if the caller has cancelled.
    pub(super) fn check_cancelled(&self) -> Result<()> {
        if self.watch.cancelled() { Err(Error::Aborted) } else { Ok(()) }
    }
}
