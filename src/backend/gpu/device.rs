//! The adapter and device, their faults, and moving bytes to and fro.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::bindings::Bindings;
use super::buffer::OwnedBuffer;
use super::kernel::KnownKernel;
use super::matrices;
use crate::backend::ops::{AdapterInfo, Limits};
use crate::error::{Error, Result};

/// Tokens of a block: with them no buffer of a 4B model at 32,768 tokens outgrows WebGPU's 128 MiB binding.
const TOKEN_BLOCK: u32 = 512;
/// The same on an adapter with memory of its own, which needs more work at a time to be busy: the gated MLP of a 4B model, the
/// largest buffer that is as long as a block, then has 80 MB.
const TOKEN_BLOCK_DISCRETE: u32 = 2048;
/// The same on a software adapter, where a smaller working set stays in the caches.
const TOKEN_BLOCK_SOFTWARE: u32 = 128;
/// Workgroups of a dispatch in one direction, as WebGPU guarantees.
const MAX_WORKGROUPS: u64 = 65_535;

/// A device with WebGPU's default limits and no optional feature.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    adapter: AdapterInfo,
    /// Families that are taken for whatever they do, whatever the adapter: none, but in tests and measurements.
    pub(super) preferred: Vec<String>,
    /// Rows and columns of the cooperative matrices of halves that it multiplies with sums in f32, where it does: natively.
    pub(super) matrices: Vec<u32>,
    /// Lanes of its largest subgroups.
    pub(super) subgroup: u32,
    /// The adapter has memory of its own; browsers do not say.
    discrete: bool,
    /// The adapter has no memory of its own, but the machine's.
    shares_memory: bool,
    fault: Arc<Mutex<Option<Error>>>,
    /// Why the device is gone, once it is: nothing brings it back.
    lost: Arc<OnceLock<String>>,
    /// Multiply-adds a second, as measured so far; sets the size of a submission.
    pub(super) pace: Mutex<f64>,
    /// Uniform buffers that no recorder holds at the moment.
    pub(super) parameters: Mutex<Vec<Arc<OwnedBuffer>>>,
    /// Scratch buffers that no recorder holds at the moment, by name: to make them anew takes time, and so does binding them.
    pub(super) scratch: Mutex<Vec<(&'static str, Arc<OwnedBuffer>)>>,
    /// What dispatches bound lately, to bind it again.
    pub(super) bindings: Mutex<Bindings>,
    /// Dispatches recorded so far, and bytes read back.
    pub(super) dispatches: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    /// Kernels that were compiled and checked on this device, each for one operation.
    kernels: async_lock::Mutex<Vec<KnownKernel>>,
}

/// A submission that may still be running.
pub(in crate::backend) struct Submitted {
    #[cfg(not(target_arch = "wasm32"))]
    index: wgpu::SubmissionIndex,
    #[cfg(target_arch = "wasm32")]
    done: futures_channel::oneshot::Receiver<()>,
}

