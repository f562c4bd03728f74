//! MaxSim on the GPU: uploads a piece, scores it, uses the memory again.

use async_lock::Mutex;

use super::plan::{Group, Limits, Pass, Shard, Wanted};
use super::{Match, Options, TokenData, Tokens, check, probe};
use crate::error::{Error, Result};
use crate::gpu::{Family, Gpu, MaxSim, Recorder, ShardBuffers, Strip, TokenForm};
use crate::watch::{Progress, Watch};

/// Strips that are uploaded together.
const STRIPS: usize = 32_768;
/// Bytes of rows that are padded before they are uploaded.
const STAGING: usize = 1 << 20;
/// Bytes of query rows in a pass.
const QUERY_BYTES: usize = 16 << 20;
/// Similarities that an explanation reads back at a time.
const EXPLAINED: usize = 1 << 20;

/// Scores on one device. It needs no model, holds no tokens, and compiles what a form of documents needs when the first
/// of that form come. Its calls run one after another.
pub struct Scorer {
    /// The pipelines of the forms that came so far.
    kernels: Mutex<Vec<MaxSim>>,
    family: Option<Family>,
    limits: Limits,
}

impl Default for Scorer {
    fn default() -> Self {
        Self::new()
    }
}

impl Scorer {
    /// A scorer that chooses the kernel by the adapter.
    pub fn new() -> Self {
        Self { kernels: Mutex::default(), family: None, limits: Limits::default() }
    }

    /// A scorer with this family of the kernel, for tests and measurements.
    pub fn of(family: Family) -> Self {
        Self { family: Some(family), ..Self::new() }
    }

    /// The same with pieces of other sizes, for tests of the seams between them.
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The scores of `queries` against `documents`: `[queries, documents]`, row-major, or one for each of
    /// [`Options::pairs`]. [`super`] says what a score is. The memory it takes does not grow with the documents.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the argument and index; [`Error::Aborted`]; [`Error::WrongKernel`] if no
    /// kernel gives the right numbers on this adapter; faults of the device.
    pub async fn score(
        &self,
        gpu: &Gpu,
        queries: Tokens<'_>,
        documents: Tokens<'_>,
        options: Options<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let mut scores = check::zeros(check::arguments(&queries, &documents, &options)?)?;
        let mut kernels = self.kernels.lock().await;
        let index = self.compiled(gpu, &mut kernels, documents.form()).await?;
        let run = Run { gpu, kernels: &kernels[index], limits: self.limits, normalize: options.normalize };
        run.score(&queries, &documents, options.pairs, watch, &mut scores).await?;
        Ok(scores)
    }

