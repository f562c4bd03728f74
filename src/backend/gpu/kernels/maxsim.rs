//! MaxSim: documents are cut into strips of consecutive tokens, and each strip raises the maxima it has a part in.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::MAX_GROUPS;
use crate::backend::gpu::kernel::Pipeline;
use crate::backend::gpu::{GpuBuffer, Recorder};
use crate::backend::ops::{MaxSimJob, MaxSimShard, MaximaSum, Operation};
use crate::error::Result;
use crate::numbers::RowFormat;

/// Strips that are uploaded together.
const STRIPS: usize = 32_768;
/// Most tokens of a strip that a thread has for itself.
const STRIP_TOKENS: u32 = 64;
/// Most loop iterations of a thread; llvmpipe ends loops after 65,535.
const ITERATIONS: u32 = 16_384;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    k4: u32,
    stride: u32,
    scaled: u32,
    first_strip: u32,
    end_strip: u32,
    first_block: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct SumParams {
    outputs: u32,
}

/// Consecutive tokens of a shard, and the query rows they are compared with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Strip {
    /// Its first row in the shard's buffer.
    token: u32,
    /// The row after its last.
    end: u32,
    /// The document of its first token.
    doc: u32,
    /// Where in the maxima that document's rows begin.
    best: u32,
    /// Its first query row.
    query: u32,
    /// Its query rows, which is also the distance of two documents in the maxima.
    rows: u32,
}

/// How a family cuts strips, told by what its shader binds.
#[derive(Clone, Copy)]
enum Cut {
    /// Strips run across the ends of documents, which the shader reads from a table.
    AcrossDocuments {
        /// Tokens: what a workgroup takes.
        tokens: u32,
    },
    /// A strip is a piece of one document.
    WithinDocuments {
        /// Most tokens: fewer than [`STRIP_TOKENS`] where a thread would loop for too long.
        tokens: u32,
    },
}

impl Cut {
    fn of(pipeline: &Pipeline, dim: u32) -> Self {
        // The table of ends is the sixth buffer.
        if pipeline.shader.buffers.len() == 6 {
            return Self::AcrossDocuments { tokens: pipeline.shader.constant("TOKENS") };
        }
        Self::WithinDocuments { tokens: (ITERATIONS / dim.div_ceil(4)).clamp(1, STRIP_TOKENS / 4) * 4 }
    }

    /// The strips of one job.
    fn strips<'a>(self, shard: &MaxSimShard<'a>, job: &'a MaxSimJob) -> impl Iterator<Item = Strip> + use<'a> {
        let documents = shard.documents;
        let whole = match self {
            Self::AcrossDocuments { .. } => stretches(documents, job.documents.clone()),
            Self::WithinDocuments { .. } => job.documents.clone().map(|d| d..d + 1).collect(),
        };
        whole.into_iter().flat_map(move |docs| {
            let (from, to) = (documents[docs.start].start, documents[docs.end - 1].end);
            let each = match self {
                Self::AcrossDocuments { tokens } => tokens,
                Self::WithinDocuments { tokens } => (to - from).div_ceil((to - from).div_ceil(tokens)),
            };
            (from..to).step_by(each as usize).map(move |token| {
                let doc = docs.start + documents[docs.clone()].partition_point(|d| d.end <= token);
                Strip {
                    token,
                    end: to.min(token + each),
                    doc: doc as u32,
                    best: job.best + (doc - job.documents.start) as u32 * job.rows,
                    query: job.query,
                    rows: job.rows,
                }
            })
        })
    }
}

/// The runs of documents without rows of others between them.
fn stretches(documents: &[Range<u32>], of: Range<usize>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for d in of {
        match found.last_mut() {
            Some(last) if documents[last.end - 1].end == documents[d].start => last.end = d + 1,
            _ => found.push(d..d + 1),
        }
    }
    found
}

/// Elements of a document row, as the shaders count its stride: float32 and float16 rows are read four numbers at a time,
/// others a word at a time.
fn stride(format: RowFormat, dim: u32) -> u32 {
    let element = match format {
        RowFormat::Float32 => 16,
        RowFormat::Float16 => 8,
        RowFormat::Int8 | RowFormat::Binary => 4,
    };
    format.padded_bytes(dim) / element
}