impl Gpu {
    /// Opens the adapter that the platform prefers for heavy work. The families `preferred` are taken for whatever they do,
    /// whatever the adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none, [`Error::AdapterTooSmall`] where it has less than WebGPU's
    /// default limits.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(
            clippy::arc_with_non_send_sync,
            reason = "in a browser a device stays on its thread; natively it need not"
        )
    )]
    pub async fn open(preferred: &[&str]) -> Result<Arc<Self>> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.map_err(|e| Error::NoAdapter {
            message: format!("{e}; needs WebGPU in a browser, or Vulkan, Metal or DX12 natively"),
        })?;
        let info = adapter.get_info();
        let summary = AdapterInfo {
            name: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase().replace("browserwebgpu", "webgpu"),
            software: info.device_type == wgpu::DeviceType::Cpu,
        };
        let discrete = info.device_type == wgpu::DeviceType::DiscreteGpu;
        let shares_memory = matches!(info.device_type, wgpu::DeviceType::Cpu | wgpu::DeviceType::IntegratedGpu);
        Self::check_limits(&summary.name, &adapter.limits())?;

        // The device may be asked for cooperative matrices, which it can do without.
        let (mut matrices, descriptor) = matrices::with_matrices(&adapter);
        let mut opened = adapter.request_device(&descriptor).await;
        if opened.is_err() && !matrices.is_empty() {
            matrices.clear();
            opened = adapter.request_device(&wgpu::DeviceDescriptor::default()).await;
        }
        let (device, queue) = opened.map_err(|e| Error::NoAdapter {
            message: format!("{} refused a device with default limits: {e}", summary.name),
        })?;
        let fault = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| record(&slot, error.into())));
        let lost = Arc::new(OnceLock::new());
        let slot = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            // Whoever destroys it, in a page for example, may say nothing more.
            let said = if message.is_empty() { format!("{reason:?}").to_lowercase() } else { message };
            drop(slot.set(said));
        });
        let (parameters, scratch, bindings) = (Mutex::default(), Mutex::default(), Mutex::default());
        let kernels = async_lock::Mutex::default();
        let pace = Mutex::new(2e9);
        let preferred = preferred.iter().map(|&name| name.to_owned()).collect();
        Ok(Arc::new(Self {
            device,
            queue,
            adapter: summary,
            preferred,
            matrices,
            subgroup: matrices::largest_subgroup(&info),
            discrete,
            shares_memory,
            fault,
            lost,
            pace,
            parameters,
            scratch,
            bindings,
            dispatches: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            kernels,
        }))
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
    pub fn adapter(&self) -> &AdapterInfo {
        &self.adapter
    }

    /// Rows and columns of the cooperative matrices that kernels may use here; none in browsers.
    #[doc(hidden)]
    pub fn matrices(&self) -> &[u32] {
        &self.matrices
    }

    /// Bytes that weights may take, as far as anything is known of that: an estimate.
    pub fn memory_for_weights(&self) -> Option<u64> {
        crate::backend::memory::for_weights(self.shares_memory)
    }

    /// The largest sizes the kernels take on this device.
    pub fn limits(&self) -> Limits {
        let token_block = match self.adapter.software {
            true => TOKEN_BLOCK_SOFTWARE,
            false if self.discrete => TOKEN_BLOCK_DISCRETE,
            false => TOKEN_BLOCK,
        };
        Limits { buffer_bytes: self.max_binding(), vectors: MAX_WORKGROUPS, token_block }
    }

    /// The kernels that were chosen on this device so far; locked while more are being chosen.
    pub async fn known_kernels(&self) -> async_lock::MutexGuard<'_, Vec<KnownKernel>> {
        self.kernels.lock().await
    }

    /// The largest storage binding, in bytes: no buffer here is larger.
    pub fn max_binding(&self) -> u64 {
        let limits = self.device.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
    }

    /// Whether the device is gone, and otherwise the first fault that it reported since this was last asked.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`] or [`Error::Gpu`].
    pub(super) fn check(&self) -> Result<()> {
        self.check_there()?;
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn check_there(&self) -> Result<()> {
        self.lost.get().map_or(Ok(()), |message| Err(Error::DeviceLost { message: message.clone() }))
    }

    /// What is to be said of a call that failed with `error`, once the device has said all there is to say of it: that it is
    /// gone, if that is why. Later faults of the same call are forgotten, so that the next one starts afresh.
    pub(in crate::backend) async fn settle(&self, error: Error) -> Error {
        if !matches!(error, Error::Gpu { .. } | Error::OutOfMemory { .. } | Error::DeviceLost { .. }) {
            return error;
        }
        // Answered after everything that was reported before.
        drop(self.device.push_error_scope(wgpu::ErrorFilter::Validation).pop().await);
        #[cfg(target_arch = "wasm32")]
        crate::backend::turn::next().await;
        #[cfg(not(target_arch = "wasm32"))]
        drop(self.device.poll(wgpu::PollType::Poll));
        let first = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A buffer that could not be made is an error in all that uses it.
        match (self.check_there(), error, first) {
            (Err(lost), ..) => lost,
            (Ok(()), Error::Gpu { .. }, Some(first @ Error::OutOfMemory { .. })) => first,
            (Ok(()), error, _) => error,
        }
    }

    /// Dispatches recorded so far, for tests and measurements.
    #[doc(hidden)]
    pub fn dispatches(&self) -> u64 {
        self.dispatches.load(Ordering::Relaxed)
    }

    /// Bytes read back so far, for tests and measurements.
    #[doc(hidden)]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Takes the device away, as a driver or a browser may, for tests.
    #[doc(hidden)]
    pub fn lose(&self) {
        drop(self.lost.set("taken away by a test".into()));
        self.device.destroy();
    }

    /// What `make` makes of buffers, once the platform has said that there was room for all of them, which a browser
    /// does only after they were made. If there was not, they are dropped.
    ///
    /// # Errors
    /// What `make` returns, [`Error::OutOfMemory`], or a fault of the device.
    pub async fn allocate<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check_there()?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let made = make();
        let refused = scope.pop().await.map(Error::from);
        let made = made?;
        refused.map_or_else(|| self.check(), Err).map(|()| made)
    }

    /// Hands what was written so far to the device and waits, so that staging memory is given back.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn flush_writes(&self) -> Result<()> {
        let submitted = self.submit(None);
        self.finished(submitted).await
    }

    pub(in crate::backend) fn submit(&self, commands: Option<wgpu::CommandBuffer>) -> Submitted {
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
    pub(in crate::backend) async fn finished(&self, submitted: Submitted) -> Result<()> {
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
        self.check_there()?;
        self.device.poll(poll).map(drop).map_err(|e| Error::DeviceLost { message: e.to_string() })
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
