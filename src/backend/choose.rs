//! Which kernel does an operation on this device: of the families that it allows, those that agree with the reference,
//! and of these the fastest.

use std::sync::Arc;

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
        let mut chosen = Vec::with_capacity(operations.len());
        for &operation in operations {
            let codes = operation.weights().is_some_and(|format| format.group().is_some());
            let precision = if codes { precision } else { Precision::Exact };
            let same = |k: &&KnownKernel| {
                (k.family.as_deref(), k.precision) == (family, precision) && k.kernel.does(operation)
            };
            let found = known.iter().find(same).map(|k| Arc::clone(&k.kernel));
            let kernel = match found {
                Some(kernel) => kernel,
                None => {
                    let kernel = match self.make(gpu, operation, precision, family).await {
                        // Other operations do the same.
                        Err(Error::Gpu { .. } | Error::WrongKernel { .. }) if operation.is_optional() => continue,
                        made => made?,
                    };
                    let family = family.map(str::to_owned);
                    known.push(KnownKernel { family, precision, kernel: Arc::clone(&kernel) });
                    kernel
                }
            };
            chosen.push(kernel);
        }
        Ok(Kernels::Gpu(GpuKernels::new(chosen)))
    }

    async fn make(
        &self,
        gpu: &Arc<Gpu>,
        operation: Operation,
        precision: Precision,
        family: Option<&str>,
    ) -> Result<Arc<GpuKernel>> {
        self.choose(operation, candidates(gpu, operation, precision, family).await?).await
    }

    async fn choose(&self, operation: Operation, candidates: Vec<GpuKernel>) -> Result<Arc<GpuKernel>> {
        let (mut right, mut wrong) = (Vec::new(), Vec::new());
        let mut refusal = None;
        for candidate in candidates {
            let candidate = Arc::new(candidate);
            let kernels = Kernels::Gpu(GpuKernels::new(vec![Arc::clone(&candidate)]));
            let mut checked = probe::check(self, &kernels, operation, candidate.tolerance()).await;
            if checked.is_ok() && candidate.has_tiles() {
                checked = probe::check_tiles(self, &kernels, operation).await;
            }
            match checked {
                Ok(()) => right.push((candidate, kernels)),
                Err(error @ Error::WrongKernel { .. }) => {
                    wrong.push(candidate.family());
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
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
