//! Memory on the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Gpu;
use crate::error::{Error, Result};

/// Stretches begin at multiples of it: WebGPU's `minStorageBufferOffsetAlignment`.
const STRETCH: u64 = 256;

/// A storage buffer, or a stretch of one that it shares with others.
pub struct GpuBuffer {
    gpu: Arc<Gpu>,
    /// Shared with dispatches that are recorded and not yet submitted.
    pub(super) raw: Arc<OwnedBuffer>,
    /// Where it begins in `raw`, and its bytes.
    at: u64,
    size: u64,
}

/// A buffer whose memory is given back when it is dropped: a browser would otherwise wait for the garbage collector,
/// which does not know how large it is.
pub(super) struct OwnedBuffer {
    raw: wgpu::Buffer,
    /// No other buffer has it.
    pub(super) id: u64,
}

impl Drop for OwnedBuffer {
    fn drop(&mut self) {
        self.raw.destroy();
    }
}

impl std::ops::Deref for OwnedBuffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.raw
    }
}

impl GpuBuffer {
    /// `bytes` of zeros; `label` is for errors.
    ///
    /// # Errors
    /// [`Error::AdapterTooSmall`] if a binding cannot be that large, [`Error::OutOfMemory`] if there is no room.
    pub fn zeros(gpu: &Arc<Gpu>, label: &str, bytes: u64) -> Result<Self> {
        let allowed = gpu.max_binding();
        if bytes > allowed {
            return Err(Error::AdapterTooSmall {
                adapter: gpu.adapter().name.clone(),
                message: format!("{label} needs {bytes} bytes in one binding, {allowed} are allowed"),
            });
        }
        let size = bytes.next_multiple_of(16).max(16);
        let raw = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let buffer = Self { gpu: Arc::clone(gpu), raw: shared(raw), at: 0, size };
        gpu.check()?;
        Ok(buffer)
    }

    /// Buffers of these sizes that lie one after another in one, so that a kernel can bind them together.
    ///
    /// # Errors
    /// As [`GpuBuffer::zeros`].
    pub fn in_one(gpu: &Arc<Gpu>, label: &str, sizes: &[u64]) -> Result<Vec<Self>> {
        let room = |bytes: u64| bytes.max(1).next_multiple_of(STRETCH);
        let whole = Self::zeros(gpu, label, sizes.iter().map(|&bytes| room(bytes)).sum())?;
        let mut at = 0;
        let stretch = |&bytes: &u64| {
            let from = at;
            at += room(bytes);
            Self { at: from, size: bytes.next_multiple_of(16).max(16), ..whole.all() }
        };
        Ok(sizes.iter().map(stretch).collect())
    }

    /// The whole of a buffer that no other has.
    pub(super) fn whole(gpu: &Arc<Gpu>, raw: Arc<OwnedBuffer>) -> Self {
        let size = raw.size();
        Self { gpu: Arc::clone(gpu), raw, at: 0, size }
    }

    /// All of the buffer that this is a stretch of.
    pub(super) fn all(&self) -> Self {
        Self { gpu: Arc::clone(&self.gpu), raw: Arc::clone(&self.raw), at: 0, size: self.raw.size() }
    }

    /// Where `other` begins in what both are stretches of.
    pub(super) fn place_of(&self, other: &Self) -> Option<u64> {
        (self.raw.id == other.raw.id).then_some(other.at)
    }

    /// What a bind group has of it.
    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        let size = std::num::NonZeroU64::new(self.size);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &self.raw, offset: self.at, size })
    }

    /// What no other binding has.
    pub(super) fn key(&self) -> [u64; 3] {
        [self.raw.id, self.at, self.size]
    }

    /// Bytes there is room for.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes `bytes` at byte `at`; both are multiples of four. Work recorded later reads them.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.gpu.queue.write_buffer(&self.raw, self.at + at, bytes);
    }

    /// `bytes` bytes from byte `at` on, a multiple of four, once all work submitted so far is done.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn read(&self, at: u64, bytes: u64) -> Result<Vec<u8>> {
        match self.read_back(at, bytes).await {
            // A device that is gone says so a moment after its buffers cannot be read.
            Err(error) => Err(self.gpu.settle(error).await),
            read => read,
        }
    }

    async fn read_back(&self, at: u64, bytes: u64) -> Result<Vec<u8>> {
        let gpu = &self.gpu;
        gpu.check()?;
        let size = bytes.next_multiple_of(4).max(4);
        gpu.bytes_read.fetch_add(size, Ordering::Relaxed);
        let staging = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.raw, self.at + at, &staging, 0, size);
        let submitted = gpu.submit(Some(encoder.finish()));
        let (sender, mapped) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        gpu.finished(submitted).await?;
        let fault = |e: &dyn std::fmt::Display| Error::Gpu { message: format!("reading back: {e}") };
        mapped.await.map_err(|e| fault(&e))?.map_err(|e| fault(&e))?;
        let read = staging.get_mapped_range(..).map(|view| view[..bytes as usize].to_vec()).map_err(|e| fault(&e));
        staging.destroy();
        read
    }

    /// Copies each `(from, to, bytes)` from another buffer of the same device: byte offsets and sizes, multiples of
    /// four.
    pub fn copy_from(&self, source: &Self, runs: impl Iterator<Item = (u64, u64, u64)>) {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (from, to, bytes) in runs {
            encoder.copy_buffer_to_buffer(&source.raw, source.at + from, &self.raw, self.at + to, bytes);
        }
        self.gpu.submit(Some(encoder.finish()));
    }
}

#[cfg_attr(
    target_arch = "wasm32",
    expect(clippy::arc_with_non_send_sync, reason = "in a browser a device stays on its thread; natively it need not")
)]
pub(super) fn shared(raw: wgpu::Buffer) -> Arc<OwnedBuffer> {
    static IDS: AtomicU64 = AtomicU64::new(0);
    Arc::new(OwnedBuffer { raw, id: IDS.fetch_add(1, Ordering::Relaxed) })
}