    /// What each token of a query contributes to its score against a document, and which of the document's tokens it
    /// matched: one [`Match`] a query token, or none for an empty document. The similarities add up, in order, to the
    /// bits of the score. `watch` is asked whether to stop, and hears nothing.
    ///
    /// # Errors
    /// As [`Scorer::score`], where `pair` is `pairs[0]`.
    pub async fn explain(
        &self,
        gpu: &Gpu,
        [queries, documents]: [Tokens<'_>; 2],
        pair: (u32, u32),
        normalize: bool,
        watch: &dyn Watch,
    ) -> Result<Vec<Match>> {
        check::arguments(&queries, &documents, &Options { pairs: Some(&[pair]), normalize })?;
        let (query, document) = (queries.rows(pair.0 as usize), documents.rows(pair.1 as usize));
        // Every vector as an item of its own: then a score is a similarity.
        let counted: Vec<u64> = (0..=query.len().max(document.len()) as u64).collect();
        let rows = queries.apart(query.start, &counted[..=query.len()]);
        let mut matches: Vec<Match> = Vec::new();
        for first in document.clone().step_by((EXPLAINED / query.len()).max(1)) {
            let count = (EXPLAINED / query.len()).max(1).min(document.end - first);
            let columns = documents.apart(first, &counted[..=count]);
            let options = Options { pairs: None, normalize };
            let similarities = self.score(gpu, rows, columns, options, &Quiet(watch)).await?;
            for (i, row) in similarities.chunks_exact(count).enumerate() {
                for (token, &similarity) in ((first - document.start) as u32..).zip(row) {
                    match matches.get_mut(i) {
                        None => matches.push(Match { token, similarity }),
                        Some(best) if similarity > best.similarity => *best = Match { token, similarity },
                        Some(_) => {}
                    }
                }
            }
        }
        Ok(matches)
    }

    /// The index of the pipelines for `form`, compiled and checked if they are not yet there: those of the family that
    /// suits the adapter, or if they are wrong on it, the other's.
    async fn compiled(&self, gpu: &Gpu, kernels: &mut Vec<MaxSim>, form: TokenForm) -> Result<usize> {
        if let Some(index) = kernels.iter().position(|k| k.form() == form) {
            return Ok(index);
        }
        let families = match self.family {
            Some(family) => vec![family],
            None if gpu.adapter().software => vec![Family::Strip],
            None => vec![Family::Tile, Family::Strip],
        };
        let mut wrong = None;
        for family in families {
            let compiled = MaxSim::compile(gpu, family, form).await?;
            let run = Run { gpu, kernels: &compiled, limits: Limits::default(), normalize: false };
            match probe::check(&run).await {
                Ok(()) => {
                    kernels.push(compiled);
                    return Ok(kernels.len() - 1);
                }
                Err(error @ Error::WrongKernel { .. }) => wrong = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(wrong.unwrap_or_else(|| Error::Gpu { message: "no family of the MaxSim kernel".into() }))
    }
}

/// Cancels as another does, and keeps the progress of a part of a call to itself.
struct Quiet<'a>(&'a dyn Watch);

impl Watch for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

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
    data: wgpu::Buffer,
    scales: wgpu::Buffer,
    ends: wgpu::Buffer,
    strips: wgpu::Buffer,
    best: wgpu::Buffer,
}

impl Drop for Buffers {
    fn drop(&mut self) {
        let Self { queries, data, scales, ends, strips, best } = self;
        [queries, data, scales, ends, strips, best].into_iter().for_each(|b| b.destroy());
    }
}

impl Run<'_> {
    /// Fills `scores`, which are zeros.
    pub(super) async fn score(
        &self,
        queries: &Tokens<'_>,
        documents: &Tokens<'_>,
        pairs: Option<&[(u32, u32)]>,
        watch: &dyn Watch,
        scores: &mut [f32],
    ) -> Result<()> {
        let (wanted, empty) = Wanted::new(pairs, queries, documents);
        let padded = queries.dim.next_multiple_of(4);
        let pass_rows = self.limits.query_rows.min(QUERY_BYTES / (padded * 4)).clamp(1, queries.count().max(1));
        let [tokens, best] = wanted.room(queries, documents, pass_rows);
        let row_bytes = u64::from(self.kernels.form().row_bytes(documents.dim as u32));
        let fit = self.limits.shard_bytes.min(self.gpu.max_binding()) / row_bytes;
        let shard_tokens = (fit as usize).clamp(1, tokens.max(1));
        let scaled = documents.factor_of_any(self.normalize);
        let gpu = self.gpu;
        let words = |label: &str, count: usize| gpu.storage(label, count as u64 * 4);
        let buffers = Buffers {
            queries: words("queries", pass_rows * padded)?,
            data: gpu.storage("document tokens", shard_tokens as u64 * row_bytes)?,
            scales: words("token scales", if scaled { shard_tokens } else { 0 })?,
            ends: words("document ends", shard_tokens.min(documents.items()))?,
            strips: gpu.storage("strips", (STRIPS * size_of::<Strip>()) as u64)?,
            best: words("maxima", best.min(self.limits.best.max(pass_rows)))?,
        };
        let mut progress = (0, wanted.similarities(queries, documents));
        let mut run = Recorder::for_maxsim(gpu, self.kernels, watch);
        for pass in Pass::all(queries, pass_rows) {
            run.flush().await?;
            self.upload_queries(queries, &pass, &buffers.queries);
            for span in Group::spans(&wanted, &pass, self.limits.best) {
                let group = Group::new(&wanted, span, &pass, documents);
                for shard in group.shards(shard_tokens) {
                    run.flush().await?;
                    self.upload(&group, &shard, documents, &buffers, scaled);
                    self.shard(&mut run, &group, &shard, &buffers, scaled, documents.dim as u32, &mut progress.0)
                        .await?;
                    watch.progress(Progress::Score { done: progress.0, total: progress.1 });
                }
                self.sum(&mut run, &group, &buffers, scores).await?;
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
        let runs = group.rows(shard, documents);
        let (bytes, stored) = (documents.bytes(), documents.row_bytes());
        let row = self.kernels.form().row_bytes(documents.dim as u32) as usize;
        let mut at = 0;
        for rows in &runs {
            if row == stored {
                queue.write_buffer(&buffers.data, at, &bytes[rows.start * row..rows.end * row]);
                at += (rows.len() * row) as u64;
                continue;
            }
            let mut padded = Vec::with_capacity(STAGING.min(rows.len() * row) + row);
            for (left, from) in bytes[rows.start * stored..rows.end * stored].chunks_exact(stored).enumerate() {
                padded.extend_from_slice(from);
                padded.resize(padded.len().next_multiple_of(row), 0);
                if padded.len() >= STAGING || left + 1 == rows.len() {
                    queue.write_buffer(&buffers.data, at, &padded);
                    at += padded.len() as u64;
                    padded.clear();
                }
            }
        }
        if scaled {
            let factor = |t: usize| documents.factor(t, self.normalize).unwrap_or(1.0);
            let scales: Vec<f32> = runs.iter().cloned().flatten().map(factor).collect();
            queue.write_buffer(&buffers.scales, 0, bytemuck::cast_slice(&scales));
        }
        queue.write_buffer(&buffers.ends, 0, bytemuck::cast_slice(&group.ends(shard)));
    }

    /// Raises the maxima by one shard's tokens.
    #[expect(clippy::too_many_arguments, reason = "one call, split for its length")]
    async fn shard(
        &self,
        run: &mut Recorder<'_, MaxSim>,
        group: &Group,
        shard: &Shard,
        buffers: &Buffers,
        scaled: bool,
        dim: u32,
        done: &mut u64,
    ) -> Result<()> {
        let Buffers { queries, data, scales, ends, strips: table, best } = buffers;
        let shard_buffers = ShardBuffers { strips: table, queries, data, scales, scaled, ends, best };
        let family = self.kernels.family();
        let mut strips = group.strips(shard, family, family.strip_tokens(dim)).peekable();
        let mut batch = Vec::with_capacity(STRIPS);
        while strips.peek().is_some() {
            batch.clear();
            batch.extend(strips.by_ref().take(STRIPS));
            run.flush().await?;
            self.gpu.queue.write_buffer(table, 0, bytemuck::cast_slice(&batch));
            run.maxsim(&batch, group.rows, shard_buffers, dim);
            *done += batch.iter().map(|s| u64::from(s.end - s.token) * u64::from(s.rows)).sum::<u64>();
        }
        Ok(())
    }

    /// Adds a group's maxima to the scores.
    async fn sum(
        &self,
        run: &mut Recorder<'_, MaxSim>,
        group: &Group,
        buffers: &Buffers,
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
        run.maxsim_sum(&group.outputs, &table, &buffers.best, &sums);
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

impl Tokens<'_> {
    fn form(&self) -> TokenForm {
        match self.data {
            TokenData::Float32(_) => TokenForm::F32,
            TokenData::Float16(_) => TokenForm::F16,
            TokenData::Int8 { .. } => TokenForm::I8,
            TokenData::Binary(_) => TokenForm::B1,
        }
    }

    /// The data as it is stored.
    fn bytes(&self) -> &[u8] {
        match self.data {
            TokenData::Float32(data) => bytemuck::cast_slice(data),
            TokenData::Float16(data) => bytemuck::cast_slice(data),
            TokenData::Int8 { codes, .. } => bytemuck::cast_slice(codes),
            TokenData::Binary(data) => data,
        }
    }

    /// Bytes of a row of it.
    fn row_bytes(&self) -> usize {
        self.row_len()
            * match self.data {
                TokenData::Float32(_) => 4,
                TokenData::Float16(_) => 2,
                TokenData::Int8 { .. } | TokenData::Binary(_) => 1,
            }
    }

    /// Whether any token has a factor.
    fn factor_of_any(&self, normalize: bool) -> bool {
        normalize || matches!(self.data, TokenData::Int8 { scales: Some(_), .. })
    }
}
