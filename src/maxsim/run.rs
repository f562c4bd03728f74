//! One call on the GPU: uploads a piece, scores it, uses the memory again.

use super::Tokens;
use super::documents::Documents;
use super::plan::{Group, Lie, Limits, Pass, Shard, Wanted};
use crate::error::Result;
use crate::gpu::{Gpu, MaxSim, Recorder, ShardBuffers, Strip};
use crate::watch::{Progress, Watch};

/// Strips that are uploaded together.
const STRIPS: usize = 32_768;
/// Bytes of rows that are padded before they are uploaded.
const STAGING: usize = 1 << 20;
/// Bytes of query rows in a pass.
const QUERY_BYTES: usize = 16 << 20;

/// One call on one device.
pub(super) struct Run<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) kernels: &'a MaxSim,
    pub(super) limits: Limits,
    pub(super) normalize: bool,
}

/// The buffers of a call, given back at its end: a browser would wait for its garbage collector.
struct Buffers {
    queries: wgpu::Buffer,
    ends: wgpu::Buffer,
    strips: wgpu::Buffer,
    best: wgpu::Buffer,
    /// Those that document tokens are uploaded to.
    data: wgpu::Buffer,
    scales: wgpu::Buffer,
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let Self { queries, ends, strips, best, data, scales } = self;
        [queries, ends, strips, best, data, scales].into_iter().for_each(|b| b.destroy());
    }
}

impl Buffers {
    /// As the kernel takes them: with the documents that are uploaded, or with those that are there.
    fn shard<'a>(&'a self, documents: &Documents<'a>, scaled: bool) -> ShardBuffers<'a> {
        let (data, scales) = match documents {
            Documents::Host(_) => (&self.data, &self.scales),
            Documents::Device(resident) => (resident.data, resident.scales.unwrap_or(&self.scales)),
        };
        let Self { strips, queries, ends, best, .. } = self;
        ShardBuffers { strips, queries, data, scales, scaled, ends, best }
    }
}

