//! The adapter and device, their faults, and moving bytes to and fro.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// What is known of the adapter that runs the model.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AdapterSummary {
    /// The driver's name for the adapter; browsers may keep it to themselves.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// A software adapter: right, but slow.
    pub software: bool,
}

/// A device with WebGPU's default limits and no optional feature.
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    adapter: AdapterSummary,
    /// The adapter has no memory of its own, but the machine's.
    shares_memory: bool,
    fault: Arc<Mutex<Option<Error>>>,
    /// Multiply-adds a second, as measured so far; sets the size of a submission.
    pub(crate) pace: Mutex<f64>,
}

/// A submission that may still be running.
pub(crate) struct Submitted {
    #[cfg(not(target_arch = "wasm32"))]
    index: wgpu::SubmissionIndex,
    #[cfg(target_arch = "wasm32")]
    done: futures_channel::oneshot::Receiver<()>,
}

impl Gpu {
    /// Opens the adapter that the platform prefers for heavy work.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none, [`Error::AdapterTooSmall`] where it has less than WebGPU's
    /// default limits.
    pub async fn open() -> Result<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.map_err(|e| Error::NoAdapter {
            message: format!("{e}; needs WebGPU in a browser, or Vulkan, Metal or DX12 natively"),
        })?;
        let info = adapter.get_info();
        let summary = AdapterSummary {
            name: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase().replace("browserwebgpu", "webgpu"),
            software: info.device_type == wgpu::DeviceType::Cpu,
        };
        let shares_memory = matches!(info.device_type, wgpu::DeviceType::Cpu | wgpu::DeviceType::IntegratedGpu);
        Self::check_limits(&summary.name, &adapter.limits())?;

