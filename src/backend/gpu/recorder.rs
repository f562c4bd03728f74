//! Runs kernels in order, in submissions of about 50 ms.
//!
//! Operations are recorded, not run, so recording never waits. [`Recorder::pump`] hands full submissions to
//! the device, never more than two at once, and checks between them whether the caller has cancelled. So a page stays
//! smooth, cancelling is quick, and the device always has work. A submission's size follows the speed measured so far.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use web_time::Instant;

use super::buffer::{GpuBuffer, OwnedBuffer, shared};
use super::device::{Gpu, Submitted};
use super::kernel::{GpuKernel, GpuKernels, Pipeline};
use crate::backend::ops::Operation;
use crate::error::{Error, Result};
use crate::progress::Watch;

/// Seconds of work in one submission.
const SUBMISSION_SECONDS: f64 = 0.05;
/// Bytes between the parameters of two dispatches: WebGPU's `minUniformBufferOffsetAlignment`.
const SLOT: usize = 256;
/// Dispatches a submission at most; their parameters share one buffer.
const SLOTS: usize = 256;

/// Operations recorded for one device, and the submissions they were sealed into. The parameters of its dispatches are
/// its own, so recorders of several threads do not disturb each other.
pub struct Recorder<'a> {
    pub(super) gpu: Arc<Gpu>,
    kernels: GpuKernels,
    /// Taken from the device's spare ones, and given back at the end.
    params: Option<Arc<OwnedBuffer>>,
    watch: &'a dyn Watch,
    open: Submission,
    sealed: VecDeque<Submission>,
    running: VecDeque<(Submitted, Instant, f64)>,
    last_done: Option<Instant>,
    /// All that was recorded is done.
    finished: bool,
    /// Tables that kernels make for themselves, by name: they are used again by the next dispatch.
    scratch: Vec<(&'static str, Rc<GpuBuffer>)>,
}

#[derive(Default)]
struct Submission {
    dispatches: Vec<Dispatch>,
    params: Vec<u8>,
    work: f64,
}

struct Dispatch {
    pipeline: Arc<wgpu::ComputePipeline>,
    bindings: Arc<wgpu::BindGroup>,
    /// Where its parameters begin.
    offset: u32,
    groups: [u32; 3],
    /// Kept until the dispatch is submitted; the device keeps them from then on.
    _buffers: Vec<Arc<OwnedBuffer>>,
}

/// Locks what no panic can leave half-written.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        // Queue order protects it: the next write comes after the submissions that read it. After a fault it may be none
        // that the device knows.
        if self.finished {
            locked(&self.gpu.parameters).extend(self.params.take());
            // One of each name, the last, which is the largest that was asked for.
            let mut spare = locked(&self.gpu.scratch);
            spare.retain(|(name, _)| self.scratch.iter().all(|(n, _)| n != name));
            spare.extend(self.scratch.drain(..).map(|(name, buffer)| (name, Arc::clone(&buffer.raw))));
        }
    }
}

impl<'a> Recorder<'a> {
    /// An empty recorder for these kernels.
    pub fn new(gpu: &Arc<Gpu>, kernels: &GpuKernels, watch: &'a dyn Watch) -> Self {
        Self {
            gpu: Arc::clone(gpu),
            kernels: kernels.clone(),
            params: locked(&gpu.parameters).pop(),
            watch,
            open: Submission::default(),
            sealed: VecDeque::new(),
            running: VecDeque::new(),
            last_done: None,
            finished: false,
            scratch: Vec::new(),
        }
    }

    /// The kernel for an operation.
    ///
    /// # Errors
    /// [`Error::Gpu`] if it is not among the kernels of this run.
    pub(super) fn kernel(&self, operation: Operation) -> Result<Arc<GpuKernel>> {
        let (name, format) = operation.name();
        let none = || Error::Gpu { message: format!("no kernel for {name} {format} was compiled for this run") };
        self.kernels.find(operation).cloned().ok_or_else(none)
    }

    /// Multiply-adds that fill one submission at the speed measured so far.
    pub(super) fn budget(&self) -> f64 {
        *locked(&self.gpu.pace) * SUBMISSION_SECONDS
    }

    /// A buffer of at least `bytes`, of whatever is in them, that stays the same for one `name` until more is asked for.
    pub(super) fn scratch(&mut self, name: &'static str, bytes: u64) -> Result<Rc<GpuBuffer>> {
        if let Some((_, buffer)) = self.scratch.iter().find(|(n, buffer)| *n == name && buffer.size() >= bytes) {
            return Ok(Rc::clone(buffer));
        }
        self.scratch.retain(|(n, _)| *n != name);
        let mut spare = locked(&self.gpu.scratch);
        let found = spare.iter().position(|(n, buffer)| *n == name && buffer.size() >= bytes);
        let found = found.map(|i| spare.swap_remove(i).1);
        drop(spare);
        let buffer = Rc::new(match found {
            Some(buffer) => GpuBuffer::whole(&self.gpu, buffer),
            None => GpuBuffer::zeros(&self.gpu, name, bytes)?,
        });
        self.scratch.push((name, Rc::clone(&buffer)));
        Ok(buffer)
    }

