//! The processor as an engine: plain loops that compilers vectorise, over buffers in host memory.
//!
//! Every sum has one order that depends on its own length alone, so results have the same bits in any batch. Operations
//! are done when they are called. This is the engine for machines without a GPU; it is written for clarity, and explicit
//! SIMD, packed weights and threads are to come behind the same door.

mod attention;
mod buffer;
mod dot;
mod linear;
mod rows;
mod vectors;

use crate::backend::ops::{AdapterInfo, Limits, Operation};
use crate::error::{Error, Result};
use crate::progress::Watch;

pub(super) use buffer::CpuBuffer;
pub(super) use linear::{CpuWeight, MatmulStore};

/// The largest buffer: what a 32-bit host can address in one piece, with room for others.
const MAX_BUFFER: u64 = 1 << 30;
/// Tokens of a block: its activations stay in the caches.
const TOKEN_BLOCK: u32 = 128;

/// The processor.
pub struct Cpu {
    adapter: AdapterInfo,
}

impl Default for Cpu {
    fn default() -> Self {
        Self { adapter: AdapterInfo { name: std::env::consts::ARCH.into(), backend: "cpu".into(), software: false } }
    }
}

impl Cpu {
    pub(super) fn adapter(&self) -> &AdapterInfo {
        &self.adapter
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { buffer_bytes: MAX_BUFFER, vectors: u64::from(u32::MAX), token_block: TOKEN_BLOCK }
    }

    pub(super) fn memory_for_weights(&self) -> Option<u64> {
        super::memory::for_weights(true)
    }
}

/// `<operation>.plain.<format>`.
pub(super) fn kernel_name(operation: Operation) -> String {
    let (name, format) = operation.name();
    format!("{name}.plain{}{format}", if format.is_empty() { "" } else { "." })
}

/// Operations of one call.
pub struct CpuRun<'a> {
    watch: &'a dyn Watch,
}

impl<'a> CpuRun<'a> {
    pub(super) fn new(watch: &'a dyn Watch) -> Self {
        Self { watch }
    }

    /// # Errors
    /// [`Error::Aborted`] if the caller has cancelled.
    pub(super) fn check_cancelled(&self) -> Result<()> {
        if self.watch.cancelled() { Err(Error::Aborted) } else { Ok(()) }
    }
}