impl Run<'_> {
    /// Fills `scores`, which are zeros.
    pub(super) async fn score(
        &self,
        queries: &Tokens<'_>,
        documents: Documents<'_>,
        pairs: Option<&[(u32, u32)]>,
        watch: &dyn Watch,
        scores: &mut [f32],
    ) -> Result<()> {
        let (rows, dim) = (documents.ragged(), documents.dim() as u32);
        let (wanted, empty) = Wanted::new(pairs, queries.ragged(), rows);
        let padded = queries.dim.next_multiple_of(4);
        let pass_rows = self.limits.query_rows.min(QUERY_BYTES / (padded * 4)).clamp(1, queries.count().max(1));
        let [tokens, best] = wanted.room(queries.ragged(), rows, pass_rows);
        let row_bytes = u64::from(self.kernels.form().row_bytes(dim));
        let (lie, shard_tokens, staged, scaled) = match &documents {
            Documents::Host(tokens_of) => {
                let fit = self.limits.shard_bytes.min(self.gpu.max_binding()) / row_bytes;
                let shard_tokens = (fit as usize).clamp(1, tokens.max(1));
                (Lie::Packed, shard_tokens, shard_tokens, tokens_of.factor_of_any(self.normalize))
            }
            Documents::Device(resident) => (Lie::Resident, usize::MAX, 0, resident.scales.is_some()),
        };
        let gpu = self.gpu;
        let words = |label: &str, count: usize| gpu.storage(label, count as u64 * 4);
        let buffers = Buffers {
            queries: words("queries", pass_rows * padded)?,
            ends: words("document ends", shard_tokens.min(rows.items()))?,
            strips: gpu.storage("strips", (STRIPS * size_of::<Strip>()) as u64)?,
            best: words("maxima", best.min(self.limits.best.max(pass_rows)))?,
            data: gpu.storage("document tokens", staged as u64 * row_bytes)?,
            scales: words("token scales", if scaled { staged } else { 0 })?,
        };
        let mut progress = (0, wanted.similarities(queries.ragged(), rows));
        let mut run = Recorder::for_maxsim(gpu, self.kernels, watch);
        for pass in Pass::all(queries.ragged(), pass_rows) {
            run.flush().await?;
            self.upload_queries(queries, &pass, &buffers.queries);
            for span in Group::spans(&wanted, &pass, self.limits.best) {
                let group = Group::new(&wanted, span, &pass, rows, lie);
                for shard in group.shards(shard_tokens) {
                    run.flush().await?;
                    if let Documents::Host(tokens) = &documents {
                        self.upload(&group, &shard, tokens, &buffers, scaled);
                    }
                    gpu.queue.write_buffer(&buffers.ends, 0, bytemuck::cast_slice(&group.ends(&shard)));
                    progress.0 += self.shard(&mut run, &group, &shard, buffers.shard(&documents, scaled), dim).await?;
                    watch.progress(Progress::Score { done: progress.0, total: progress.1 });
                }
                self.sum(&mut run, &group, &buffers.best, scores).await?;
            }
        }
        run.finish().await?;
        empty.into_iter().for_each(|place| scores[place] = f32::NEG_INFINITY);
        Ok(())
    }

    fn upload_queries(&self, queries: &Tokens<'_>, pass: &Pass, buffer: &wgpu::Buffer) {
        let mut rows = Vec::with_capacity(pass.rows.len() * queries.dim.next_multiple_of(4));
        for t in pass.rows.clone() {
            queries.widen(t, self.normalize, &mut rows);
            rows.resize(rows.len().next_multiple_of(4), 0.0);
        }
        self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&rows));
    }

    fn upload(&self, group: &Group, shard: &Shard, documents: &Tokens<'_>, buffers: &Buffers, scaled: bool) {
        let queue = &self.gpu.queue;
        let runs = group.rows(shard, documents.ragged());
        let (form, dim) = (self.kernels.form(), documents.dim as u32);
        let (bytes, stored, row) = (documents.bytes(), form.host_bytes(dim) as usize, form.row_bytes(dim) as usize);
        let (mut at, mut padded) = (0, Vec::new());
        for rows in &runs {
            let run = &bytes[rows.start * stored..rows.end * stored];
            if row == stored {
                queue.write_buffer(&buffers.data, at, run);
                at += run.len() as u64;
                continue;
            }
            for part in run.chunks((STAGING / row).max(1) * stored) {
                padded.clear();
                form.pad_rows(part, dim, &mut padded);
                queue.write_buffer(&buffers.data, at, &padded);
                at += padded.len() as u64;
            }
        }
        if scaled {
            let factor = |t: usize| documents.factor(t, self.normalize).unwrap_or(1.0);
            let scales: Vec<f32> = runs.iter().cloned().flatten().map(factor).collect();
            queue.write_buffer(&buffers.scales, 0, bytemuck::cast_slice(&scales));
        }
    }

    /// Raises the maxima by one shard's tokens; gives how many similarities these are.
    async fn shard(
        &self,
        run: &mut Recorder<'_, MaxSim>,
        group: &Group,
        shard: &Shard,
        buffers: ShardBuffers<'_>,
        dim: u32,
    ) -> Result<u64> {
        let family = self.kernels.family();
        let mut strips = group.strips(shard, family, family.strip_tokens(dim)).peekable();
        let mut batch = Vec::with_capacity(STRIPS);
        let mut done = 0;
        while strips.peek().is_some() {
            batch.clear();
            batch.extend(strips.by_ref().take(STRIPS));
            run.flush().await?;
            self.gpu.queue.write_buffer(buffers.strips, 0, bytemuck::cast_slice(&batch));
            run.maxsim(&batch, group.rows, buffers, dim);
            done += batch.iter().map(|s| u64::from(s.end - s.token) * u64::from(s.rows)).sum::<u64>();
        }
        Ok(done)
    }

    /// Adds a group's maxima to the scores.
    async fn sum(
        &self,
        run: &mut Recorder<'_, MaxSim>,
        group: &Group,
        best: &wgpu::Buffer,
        scores: &mut [f32],
    ) -> Result<()> {
        if group.outputs.is_empty() {
            return Ok(());
        }
        let mut sums = vec![0.0; group.outputs.len()];
        for &(output, place) in &group.places {
            sums[output] = scores[place];
        }
        let table = self.gpu.storage_of("outputs", &group.outputs)?;
        let sums = self.gpu.storage_of("scores", &sums)?;
        run.maxsim_sum(&group.outputs, &table, best, &sums);
        run.flush().await?;
        let read = self.gpu.read(&sums, group.outputs.len() as u64 * 4).await;
        [table, sums].into_iter().for_each(|b| b.destroy());
        let read: Vec<f32> = bytemuck::pod_collect_to_vec(&read?);
        for &(output, place) in &group.places {
            scores[place] = read[output];
        }
        Ok(())
    }
}
