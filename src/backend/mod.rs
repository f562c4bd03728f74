//! Everything that executes: one boundary, two engines.
//!
//! `model`, `maxsim` and `index` call a [`Backend`] and never ask which engine runs. An enum rather than a trait: the set
//! is closed, the operations are about a dozen, and generics would spread up to the JavaScript bindings. Each operation
//! is one match here. `ops` has the plain data that operations take, `probe` compares every operation with
//! [`crate::reference`], `choose` picks the kernels of a device with it.

mod buffer;
mod choose;
mod cpu;
mod gpu;
mod memory;
mod ops;
pub mod probe;
mod run;

use std::str::FromStr;
use std::sync::Arc;

pub use buffer::{Buffer, Weight};
pub use cpu::Cpu;
pub use gpu::{Gpu, shaders};
pub use ops::{AdapterInfo, HeadRows, Heads, Limits, MaxSimJob, MaxSimShard, MaximaSum, Operation, Segment, Tile};
pub use run::{Kernels, Run};

use crate::error::{Error, Result};
use crate::numbers::{MatrixFormat, RowFormat, parse_name};
use crate::progress::{Progress, Watch};

/// Which engine is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The GPU that the platform prefers, or the processor where there is none.
    #[default]
    Auto,
    /// The GPU that the platform prefers.
    Gpu,
    /// The processor.
    Cpu,
}

impl Device {
    const NAMES: [(&str, Self); 4] =
        [("auto", Self::Auto), ("gpu", Self::Gpu), ("webgpu", Self::Gpu), ("cpu", Self::Cpu)];
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        parse_name("device", name, &Self::NAMES)
    }
}

/// An engine on a device. Clones share it.
#[derive(Clone)]
pub enum Backend {
    /// A GPU through wgpu.
    Gpu(Arc<Gpu>),
    /// The processor.
    Cpu(Arc<Cpu>),
}

