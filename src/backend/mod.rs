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
mod kernels;
mod memory;
mod ops;
mod precision;
pub mod probe;
mod run;
#[cfg(target_arch = "wasm32")]
mod turn;

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

pub use buffer::{Buffer, Weight};
pub use cpu::{Answer, Cpu, Helper, Link, refused};
pub use gpu::{Gpu, shaders};
pub use kernels::Kernels;
pub use ops::{
    Activation, AdapterInfo, BOUND_ROWS, HeadProducts, HeadRows, Heads, Limits, MaxSimJob, MaxSimRows, MaxSimShard,
    MaximaSum, Operation, Segment, Tile,
};
pub use precision::Precision;
pub use run::Run;
#[cfg(target_arch = "wasm32")]
pub(crate) use turn::{next as turn, pause};

use crate::error::{Error, Result};
use crate::numbers::{MatrixFormat, RowFormat, parse_name};
use crate::progress::{Progress, Watch};

/// Most threads that may be asked for.
pub const MAX_THREADS: u32 = 256;

/// Which engine is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The GPU that the platform prefers, or the processor where there is none, or only one in software.
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
    /// The engine that is wanted, and why it is this one. [`Device::Auto`] takes a GPU, unless there is none, or only one that
    /// is emulated in software, which is slower than the processor itself. `threads` is how many the processor uses, by
    /// default one for each core. Where there is no adapter at all, `watch` hears why.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for `threads` beyond [`MAX_THREADS`]; as [`Backend::gpu`], but that [`Device::Auto`] does not
    /// need an adapter.
    pub async fn open(device: Device, threads: Option<u32>, watch: &dyn Watch) -> Result<(Self, String)> {
        if let Some(threads) = threads.filter(|n| !(1..=MAX_THREADS).contains(n)) {
            return Err(Error::argument("threads", format!("is {threads}, allowed are 1 to {MAX_THREADS}")));
        }
        let cpu = || threads.map_or_else(Self::cpu, Self::cpu_with_threads);
        match device {
            Device::Cpu => Ok((cpu(), "asked for".into())),
            Device::Gpu => Ok((Self::gpu().await?, "asked for".into())),
            Device::Auto => match Self::gpu().await {
                Ok(gpu) if gpu.adapter().software => {
                    // A browser does not say its name to this module.
                    let name = Some(&gpu.adapter().name).filter(|name| !name.is_empty());
                    let name = name.map_or(String::new(), |name| format!(", {name}"));
                    Ok((cpu(), format!("the only GPU is software{name}")))
                }
                Ok(gpu) => Ok((gpu, "there is a GPU".into())),
                Err(error @ Error::NoAdapter { .. }) => {
                    watch.progress(Progress::Notice { message: format!("runs on the processor: {error}") });
                    Ok((cpu(), error.to_string()))
                }
                Err(error) => Err(error),
            },
        }
    }

    /// The GPU that the platform prefers for heavy work.
    ///
    /// # Errors
    /// [`crate::Error::NoAdapter`] where there is none, [`crate::Error::AdapterTooSmall`] where it has less than WebGPU's
    /// default limits.
    pub async fn gpu() -> Result<Self> {
        Ok(Self::Gpu(Gpu::open(&[]).await?))
    }

    /// The same with kernels of these families wherever they do an operation, for tests and measurements.
    ///
    /// # Errors
    /// As [`Backend::gpu`].
    pub async fn gpu_with(families: &[&str]) -> Result<Self> {
        Ok(Self::Gpu(Gpu::open(families).await?))
    }

    /// The processor, with a thread for each core.
    pub fn cpu() -> Self {
        Self::Cpu(Cpu::new(None).shared())
    }

    /// The processor, with so many threads.
    pub fn cpu_with_threads(threads: u32) -> Self {
        Self::Cpu(Cpu::new(Some(threads as usize)).shared())
    }

    /// The processor with each kind of vector instructions that it has, for tests.
    pub fn cpus() -> Vec<Self> {
        Cpu::all().into_iter().map(|cpu| Self::Cpu(cpu.shared())).collect()
    }

    /// The processor, with helpers that each have a share of every weight.
    pub fn cpu_with_helpers(links: Vec<Box<dyn Link>>) -> Self {
        Self::Cpu(Cpu::with_helpers(links).shared())
    }

    /// Whether both are the same device, so that the buffers of one serve the other.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gpu(a), Self::Gpu(b)) => Arc::ptr_eq(a, b),
            (Self::Cpu(a), Self::Cpu(b)) => Arc::ptr_eq(a, b) || a.serves(b),
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

    /// Threads of the processor that work, or 0 where a GPU does.
    pub fn threads(&self) -> u32 {
        match self {
            Self::Gpu(_) => 0,
            Self::Cpu(cpu) => cpu.threads() as u32,
        }
    }

    /// Bytes that weights may take, as far as anything is known of that: an estimate.
    pub fn memory_for_weights(&self) -> Option<u64> {
        match self {
            Self::Gpu(gpu) => gpu.memory_for_weights(),
            Self::Cpu(cpu) => cpu.memory_for_weights(),
        }
    }

    /// Whether operations can take rows as they lie in host memory, so that nothing has to be copied to a buffer.
    pub fn reads_host_memory(&self) -> bool {
        match self {
            Self::Gpu(_) => false,
            Self::Cpu(_) => true,
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

    /// Buffers of these sizes, which lie in one where an engine can read them together then.
    ///
    /// # Errors
    /// As [`Backend::buffer`], for all of them together.
    pub fn buffers<const N: usize>(&self, label: &str, bytes: [u64; N]) -> Result<[Buffer; N]> {
        let made: Vec<Buffer> = match self {
            Self::Gpu(gpu) => gpu::GpuBuffer::in_one(gpu, label, &bytes)?.into_iter().map(Buffer::Gpu).collect(),
            Self::Cpu(_) => bytes.iter().map(|&bytes| self.buffer(label, bytes)).collect::<Result<_>>()?,
        };
        made.try_into().map_err(|_| Error::Gpu { message: format!("{label} is not {N} buffers") })
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

    /// Queries `[Q]`, rows of `format`, in a buffer as [`Run::dense`] with these kernels reads them.
    ///
    /// # Errors
    /// As [`Backend::buffer`]; [`crate::Error::Gpu`] for kernels of another engine.
    pub fn queries(&self, kernels: &Kernels, format: RowFormat, rows: &[u8], dim: u32) -> Result<Buffer> {
        let mut padded = Vec::new();
        format.pad_rows(rows, dim, &mut padded);
        match self {
            Self::Gpu(_) => self.buffer_of("queries", &kernels.gpu()?.queries(format, padded)),
            Self::Cpu(_) => self.buffer_of("queries", &padded),
        }
    }

    /// Room for `matrices` (one, or a pair that is read together) weight matrices `[n, k]`, as the kernels read them.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] if rows of `k` cannot be held in this format, [`crate::Error::OutOfMemory`] if there
    /// is no room, [`crate::Error::AdapterTooSmall`] if not even one row fits a buffer.
    pub fn weight(&self, kernels: &Kernels, label: &str, shape: [u32; 3], format: MatrixFormat) -> Result<Weight> {
        self.weight_in_parts(kernels, label, shape, format, self.limits().buffer_bytes)
    }

    /// Room for weight matrices `[n, k]`, one for each of `ns`, that [`Run::heads`] reads; `None` where nothing does.
    ///
    /// # Errors
    /// As [`Backend::weight`].
    pub fn head_weights(
        &self,
        kernels: &Kernels,
        label: &str,
        (ns, k): ([u32; 3], u32),
        format: MatrixFormat,
    ) -> Result<Option<[Weight; 3]>> {
        match self {
            Self::Gpu(gpu) => {
                let made = gpu::GpuWeight::in_one(gpu, kernels.gpu()?, label, &ns, k, format)?;
                Ok(made.and_then(|made| made.into_iter().map(Weight::Gpu).collect::<Vec<_>>().try_into().ok()))
            }
            Self::Cpu(_) => Ok(None),
        }
    }

    /// The same as [`Backend::weight`] with buffers of at most `max_bytes`, for tests of the seams.
    ///
    /// # Errors
    /// As [`Backend::weight`].
    pub fn weight_in_parts(
        &self,
        kernels: &Kernels,
        label: &str,
        shape: [u32; 3],
        format: MatrixFormat,
        max_bytes: u64,
    ) -> Result<Weight> {
        Ok(match self {
            Self::Gpu(gpu) => Weight::Gpu(gpu::GpuWeight::zeros(gpu, kernels.gpu()?, label, shape, format, max_bytes)?),
            Self::Cpu(cpu) => Weight::Cpu(cpu::CpuWeight::zeros(cpu, label, shape, format, kernels.precision())?),
        })
    }

    /// The blocks of a row of K activations that these kernels round to integers with one scale each, where they do this linear
    /// layer, and the largest of those integers; `None` where activations stay f32.
    pub fn rounded_blocks(&self, kernels: &Kernels, operation: Operation, k: u32) -> Option<(Vec<Range<usize>>, f32)> {
        match (self, kernels) {
            (Self::Gpu(_), Kernels::Gpu(kernels)) => kernels.rounded_blocks(operation, k),
            (Self::Cpu(cpu), _) => cpu.rounded_blocks(operation.weights()?, kernels.precision(), k),
            (Self::Gpu(_), Kernels::Cpu { .. }) => None,
        }
    }

    /// Whether this linear layer rounds activations and weights to halves.
    pub(crate) fn takes_halves(&self, kernels: &Kernels, operation: Operation) -> bool {
        matches!(kernels, Kernels::Gpu(kernels) if kernels.takes_halves(operation))
    }

    /// What `make` makes of buffers, once the device has said that there was room for all of them. If there was not,
    /// they are dropped.
    ///
    /// # Errors
    /// What `make` returns, [`crate::Error::OutOfMemory`], or a fault of the device.
    pub async fn allocate<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        match self {
            Self::Gpu(gpu) => gpu.allocate(make).await,
            Self::Cpu(cpu) => {
                let made = make()?;
                cpu.sync().await.map(|()| made)
            }
        }
    }

    /// Waits until everything written is on the device, so that staging memory is given back.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn flush_writes(&self) -> Result<()> {
        match self {
            Self::Gpu(gpu) => gpu.flush_writes().await,
            Self::Cpu(cpu) => cpu.sync().await,
        }
    }

    /// Hands what was written so far to the device. [`Backend::finish_flush`] waits for it, so that what was written before
    /// can be on its way while more is written.
    pub fn begin_flush(&self) -> Flush {
        match self {
            Self::Gpu(gpu) => Flush(Some(gpu.submit(None))),
            Self::Cpu(_) => Flush(None),
        }
    }

    /// Waits until what was written before `flush` began is on the device, so that staging memory is given back.
    ///
    /// # Errors
    /// Faults of the device.
    pub async fn finish_flush(&self, flush: Flush) -> Result<()> {
        match (self, flush.0) {
            (Self::Gpu(gpu), Some(submitted)) => gpu.finished(submitted).await,
            _ => self.flush_writes().await,
        }
    }

    /// What a call gives that gave `result`: if that is a fault of the device, what the device says of it once it has said
    /// all, which is [`crate::Error::DeviceLost`] if it is gone. The next call starts without the faults of this one.
    ///
    /// # Errors
    /// Those of `result`.
    pub async fn settled<T>(&self, result: Result<T>) -> Result<T> {
        match (self, result) {
            (Self::Gpu(gpu), Err(error)) => Err(gpu.settle(error).await),
            (_, result) => result,
        }
    }

    /// An empty run of these kernels, which have to be this backend's. `watch` is asked whether to stop.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] for kernels of another engine.
    pub fn run<'a>(&self, kernels: &Kernels, watch: &'a dyn Watch) -> Result<Run<'a>> {
        Ok(match self {
            Self::Gpu(gpu) => Run::Gpu(Box::new(gpu::Recorder::new(gpu, kernels.gpu()?, watch))),
            Self::Cpu(cpu) => Run::Cpu(cpu::CpuRun::new(cpu, watch)),
        })
    }
}

/// Writes that the device is still taking.
pub struct Flush(Option<gpu::Submitted>);

/// Lets this thread do what else waits to be done, such as receiving messages. Natively threads have nothing to wait for.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) async fn turn() {}

/// A moment, after which a caller that waits looks whether it is to go on. Natively what is waited for comes by itself.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn pause() -> std::future::Pending<()> {
    std::future::pending()
}