    /// Records one dispatch: `params` at binding 0, `buffers` at the bindings after it, `work` multiply-adds.
    ///
    /// # Errors
    /// [`Error::Gpu`] if the shader binds something else.
    pub(super) fn push<P: bytemuck::NoUninit>(
        &mut self,
        pipeline: &Pipeline,
        params: P,
        buffers: &[&GpuBuffer],
        groups: [u32; 3],
        work: f64,
    ) -> Result<()> {
        self.push_bytes(pipeline, bytemuck::bytes_of(&params), buffers, groups, work)
    }

    /// Once for parameters of all types.
    #[inline(never)]
    fn push_bytes(
        &mut self,
        pipeline: &Pipeline,
        params: &[u8],
        buffers: &[&GpuBuffer],
        groups: [u32; 3],
        work: f64,
    ) -> Result<()> {
        let shader = pipeline.shader;
        if buffers.len() != shader.buffers.len() || params.len() != shader.params_bytes {
            let came = format!("{} buffers and {} bytes of parameters", buffers.len(), params.len());
            let wanted = format!("{} and {}", shader.buffers.len(), shader.params_bytes);
            return Err(Error::Gpu { message: format!("{} got {came}, it binds {wanted}", shader.name) });
        }
        if self.open.dispatches.len() == SLOTS || self.open.work > self.budget() {
            self.seal();
        }
        let device = &self.gpu.device;
        let params_buffer = self.params.get_or_insert_with(|| {
            shared(device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("parameters"),
                size: (SLOT * SLOTS) as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }))
        });
        let offset = self.open.params.len() as u32;
        self.open.params.extend_from_slice(params);
        self.open.params.resize(self.open.params.len().next_multiple_of(SLOT), 0);
        let params = (&**params_buffer, SLOT as u64);
        let bindings = locked(&self.gpu.bindings).get(&self.gpu, pipeline, params, buffers);
        let buffers = buffers.iter().map(|buffer| Arc::clone(&buffer.raw)).collect();
        let pipeline = Arc::clone(&pipeline.raw);
        self.open.dispatches.push(Dispatch { pipeline, bindings, offset, groups, _buffers: buffers });
        self.open.work += work;
        self.gpu.dispatches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn seal(&mut self) {
        if !self.open.dispatches.is_empty() {
            self.sealed.push_back(std::mem::take(&mut self.open));
        }
    }

    /// Hands full submissions to the device.
    ///
    /// # Errors
    /// [`Error::Aborted`], or a fault of the device.
    pub async fn pump(&mut self) -> Result<()> {
        while let Some(batch) = self.sealed.pop_front() {
            if self.watch.cancelled() {
                return Err(Error::Aborted);
            }
            if self.running.len() >= 2 {
                self.settle().await?;
            }
            self.submit(batch);
        }
        self.gpu.check()
    }

    /// Hands everything recorded to the device, so that its buffers may be written again: writes wait their turn.
    ///
    /// # Errors
    /// As [`Recorder::pump`].
    pub async fn flush(&mut self) -> Result<()> {
        self.seal();
        self.pump().await
    }

    /// Runs everything recorded and waits for it.
    ///
    /// # Errors
    /// As [`Recorder::pump`].
    pub async fn finish(&mut self) -> Result<()> {
        self.seal();
        self.pump().await?;
        while !self.running.is_empty() {
            self.settle().await?;
        }
        self.finished = true;
        if self.watch.cancelled() { Err(Error::Aborted) } else { Ok(()) }
    }

    fn submit(&mut self, batch: Submission) {
        // Queue order makes one parameter buffer enough: this write waits for the submission before.
        if let Some(params) = &self.params {
            self.gpu.queue.write_buffer(params, 0, &batch.params);
        }
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let mut set: Option<&Arc<wgpu::ComputePipeline>> = None;
            for d in &batch.dispatches {
                if set.is_none_or(|set| !Arc::ptr_eq(set, &d.pipeline)) {
                    pass.set_pipeline(&d.pipeline);
                    set = Some(&d.pipeline);
                }
                pass.set_bind_group(0, &*d.bindings, &[d.offset]);
                pass.dispatch_workgroups(d.groups[0], d.groups[1], d.groups[2]);
            }
        }
        let submitted = self.gpu.submit(Some(encoder.finish()));
        self.running.push_back((submitted, Instant::now(), batch.work));
    }

    /// Waits for the oldest submission and learns the device's speed from it.
    async fn settle(&mut self) -> Result<()> {
        let Some((submitted, started, work)) = self.running.pop_front() else { return Ok(()) };
        self.gpu.finished(submitted).await?;
        let now = Instant::now();
        let began = self.last_done.map_or(started, |done| done.max(started));
        self.last_done = Some(now);
        let seconds = now.duration_since(began).as_secs_f64();
        // Too short to measure, or mostly overhead: says little about speed.
        if seconds > 0.002 && work > 1e7 {
            let mut pace = locked(&self.gpu.pace);
            *pace = (*pace * 0.7 + work / seconds * 0.3).clamp(1e9, 1e14);
        }
        Ok(())
    }
}