impl Backend {
    /// The engine that is wanted. Where [`Device::Auto`] would rather have had a GPU, `watch` is told why it is the
    /// processor.
    ///
    /// # Errors
    /// As [`Backend::gpu`], but that [`Device::Auto`] does not need an adapter.
    pub async fn open(device: Device, watch: &dyn Watch) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::cpu()),
            Device::Gpu => Self::gpu().await,
            Device::Auto => match Self::gpu().await {
                Err(error @ Error::NoAdapter { .. }) => {
                    let message = format!("runs on the processor, which is slower: {error}");
                    watch.progress(Progress::Notice { message });
                    Ok(Self::cpu())
                }
                other => other,
            },
        }
    }

    /// The GPU that the platform prefers for heavy work.
    ///
    /// # Errors
    /// [`crate::Error::NoAdapter`] where there is none, [`crate::Error::AdapterTooSmall`] where it has less than WebGPU's
    /// default limits.
    pub async fn gpu() -> Result<Self> {
        Ok(Self::Gpu(Gpu::open().await?))
    }

    /// The processor.
    pub fn cpu() -> Self {
        Self::Cpu(Arc::default())
    }

    /// Whether both are the same device, so that the buffers of one serve the other.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gpu(a), Self::Gpu(b)) => Arc::ptr_eq(a, b),
            (Self::Cpu(_), Self::Cpu(_)) => true,
            (Self::Gpu(_) | Self::Cpu(_), _) => false,
        }
    }

    /// `gpu` or `cpu`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Gpu(_) => "gpu",
            Self::Cpu(_) => "cpu",
        }
    }

    /// What is known of the device.
    pub fn adapter(&self) -> &AdapterInfo {
        match self {
            Self::Gpu(gpu) => gpu.adapter(),
            Self::Cpu(cpu) => cpu.adapter(),
        }
    }

    /// The largest sizes it can work on.
    pub fn limits(&self) -> Limits {
        match self {
            Self::Gpu(gpu) => gpu.limits(),
            Self::Cpu(cpu) => cpu.limits(),
        }
    }

    /// Bytes that weights may take, as far as anything is known of that: an estimate.
    pub fn memory_for_weights(&self) -> Option<u64> {
        match self {
            Self::Gpu(gpu) => gpu.memory_for_weights(),
            Self::Cpu(cpu) => cpu.memory_for_weights(),
        }
    }

    /// A buffer of `bytes` zeros; `label` is for errors.
    ///
    /// # Errors
    /// [`crate::Error::AdapterTooSmall`] beyond [`Limits::buffer_bytes`], [`crate::Error::OutOfMemory`] if there is no
    /// room, which a browser says only to [`Backend::allocate`].
    pub fn buffer(&self, label: &str, bytes: u64) -> Result<Buffer> {
        Ok(match self {
            Self::Gpu(gpu) => Buffer::Gpu(gpu::GpuBuffer::zeros(gpu, label, bytes)?),
            Self::Cpu(_) => Buffer::Cpu(cpu::CpuBuffer::zeros(label, bytes)?),
        })
    }

    /// A buffer that holds `data`, whose size is a multiple of four bytes.
    ///
    /// # Errors
    /// As [`Backend::buffer`].
    pub fn buffer_of<T: bytemuck::NoUninit>(&self, label: &str, data: &[T]) -> Result<Buffer> {
        let buffer = self.buffer(label, size_of_val(data) as u64)?;
        buffer.write(0, data);
        Ok(buffer)
    }

    /// Queries `[Q]`, rows of `format`, in a buffer as [`Run::dense`] reads them.
    ///
    /// # Errors
    /// As [`Backend::buffer`].
    pub fn queries(&self, format: RowFormat, rows: &[u8], dim: u32) -> Result<Buffer> {
        let mut padded = Vec::new();
        format.pad_rows(rows, dim, &mut padded);
        match self {
            Self::Gpu(_) => self.buffer_of("queries", &gpu::widen_queries(format, padded)),
            Self::Cpu(_) => self.buffer_of("queries", &padded),
        }
    }

    /// Room for `matrices` (one, or a pair that is read together) weight matrices `[n, k]`, as the kernels read them.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] if rows of `k` cannot be held in this format, [`crate::Error::OutOfMemory`] if there
    /// is no room, [`crate::Error::AdapterTooSmall`] if not even one row fits a buffer.
    pub fn weight(&self, label: &str, shape: [u32; 3], format: MatrixFormat) -> Result<Weight> {
        self.weight_in_parts(label, shape, format, self.limits().buffer_bytes)
    }

    /// The same with buffers of at most `max_bytes`, for tests of the seams.
    ///
    /// # Errors
    /// As [`Backend::weight`].
    pub fn weight_in_parts(
        &self,
        label: &str,
        shape: [u32; 3],
        format: MatrixFormat,
        max_bytes: u64,
    ) -> Result<Weight> {
        Ok(match self {
            Self::Gpu(gpu) => Weight::Gpu(gpu::GpuWeight::zeros(gpu, label, shape, format, max_bytes)?),
            Self::Cpu(_) => Weight::Cpu(cpu::CpuWeight::zeros(label, shape, format)?),
        })
    }

    /// What `make` makes of buffers, once the device has said that there was room for all of them. If there was not,
    /// they are dropped.
    ///
    /// # Errors
    /// What `make` returns, [`crate::Error::OutOfMemory`], or a fault of the device.
    pub async fn allocate<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        match self {
            Self::Gpu(gpu) => gpu.allocate(make).await,
            Self::Cpu(_) => make(),
        }
    }

    /// Waits until everything written is on the device, so that staging memory is given back.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn flush_writes(&self) -> Result<()> {
        match self {
            Self::Gpu(gpu) => gpu.flush_writes().await,
            Self::Cpu(_) => Ok(()),
        }
    }

    /// An empty run of these kernels, which have to be this backend's. `watch` is asked whether to stop.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] for kernels of another engine.
    pub fn run<'a>(&self, kernels: &Kernels, watch: &'a dyn Watch) -> Result<Run<'a>> {
        Ok(match self {
            Self::Gpu(gpu) => Run::Gpu(Box::new(gpu::Recorder::new(gpu, kernels.gpu()?, watch))),
            Self::Cpu(_) => Run::Cpu(cpu::CpuRun::new(watch)),
        })
    }
}
