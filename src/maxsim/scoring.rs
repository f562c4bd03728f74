//! One call on a backend: uploads a piece, scores it, uses the memory again.

use super::TokenVectors;
use super::documents::Documents;
use super::plan::{DocumentGroup, PieceSizes, Placement, QueryPass, TokenShard, WantedScores};
use crate::backend::{Backend, Buffer, Kernels, MaxSimShard, Run};
use crate::error::Result;
use crate::progress::{Progress, Watch};

/// Bytes of rows that are padded before they are uploaded.
const STAGING: usize = 1 << 20;
/// Bytes of query rows in a pass.
const QUERY_BYTES: usize = 16 << 20;

/// One call on one device.
pub(super) struct Scoring<'a> {
    pub(super) backend: &'a Backend,
    pub(super) kernels: &'a Kernels,
    pub(super) sizes: PieceSizes,
    pub(super) normalize: bool,
}

/// The buffers of a call.
struct ScoringBuffers {
    queries: Buffer,
    best: Buffer,
    /// Those that document tokens are uploaded to.
    data: Buffer,
    scales: Option<Buffer>,
}

impl Scoring<'_> {
    /// Fills `scores`, which are zeros.
    pub(super) async fn score(
        &self,
        queries: &TokenVectors<'_>,
        documents: Documents<'_>,
        pairs: Option<&[(u32, u32)]>,
        watch: &dyn Watch,
        scores: &mut [f32],
    ) -> Result<()> {
        let (rows, format, dim) = (documents.ragged(), documents.format(), documents.dim() as u32);
        let (wanted, empty) = WantedScores::new(pairs, queries.ragged(), rows);
        let padded = queries.dim.next_multiple_of(4);
        let pass_rows = self.sizes.query_rows.min(QUERY_BYTES / (padded * 4)).clamp(1, queries.count().max(1));
        let [tokens, best] = wanted.room(queries.ragged(), rows, pass_rows);
        let row_bytes = u64::from(format.padded_bytes(dim));
        let (placement, shard_tokens, staged, scaled) = match &documents {
            Documents::Host(tokens_of) => {
                let fit = self.sizes.shard_bytes.min(self.backend.limits().buffer_bytes) / row_bytes;
                let shard_tokens = (fit as usize).clamp(1, tokens.max(1));
                (Placement::Packed, shard_tokens, shard_tokens, tokens_of.factor_of_any(self.normalize))
            }
            Documents::Device(_) => (Placement::Resident, usize::MAX, 0, false),
        };
        let words = |label: &str, count: usize| self.backend.buffer(label, count as u64 * 4);
        let buffers = ScoringBuffers {
            queries: words("queries", pass_rows * padded)?,
            best: words("maxima", best.min(self.sizes.best.max(pass_rows)))?,
            data: self.backend.buffer("document tokens", staged as u64 * row_bytes)?,
            scales: scaled.then(|| words("token scales", staged)).transpose()?,
        };
        // With the documents that are uploaded, or with those that are there.
        let (data, scales) = match &documents {
            Documents::Host(_) => (&buffers.data, buffers.scales.as_ref()),
            Documents::Device(resident) => (resident.data, resident.scales),
        };
        let (mut done, total) = (0, wanted.similarities(queries.ragged(), rows));
        let mut run = self.backend.run(self.kernels, watch)?;
        for pass in QueryPass::all(queries.ragged(), pass_rows) {
            run.flush().await?;
            self.upload_queries(queries, &pass, &buffers.queries);
            for span in DocumentGroup::spans(&wanted, &pass, self.sizes.best) {
                let group = DocumentGroup::new(&wanted, span, &pass, rows, placement);
                for shard in group.shards(shard_tokens) {
                    run.flush().await?;
                    if let Documents::Host(tokens) = &documents {
                        self.upload(&group, &shard, tokens, &buffers);
                    }
                    let (documents, jobs) = group.work(&shard);
                    let work = MaxSimShard { dim, documents: &documents, jobs: &jobs };
                    run.maxsim(format, work, [&buffers.queries, data, &buffers.best], scales).await?;
                    let tokens = |of: &[std::ops::Range<u32>]| of.iter().map(|d| d.len() as u64).sum::<u64>();
                    done +=
                        jobs.iter().map(|j| tokens(&documents[j.documents.clone()]) * u64::from(j.rows)).sum::<u64>();
                    watch.progress(Progress::Score { done, total });
                }
                self.sum(&mut run, &group, documents.format(), &buffers.best, scores).await?;
            }
        }
        run.finish().await?;
        empty.into_iter().for_each(|place| scores[place] = f32::NEG_INFINITY);
        Ok(())
    }

    fn upload_queries(&self, queries: &TokenVectors<'_>, pass: &QueryPass, buffer: &Buffer) {
        let mut rows = Vec::with_capacity(pass.rows.len() * queries.dim.next_multiple_of(4));
        for t in pass.rows.clone() {
            queries.widen(t, self.normalize, &mut rows);
            rows.resize(rows.len().next_multiple_of(4), 0.0);
        }
        buffer.write(0, &rows);
    }

    fn upload(
        &self,
        group: &DocumentGroup,
        shard: &TokenShard,
        documents: &TokenVectors<'_>,
        buffers: &ScoringBuffers,
    ) {
        let runs = group.rows(shard, documents.ragged());
        let (format, dim) = (documents.format(), documents.dim as u32);
        let (bytes, stored, row) =
            (documents.data.bytes(), format.row_bytes(dim) as usize, format.padded_bytes(dim) as usize);
        let (mut at, mut padded) = (0, Vec::new());
        for rows in &runs {
            let run = &bytes[rows.start * stored..rows.end * stored];
            if row == stored {
                buffers.data.write(at, run);
                at += run.len() as u64;
                continue;
            }
            for part in run.chunks((STAGING / row).max(1) * stored) {
                padded.clear();
                format.pad_rows(part, dim, &mut padded);
                buffers.data.write(at, &padded);
                at += padded.len() as u64;
            }
        }
        if let Some(buffer) = &buffers.scales {
            let factor = |t: usize| documents.factor(t, self.normalize).unwrap_or(1.0);
            let scales: Vec<f32> = runs.iter().cloned().flatten().map(factor).collect();
            buffer.write(0, &scales);
        }
    }

    /// Adds a group's maxima to the scores.
    async fn sum(
        &self,
        run: &mut Run<'_>,
        group: &DocumentGroup,
        format: crate::numbers::RowFormat,
        best: &Buffer,
        scores: &mut [f32],
    ) -> Result<()> {
        if group.outputs.is_empty() {
            return Ok(());
        }
        let mut sums = vec![0.0; group.outputs.len()];
        for &(output, place) in &group.places {
            sums[output] = scores[place];
        }
        let table = self.backend.buffer_of("sums", &group.outputs)?;
        let sums = self.backend.buffer_of("scores", &sums)?;
        run.maxsim_sum(format, &group.outputs, [&table, best, &sums])?;
        run.flush().await?;
        let read: Vec<f32> = bytemuck::pod_collect_to_vec(&sums.read(0, group.outputs.len() as u64 * 4).await?);
        for &(output, place) in &group.places {
            scores[place] = read[output];
        }
        Ok(())
    }
}