        let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await.map_err(|e| {
            Error::NoAdapter { message: format!("{} refused a device with default limits: {e}", summary.name) }
        })?;
        let fault = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| record(&slot, error.into())));
        let slot = Arc::clone(&fault);
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                record(&slot, Error::DeviceLost { message });
            }
        });
        Ok(Self { device, queue, adapter: summary, shares_memory, fault, pace: Mutex::new(2e9) })
    }

    /// [`Gpu::open`], for several owners.
    ///
    /// # Errors
    /// As there.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(
            clippy::arc_with_non_send_sync,
            reason = "in a browser a device stays on its thread; natively it need not"
        )
    )]
    pub async fn open_shared() -> Result<Arc<Self>> {
        Ok(Arc::new(Self::open().await?))
    }

    fn check_limits(adapter: &str, has: &wgpu::Limits) -> Result<()> {
        let mut missing = None;
        wgpu::Limits::default().check_limits_with_fail_fn(has, false, |name, need, has| {
            missing.get_or_insert((name, need, has));
        });
        match missing {
            None => Ok(()),
            Some((name, need, has)) => Err(Error::AdapterTooSmall {
                adapter: adapter.into(),
                message: format!("{name} is {has}, WebGPU's default is {need}"),
            }),
        }
    }

    /// What is known of the adapter.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.adapter
    }

    /// Bytes that weights may take, as far as anything is known of that: an estimate.
    pub fn memory_for_weights(&self) -> Option<u64> {
        super::memory::for_weights(self.shares_memory)
    }

    /// The largest storage binding, in bytes: no buffer here is larger.
    pub fn max_binding(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// The first fault the device reported, which ends all work on it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`] or [`Error::Gpu`].
    pub(crate) fn check(&self) -> Result<()> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// A storage buffer of `bytes`, zeroed.
    ///
    /// # Errors
    /// [`Error::AdapterTooSmall`] if a binding cannot be that large, [`Error::OutOfMemory`] if there is no room.
    pub fn storage(&self, label: &str, bytes: u64) -> Result<wgpu::Buffer> {
        if bytes > self.max_binding() {
            return Err(Error::AdapterTooSmall {
                adapter: self.adapter.name.clone(),
                message: format!("{label} needs {bytes} bytes in one binding, {} are allowed", self.max_binding()),
            });
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.next_multiple_of(16).max(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        self.check()?;
        Ok(buffer)
    }

    /// A storage buffer that holds `data`.
    ///
    /// # Errors
    /// As [`Gpu::storage`].
    pub fn storage_of<T: bytemuck::NoUninit>(&self, label: &str, data: &[T]) -> Result<wgpu::Buffer> {
        let bytes: &[u8] = bytemuck::cast_slice(data);
        let buffer = self.storage(label, bytes.len() as u64)?;
        self.queue.write_buffer(&buffer, 0, bytes);
        Ok(buffer)
    }

    /// What `make` makes of buffers, once the platform has said that there was room for all of them, which a browser
    /// does only after they were made. If there was not, `free` is to destroy them.
    ///
    /// # Errors
    /// What `make` returns, [`Error::OutOfMemory`], or a fault of the device.
    pub async fn allocate<T>(&self, make: impl FnOnce() -> Result<T>, free: impl FnOnce(T)) -> Result<T> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make();
        let refused = scope.pop().await.map(Error::from);
        let made = made?;
        match refused.map_or_else(|| self.check(), Err) {
            Ok(()) => Ok(made),
            Err(error) => {
                free(made);
                Err(error)
            }
        }
    }

    /// Hands what was written so far to the device and waits, so that staging memory is given back.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn flush_writes(&self) -> Result<()> {
        let submitted = self.submit(None);
        self.finished(submitted).await
    }

    pub(crate) fn submit(&self, commands: Option<wgpu::CommandBuffer>) -> Submitted {
        let index = self.queue.submit(commands);
        #[cfg(not(target_arch = "wasm32"))]
        return Submitted { index };
        #[cfg(target_arch = "wasm32")]
        {
            let _ = index;
            let (sender, done) = futures_channel::oneshot::channel();
            self.queue.on_submitted_work_done(move || _ = sender.send(()));
            Submitted { done }
        }
    }

    /// Waits for a submission.
    pub(crate) async fn finished(&self, submitted: Submitted) -> Result<()> {
        #[cfg(not(target_arch = "wasm32"))]
        self.wait(Some(submitted.index))?;
        // A device that is lost drops the sender; `check` then says so.
        #[cfg(target_arch = "wasm32")]
        let _ = submitted.done.await;
        self.check()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn wait(&self, index: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let poll = wgpu::PollType::Wait { submission_index: index, timeout: None };
        self.device.poll(poll).map(drop).map_err(|e| Error::DeviceLost { message: e.to_string() })
    }

    /// The first `bytes` bytes of `buffer`, once all work submitted so far is done.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn read(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>> {
        self.read_at(buffer, 0, bytes).await
    }

    /// As [`Gpu::read`], from byte `at` on, a multiple of four.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_at(&self, buffer: &wgpu::Buffer, at: u64, bytes: u64) -> Result<Vec<u8>> {
        let size = bytes.next_multiple_of(4).max(4);
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, at, &staging, 0, size);
        let submitted = self.submit(Some(encoder.finish()));
        let (sender, mapped) = futures_channel::oneshot::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
        self.finished(submitted).await?;
        let gpu = |e: &dyn std::fmt::Display| Error::Gpu { message: format!("reading back: {e}") };
        mapped.await.map_err(|e| gpu(&e))?.map_err(|e| gpu(&e))?;
        let read = staging.get_mapped_range(..).map(|view| view[..bytes as usize].to_vec()).map_err(|e| gpu(&e));
        staging.destroy();
        read
    }
}

/// In a browser, dropping handles frees nothing until the garbage collector runs, which knows nothing of the device's
/// memory. Natively it only hurries what is about to happen.
impl Drop for Gpu {
    fn drop(&mut self) {
        self.device.destroy();
    }
}

fn record(slot: &Mutex<Option<Error>>, error: Error) {
    slot.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

impl From<wgpu::Error> for Error {
    fn from(error: wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { source } => Self::OutOfMemory { message: source.to_string() },
            wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
                Self::Gpu { message: description }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Gpu;

    #[test]
    fn an_adapter_below_webgpus_defaults_is_refused_by_the_name_of_the_limit() {
        assert!(Gpu::check_limits("a", &wgpu::Limits::default()).is_ok());
        let small = wgpu::Limits { max_storage_buffer_binding_size: 64 << 20, ..Default::default() };
        let error = Gpu::check_limits("Tiny", &small).err().unwrap();
        assert_eq!(error.code(), "adapter-too-small");
        let message = error.to_string();
        for word in ["Tiny", "max_storage_buffer_binding_size", "67108864", "134217728"] {
            assert!(message.contains(word), "{message}");
        }
    }
}
