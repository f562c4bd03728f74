//! One call on a backend, piece by piece.

use super::TokenVectors;
use super::documents::Documents;
use super::plan::{DocumentGroup, PieceSizes, QueryPass, WantedScores};
use super::source::Source;
use crate::backend::{Backend, Buffer, Kernels, MaxSimShard, Run};
use crate::error::Result;
use crate::progress::{Progress, Watch};

/// Bytes of query rows in a pass.
const QUERY_BYTES: usize = 16 << 20;

/// One call on one device.
pub(super) struct Scoring<'a> {
    pub(super) backend: &'a Backend,
    pub(super) kernels: &'a Kernels,
    pub(super) sizes: PieceSizes,
    pub(super) normalize: bool,
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
        let words = |label: &str, count: usize| self.backend.buffer(label, count as u64 * 4);
        let (queries_there, best) =
            (words("queries", pass_rows * padded)?, words("maxima", best.min(self.sizes.best.max(pass_rows)))?);
        let mut source = Source::new(self.backend, documents, self.normalize, self.sizes.shard_bytes, tokens)?;
        let (mut done, total) = (0, wanted.similarities(queries.ragged(), rows));
        let mut run = self.backend.run(self.kernels, watch)?;
        for pass in QueryPass::all(queries.ragged(), pass_rows) {
            run.flush().await?;
            self.upload_queries(queries, &pass, &queries_there);
            for span in DocumentGroup::spans(&wanted, &pass, self.sizes.best) {
                let group = DocumentGroup::new(&wanted, span, &pass, rows, source.placement());
                for shard in group.shards(source.shard_tokens()) {
                    run.flush().await?;
                    let tokens = source.rows(&group, &shard);
                    let (documents, jobs) = group.work(&shard);
                    let work = MaxSimShard { dim, documents: &documents, jobs: &jobs };
                    run.maxsim(format, work, [&queries_there, &best], tokens).await?;
                    let tokens = |of: &[std::ops::Range<u32>]| of.iter().map(|d| d.len() as u64).sum::<u64>();
                    done +=
                        jobs.iter().map(|j| tokens(&documents[j.documents.clone()]) * u64::from(j.rows)).sum::<u64>();
                    watch.progress(Progress::Score { done, total });
                }
                self.sum(&mut run, &group, format, &best, scores).await?;
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
