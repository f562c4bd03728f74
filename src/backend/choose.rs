//! Which kernel does an operation on this device: of the families that it allows, those that agree with the reference,
//! and of these the fastest.

use std::sync::Arc;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
#[cfg(target_arch = "wasm32")]
use std::task::Poll;

use web_time::Instant;

use super::gpu::{Gpu, GpuKernel, GpuKernels, KnownKernel, candidates};
use super::kernels::Kernels;
use super::ops::Operation;
use super::{Backend, Precision, probe};
use crate::error::{Error, Result};
use crate::numbers::MatrixFormat;

/// Runs that are timed, of which the shortest counts.
const TIMED_RUNS: usize = 3;
/// Seconds in which a GPU does the half a billion multiply-adds that are timed, and no one thread of a processor. It is
/// not worth timing the processor then, which takes as long as ten such GPUs.
const SURELY_FAST: f64 = 0.003;

/// The families of an operation that were compared with the reference.
#[derive(Default)]
struct Checked {
    right: Vec<(Arc<GpuKernel>, Kernels)>,
    wrong: Vec<&'static str>,
    /// Of the first that was wrong.
    refusal: Option<Error>,
}

impl Backend {
    /// Kernels for `operations`, each compiled and compared with the reference on this device the first time it is asked
    /// for. A family that is wrong is dropped while another is left.
    ///
    /// # Errors
    /// [`Error::Gpu`] if a shader does not compile, [`Error::WrongKernel`] if no family of an operation is right.
    pub async fn kernels(&self, operations: &[Operation]) -> Result<Kernels> {
        self.kernels_for(Precision::Exact, operations).await
    }

    /// The same, with linear layers of this precision where the device has such kernels and no exact ones are faster;
    /// [`Kernels::precision`] says what it has become.
    ///
    /// # Errors
    /// As [`Backend::kernels`].
    pub async fn kernels_for(&self, precision: Precision, operations: &[Operation]) -> Result<Kernels> {
        self.kernels_in(None, precision, operations).await
    }

    /// The kernels of one family for `operations`, whatever the adapter, for tests and measurements.
    ///
    /// # Errors
    /// As [`Backend::kernels`].
    pub async fn kernels_of(&self, family: &str, operations: &[Operation]) -> Result<Kernels> {
        self.kernels_in(Some(family), Precision::Exact, operations).await
    }

