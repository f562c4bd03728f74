//! Memory of the processor.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::{Error, Result};

/// Words of host memory. Operations read and write them through a lock, because buffers are shared.
pub struct CpuBuffer(RwLock<Vec<u32>>);

impl CpuBuffer {
    /// `bytes` of zeros; `label` is for errors.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if there is no room.
    pub fn zeros(label: &str, bytes: u64) -> Result<Self> {
        let mut words = Vec::new();
        let count = usize::try_from(bytes.div_ceil(16) * 4).unwrap_or(usize::MAX).max(4);
        let room = words.try_reserve_exact(count);
        room.map_err(|e| Error::OutOfMemory { message: format!("{bytes} bytes for {label}: {e}") })?;
        words.resize(count, 0);
        Ok(Self(RwLock::new(words)))
    }

    /// Bytes there is room for.
    pub fn size(&self) -> u64 {
        self.words().len() as u64 * 4
    }

    pub(super) fn words(&self) -> RwLockReadGuard<'_, Vec<u32>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn words_mut(&self) -> RwLockWriteGuard<'_, Vec<u32>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `bytes` at byte `at`; what lies beyond the end is ignored.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        let mut words = self.words_mut();
        let all: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        let from = (at as usize).min(all.len());
        let to = (from + bytes.len()).min(all.len());
        all[from..to].copy_from_slice(&bytes[..to - from]);
    }

    /// `bytes` bytes from byte `at` on.
    pub fn read(&self, at: u64, bytes: u64) -> Vec<u8> {
        let words = self.words();
        let all: &[u8] = bytemuck::cast_slice(&words);
        all.get(at as usize..(at + bytes) as usize).map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Copies each `(from, to, bytes)` from another buffer.
    pub fn copy_from(&self, source: &Self, runs: impl Iterator<Item = (u64, u64, u64)>) {
        for (from, to, bytes) in runs {
            self.write(to, &source.read(from, bytes));
        }
    }
}

/// Changes the length; what is new is zero.
///
/// # Errors
/// [`Error::OutOfMemory`] if there is no room.
pub(super) fn resize(floats: &mut Vec<f32>, length: usize) -> Result<()> {
    let room = floats.try_reserve(length.saturating_sub(floats.len()));
    room.map_err(|e| Error::OutOfMemory { message: format!("{length} floats for products: {e}") })?;
    floats.resize(length, 0.0);
    Ok(())
}

/// The words of a buffer as floats.
pub(super) fn floats(words: &[u32]) -> &[f32] {
    bytemuck::cast_slice(words)
}

/// The words of a buffer as floats, to be written.
pub(super) fn floats_mut(words: &mut [u32]) -> &mut [f32] {
    bytemuck::cast_slice_mut(words)
}
