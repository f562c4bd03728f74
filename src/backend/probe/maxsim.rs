use super::{Probe, values};
use crate::backend::ops::{MaxSimJob, MaxSimRows, MaxSimShard, MaximaSum};
use crate::backend::{Backend, Kernels};
use crate::error::Result;
use crate::numbers::{RowBuf, RowFormat};
use crate::reference;

/// Query rows, documents and tokens of each that a timing takes.
const TIMED: [u32; 3] = [32, 128, 300];

/// Scores of two queries against documents of 1 to 150 tokens of `dim` dimensions, one with only negative similarities,
/// another left out; with scales where rows have them.
///
/// # Errors
/// [`crate::Error::WrongKernel`], or a fault of the device.
pub async fn maxsim(probe: &Probe<'_>, format: RowFormat, dim: u32) -> Result<()> {
    let (width, backend) = (dim as usize, probe.backend);
    let queries = values(21, 34 * width);
    let mut floats = values(22, 158 * width);
    floats[157 * width..].iter_mut().zip(&queries).for_each(|(d, q)| *d = -q);
    let rows = RowBuf::from_floats(floats, width, format);
    // Rows 153 to 156 belong to a document that nobody asks for.
    let documents = [0..3, 3..153, 157..158];
    let jobs = [
        MaxSimJob { documents: 0..3, query: 0, rows: 1, best: 0 },
        MaxSimJob { documents: 1..3, query: 1, rows: 33, best: 3 },
    ];
    let sums: Vec<MaximaSum> = (0..3)
        .map(|d| MaximaSum { best: d, rows: 1 })
        .chain((0..2).map(|d| MaximaSum { best: 3 + d * 33, rows: 33 }))
        .collect();

    let mut wide = Vec::new();
    for row in queries.chunks_exact(width) {
        wide.extend_from_slice(row);
        wide.resize(wide.len().next_multiple_of(4), 0.0);
    }
    let mut padded = Vec::new();
    format.pad_rows(rows.as_data().bytes(), dim, &mut padded);
    let (q, data) = (backend.buffer_of("queries", &wide)?, backend.buffer_of("documents", &padded)?);
    let scales = rows.as_data().scales().map(|scales| backend.buffer_of("scales", scales)).transpose()?;
    let best = backend.buffer("maxima", (3 + 66) * 4)?;
    let (table, scores) = (backend.buffer_of("sums", &sums)?, backend.buffer("scores", sums.len() as u64 * 4)?);
    let mut run = backend.run(probe.kernels, &())?;
    let shard = MaxSimShard { dim, documents: &documents, jobs: &jobs };
    let there = MaxSimRows::Device { data: &data, factors: scales.as_ref() };
    run.maxsim(format, shard, [&q, &best], there).await?;
    run.maxsim_sum(format, &sums, [&table, &best, &scores])?;
    run.finish().await?;

    let mut held = Vec::new();
    for t in 0..158 {
        let from = held.len();
        rows.as_data().widen_row(t, width, &mut held);
        let scale = rows.as_data().scales().map_or(1.0, |scales| scales[t]);
        held[from..].iter_mut().for_each(|v| *v *= scale);
    }
    let mut expected = Vec::new();
    for job in &jobs {
        let query = &queries[job.query as usize * width..(job.query + job.rows) as usize * width];
        for document in &documents[job.documents.clone()] {
            let tokens = &held[document.start as usize * width..document.end as usize * width];
            let matches = reference::maxsim(query, tokens, width);
            expected.push(matches.iter().flatten().map(|m| m.0).sum::<f64>() as f32);
        }
    }
    let got: Vec<f32> = bytemuck::pod_collect_to_vec(&scores.read(0, sums.len() as u64 * 4).await?);
    probe.compare(&format!("maxsim {}", format.name()), &got, &expected)?;
    if !backend.reads_host_memory() {
        return Ok(());
    }
    let (data, scores) = (rows.as_data(), backend.buffer("scores", sums.len() as u64 * 4)?);
    let mut run = backend.run(probe.kernels, &())?;
    run.maxsim(format, shard, [&q, &best], MaxSimRows::Host { data, factors: data.scales() }).await?;
    run.maxsim_sum(format, &sums, [&table, &best, &scores])?;
    run.finish().await?;
    let got: Vec<f32> = bytemuck::pod_collect_to_vec(&scores.read(0, sums.len() as u64 * 4).await?);
    probe.compare(&format!("maxsim {} in place", format.name()), &got, &expected)
}

/// One query against documents of ordinary size, to be timed.
///
/// # Errors
/// A fault of the device.
pub(super) async fn exercise(backend: &Backend, kernels: &Kernels, format: RowFormat) -> Result<()> {
    const DIM: u32 = 128;
    let [rows, documents, tokens] = TIMED;
    let queries = backend.buffer_of("queries", &values(24, (rows * DIM) as usize))?;
    let data = backend.buffer("documents", u64::from(documents * tokens * format.padded_bytes(DIM)))?;
    let best = backend.buffer("maxima", u64::from(documents * rows) * 4)?;
    let spans: Vec<_> = (0..documents).map(|d| d * tokens..(d + 1) * tokens).collect();
    let jobs = [MaxSimJob { documents: 0..spans.len(), query: 0, rows, best: 0 }];
    let mut run = backend.run(kernels, &())?;
    let shard = MaxSimShard { dim: DIM, documents: &spans, jobs: &jobs };
    run.maxsim(format, shard, [&queries, &best], MaxSimRows::Device { data: &data, factors: None }).await?;
    run.finish().await
}
