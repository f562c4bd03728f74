//! Runs kernels in order, in submissions of about 50 ms.
//!
//! Kernels are recorded, not run: [`Recorder::push`] costs no waiting. [`Recorder::pump`] hands full submissions to
//! the device, never more than two at once, and looks between them whether the caller has cancelled. So a page stays
//! smooth, cancelling is quick, and the device always has work. A submission's size follows the speed measured so far.

use std::collections::VecDeque;
use std::sync::PoisonError;

use web_time::Instant;

use super::device::Submitted;
use super::{Gpu, Kernels};
use crate::error::{Error, Result};
use crate::watch::Watch;

/// Seconds of work in one submission.
const SUBMISSION: f64 = 0.05;
/// Bytes between the parameters of two dispatches: WebGPU's `minUniformBufferOffsetAlignment`.
const SLOT: usize = 256;
/// Dispatches a submission at most; their parameters share one buffer.
const SLOTS: usize = 256;

/// Kernels recorded for one device, and the submissions they were sealed into.
pub struct Recorder<'a, K = Kernels> {
    pub(super) gpu: &'a Gpu,
    pub(super) kernels: &'a K,
    params: &'a wgpu::Buffer,
    watch: &'a dyn Watch,
    open: Batch,
    sealed: VecDeque<Batch>,
    running: VecDeque<(Submitted, Instant, f64)>,
    last_done: Option<Instant>,
    /// Why something could not be recorded.
    failed: Option<Error>,
}

#[derive(Default)]
struct Batch {
    dispatches: Vec<Dispatch>,
    params: Vec<u8>,
    work: f64,
}

struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    groups: [u32; 3],
}

impl<'a> Recorder<'a> {
    /// An empty recorder.
    pub fn new(gpu: &'a Gpu, kernels: &'a Kernels, watch: &'a dyn Watch) -> Self {
        Self::with(gpu, kernels, &kernels.params, watch)
    }
}

impl<'a, K> Recorder<'a, K> {
    /// An empty recorder of `kernels`, whose parameters go through `params`.
    pub(super) fn with(gpu: &'a Gpu, kernels: &'a K, params: &'a wgpu::Buffer, watch: &'a dyn Watch) -> Self {
        let (open, sealed, running) = (Batch::default(), VecDeque::new(), VecDeque::new());
        Self { gpu, kernels, params, watch, open, sealed, running, last_done: None, failed: None }
    }

    /// Multiply-adds that fill one submission at the speed measured so far.
    pub(super) fn budget(&self) -> f64 {
        *self.gpu.pace.lock().unwrap_or_else(PoisonError::into_inner) * SUBMISSION
    }

    /// Records one dispatch: `params` at binding 0, `buffers` at the bindings after it, `work` multiply-adds.
    pub(super) fn push<P: bytemuck::NoUninit>(
        &mut self,
        pipeline: &wgpu::ComputePipeline,
        params: P,
        buffers: &[&wgpu::Buffer],
        groups: [u32; 3],
        work: f64,
    ) {
        if self.open.dispatches.len() == SLOTS || self.open.work > self.budget() {
            self.seal();
        }
        let offset = self.open.params.len() as u64;
        self.open.params.extend_from_slice(bytemuck::bytes_of(&params));
        self.open.params.resize(self.open.params.len().next_multiple_of(SLOT), 0);
        let uniform = wgpu::BufferBinding { buffer: self.params, offset, size: std::num::NonZeroU64::new(SLOT as u64) };
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) }];
        entries.extend(
            (1..).zip(buffers).map(|(binding, b)| wgpu::BindGroupEntry { binding, resource: b.as_entire_binding() }),
        );
        let bindings = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        self.open.dispatches.push(Dispatch { pipeline: pipeline.clone(), bindings, groups });
        self.open.work += work;
    }

    /// Ends the run with `error` when it is pumped.
    pub(super) fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
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
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
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
    pub async fn finish(mut self) -> Result<()> {
        self.seal();
        self.pump().await?;
        while !self.running.is_empty() {
            self.settle().await?;
        }
        if self.watch.cancelled() { Err(Error::Aborted) } else { Ok(()) }
    }

    fn submit(&mut self, batch: Batch) {
        // Queue order makes one parameter buffer enough: this write waits for the submission before.
        self.gpu.queue.write_buffer(self.params, 0, &batch.params);
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for d in &batch.dispatches {
                pass.set_pipeline(&d.pipeline);
                pass.set_bind_group(0, &d.bindings, &[]);
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
            let mut pace = self.gpu.pace.lock().unwrap_or_else(PoisonError::into_inner);
            *pace = (*pace * 0.7 + work / seconds * 0.3).clamp(1e9, 1e14);
        }
        Ok(())
    }
}

/// Size of the buffer that [`Recorder`] keeps the parameters of one submission in.
pub(super) const PARAMS_BYTES: u64 = (SLOT * SLOTS) as u64;