    async fn kernels_in(
        &self,
        family: Option<&str>,
        precision: Precision,
        operations: &[Operation],
    ) -> Result<Kernels> {
        let gpu = match self {
            Self::Gpu(gpu) => gpu,
            Self::Cpu(cpu) => {
                let (names, precision) = cpu.kernels(operations, precision);
                return Ok(Kernels::Cpu { names, precision });
            }
        };
        let mut known = gpu.known_kernels().await;
        // What reads no codes is the same in either precision.
        let precision = |operation: Operation| match operation.weights() {
            Some(format) if format.group().is_some() => precision,
            _ => Precision::Exact,
        };
        let same = |k: &&KnownKernel, operation: Operation| {
            (k.family.as_deref(), k.precision) == (family, precision(operation)) && k.kernel.does(operation)
        };
        // Apart, because a fault of what others can do as well is not to be taken for one of theirs.
        for optional in [false, true] {
            let mut missing: Vec<Operation> = Vec::new();
            for &operation in operations.iter().filter(|operation| operation.is_optional() == optional) {
                let is_known = known.iter().any(|k| same(&k, operation));
                if !is_known && missing.iter().all(|other| other.name() != operation.name()) {
                    missing.push(operation);
                }
            }
            let check = async |&operation: &Operation| self.check(gpu, operation, precision(operation), family).await;
            for (&operation, checked) in missing.iter().zip(together(&missing, check).await) {
                let made = match checked {
                    Ok(checked) => self.fastest(operation, checked).await,
                    Err(error) => Err(error),
                };
                match made {
                    Ok(kernel) => {
                        let (family, precision) = (family.map(str::to_owned), precision(operation));
                        known.push(KnownKernel { family, precision, kernel });
                    }
                    // Other operations do the same.
                    Err(Error::Gpu { .. } | Error::WrongKernel { .. }) if optional => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let of = |&operation| known.iter().find(|k| same(k, operation)).map(|k| Arc::clone(&k.kernel));
        Ok(Kernels::Gpu(GpuKernels::new(operations.iter().filter_map(of).collect())))
    }

    /// The families of an operation that are right.
    async fn check(
        &self,
        gpu: &Arc<Gpu>,
        operation: Operation,
        precision: Precision,
        family: Option<&str>,
    ) -> Result<Checked> {
        let mut checked = Checked::default();
        for candidate in candidates(gpu, operation, precision, family).await? {
            let candidate = Arc::new(candidate);
            let kernels = Kernels::Gpu(GpuKernels::new(vec![Arc::clone(&candidate)]));
            let mut found = probe::check(self, &kernels, operation, candidate.tolerance()).await;
            if found.is_ok() && candidate.has_tiles() {
                found = probe::check_tiles(self, &kernels, operation).await;
            }
            match found {
                Ok(()) => checked.right.push((candidate, kernels)),
                Err(error @ Error::WrongKernel { .. }) => {
                    checked.wrong.push(candidate.family());
                    checked.refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(checked)
    }

    /// The fastest of those that are right.
    async fn fastest(&self, operation: Operation, checked: Checked) -> Result<Arc<GpuKernel>> {
        let Checked { mut right, wrong, refusal } = checked;
        let mut why = match &wrong[..] {
            [] => "the only family here".to_owned(),
            wrong => format!("{} gave wrong numbers", wrong.join(" and ")),
        };
        let mut seconds = Vec::with_capacity(right.len());
        if right.len() > 1 {
            for (_, kernels) in &right {
                seconds.push(self.seconds(kernels, operation).await?);
            }
            let each: Vec<String> =
                right.iter().zip(&seconds).map(|((k, _), s)| format!("{} {:.2} ms", k.family(), s * 1e3)).collect();
            why = format!("the fastest: {}", each.join(", "));
        }
        let fastest =
            (0..right.len()).min_by(|&a, &b| seconds.get(a).partial_cmp(&seconds.get(b)).unwrap_or(a.cmp(&b)));
        let none =
            || refusal.unwrap_or_else(|| Error::Gpu { message: format!("no kernel does {:?}", operation.name()) });
        let (kernel, _) = right.swap_remove(fastest.ok_or_else(none)?);
        kernel.explain(why);
        Ok(kernel)
    }

    /// Why the processor, with so many threads (by default all) and as exact as is asked for, is a better choice than this GPU
    /// with these kernels for weights of `format`: it multiplies them in less time. `None` where the GPU is the faster one, or this is no GPU.
    ///
    /// # Errors
    /// A fault of the device, [`Error::OutOfMemory`].
    pub async fn slower_than_processor(
        &self,
        kernels: &Kernels,
        format: MatrixFormat,
        precision: Precision,
        threads: Option<u32>,
    ) -> Result<Option<String>> {
        if matches!(self, Self::Cpu(_)) {
            return Ok(None);
        }
        let operation = Operation::Matmul(format);
        let gpu = self.seconds(kernels, operation).await?;
        if gpu < SURELY_FAST {
            return Ok(None);
        }
        let processor = threads.map_or_else(Self::cpu, Self::cpu_with_threads);
        let kernels = processor.kernels_for(precision, &[operation]).await?;
        let seconds = processor.seconds(&kernels, operation).await?;
        let faster = seconds < gpu;
        Ok(faster.then(|| {
            let (here, there) = (seconds * 1e3, gpu * 1e3);
            format!("it is faster than the GPU: {here:.1} ms for a linear layer, where the GPU takes {there:.1}")
        }))
    }

    /// The shortest of a few runs of an operation on a size that fills a device.
    async fn seconds(&self, kernels: &Kernels, operation: Operation) -> Result<f64> {
        let mut shortest = f64::INFINITY;
        for _ in 0..TIMED_RUNS {
            let start = Instant::now();
            probe::exercise(self, kernels, operation).await?;
            shortest = shortest.min(start.elapsed().as_secs_f64());
        }
        Ok(shortest)
    }
}

/// What becomes of each operation, on as many threads as there are cores: drivers compile in the thread that asks.
#[cfg(not(target_arch = "wasm32"))]
async fn together<T: Send>(operations: &[Operation], check: impl AsyncFn(&Operation) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(operation) = operations.get(place) else { return };
            let checked = pollster::block_on(check(operation));
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, checked));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores.min(operations.len()) {
            // Where the system starts none, this one does it all.
            drop(std::thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, checked)| checked).collect()
}

/// What becomes of each operation, in turns: some are checked while others compile.
#[cfg(target_arch = "wasm32")]
async fn together<T>(operations: &[Operation], check: impl AsyncFn(&Operation) -> T) -> Vec<T> {
    let mut waiting: Vec<_> = operations.iter().map(|operation| (Box::pin(check(operation)), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in waiting.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if waiting.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}