impl Recorder<'_> {
    /// See [`crate::backend::Run::maxsim`]. The buffers are the queries, the rows and the maxima.
    pub async fn maxsim(
        &mut self,
        format: RowFormat,
        shard: MaxSimShard<'_>,
        [queries, data, best]: [&GpuBuffer; 3],
        scales: Option<&GpuBuffer>,
    ) -> Result<()> {
        let kernel = self.kernel(Operation::MaxSim(format))?;
        let pipeline = &kernel.pipelines[0];
        let cut = Cut::of(pipeline, shard.dim);
        let none = self.scratch("no scales", 4)?;
        let table = self.scratch("strips", (STRIPS * size_of::<Strip>()) as u64)?;
        let mut buffers = vec![&*table, queries, data, scales.unwrap_or(&none), best];
        let ends = self.scratch("document ends", shard.documents.len() as u64 * 4)?;
        // What earlier dispatches read from the tables has to be on its way before they are written again.
        self.flush().await?;
        if matches!(cut, Cut::AcrossDocuments { .. }) {
            let all: Vec<u32> = shard.documents.iter().map(|d| d.end).collect();
            ends.write(0, bytemuck::cast_slice(&all));
            buffers.push(&ends);
        }
        let params = Params {
            k4: shard.dim.div_ceil(4),
            stride: stride(format, shard.dim),
            scaled: u32::from(scales.is_some()),
            first_strip: 0,
            end_strip: 0,
            first_block: 0,
        };
        let rows = shard.jobs.iter().map(|job| job.rows).max().unwrap_or(0);
        let mut strips = shard.jobs.iter().flat_map(|job| cut.strips(&shard, job)).peekable();
        let mut batch = Vec::with_capacity(STRIPS);
        while strips.peek().is_some() {
            batch.clear();
            batch.extend(strips.by_ref().take(STRIPS));
            self.flush().await?;
            table.write(0, bytemuck::cast_slice(&batch));
            self.strips(pipeline, &batch, rows, params, &buffers, shard.dim)?;
        }
        Ok(())
    }

    /// Dispatches for the strips in the table, none of which has more than `rows` query rows.
    fn strips(
        &mut self,
        pipeline: &Pipeline,
        strips: &[Strip],
        rows: u32,
        params: Params,
        buffers: &[&GpuBuffer],
        dim: u32,
    ) -> Result<()> {
        let block = pipeline.shader.constant("ROWS");
        // A workgroup takes one strip, or each of its threads does.
        let strips_each = if buffers.len() == 6 { 1 } else { pipeline.shader.workgroup[0] };
        let blocks = rows.div_ceil(block);
        // A dispatch has no more work than a submission is meant to have, and no more workgroups than are allowed.
        let longest = strips.iter().map(|s| s.end - s.token).max().unwrap_or(1);
        let room = self.budget() / (f64::from(block) * f64::from(longest) * f64::from(dim));
        let together = (room / f64::from(blocks)).clamp(f64::from(strips_each), f64::from(MAX_GROUPS)) as u32;
        let blocks_each = (room / f64::from(together)).clamp(1.0, f64::from(blocks)) as u32;
        for first_strip in (0..strips.len() as u32).step_by(together as usize) {
            let end_strip = (first_strip + together).min(strips.len() as u32);
            let here = &strips[first_strip as usize..end_strip as usize];
            let tokens = here.iter().map(|s| f64::from(s.end - s.token)).sum::<f64>();
            for first_block in (0..blocks).step_by(blocks_each as usize) {
                let blocks = blocks_each.min(blocks - first_block);
                let params = Params { first_strip, end_strip, first_block, ..params };
                let groups = [(end_strip - first_strip).div_ceil(strips_each), blocks, 1];
                let work = tokens * f64::from(blocks * block) * f64::from(dim);
                self.push(pipeline, params, buffers, groups, work)?;
            }
        }
        Ok(())
    }

    /// See [`crate::backend::Run::maxsim_sum`]. The buffers are the table of sums, the maxima and the scores.
    pub fn maxsim_sum(&mut self, format: RowFormat, sums: &[MaximaSum], buffers: [&GpuBuffer; 3]) -> Result<()> {
        let kernel = self.kernel(Operation::MaxSim(format))?;
        let pipeline = &kernel.pipelines[1];
        let work = sums.iter().map(|sum| f64::from(sum.rows)).sum();
        let groups = [(sums.len() as u32).div_ceil(pipeline.shader.workgroup[0]), 1, 1];
        self.push(pipeline, SumParams { outputs: sums.len() as u32 }, &buffers, groups, work)
    }
}
