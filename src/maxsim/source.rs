//! The document tokens of a call, a shard at a time: uploaded to memory that is used again, or read where they are.

use super::TokenVectors;
use super::documents::{Documents, Resident};
use super::plan::{DocumentGroup, Placement, TokenShard};
use crate::backend::{Backend, Buffer, MaxSimRows};
use crate::error::Result;

/// Bytes of rows that are padded before they are uploaded.
const STAGING: usize = 1 << 20;

/// Where shards come from.
pub(super) struct Source<'a> {
    normalize: bool,
    shard_tokens: usize,
    way: Way<'a>,
}

enum Way<'a> {
    /// To these buffers, padded, end to end.
    Uploaded { tokens: TokenVectors<'a>, data: Buffer, factors: Option<Buffer> },
    /// The engine reads the caller's memory; the factors of a shard, where they have to be computed.
    Lent { tokens: TokenVectors<'a>, factors: Vec<f32> },
    /// They are on the device.
    Resident(Resident<'a>),
}

impl<'a> Source<'a> {
    /// Of shards of at most `bytes`; no group has more than `most` tokens.
    ///
    /// # Errors
    /// If there is no room on the device.
    pub(super) fn new(
        backend: &Backend,
        documents: Documents<'a>,
        normalize: bool,
        bytes: u64,
        most: usize,
    ) -> Result<Self> {
        let row = u64::from(documents.format().padded_bytes(documents.dim() as u32));
        let shard_tokens = ((bytes.min(backend.limits().buffer_bytes) / row) as usize).max(1);
        let (shard_tokens, way) = match documents {
            Documents::Host(tokens) if backend.reads_host_memory() => {
                (shard_tokens, Way::Lent { tokens, factors: Vec::new() })
            }
            Documents::Host(tokens) => {
                let staged = shard_tokens.min(most.max(1));
                let data = backend.buffer("document tokens", staged as u64 * row)?;
                let scaled = tokens.factor_of_any(normalize);
                let factors = scaled.then(|| backend.buffer("token scales", staged as u64 * 4)).transpose()?;
                (staged, Way::Uploaded { tokens, data, factors })
            }
            Documents::Device(resident) => (usize::MAX, Way::Resident(resident)),
        };
        Ok(Self { normalize, shard_tokens, way })
    }

    pub(super) fn placement(&self) -> Placement {
        match self.way {
            Way::Uploaded { .. } => Placement::Packed,
            Way::Lent { .. } => Placement::Lent,
            Way::Resident(_) => Placement::Resident,
        }
    }

    /// Most tokens of a shard.
    pub(super) fn shard_tokens(&self) -> usize {
        self.shard_tokens
    }

    /// The rows of a shard, which are those of the shard before no longer.
    pub(super) fn rows(&mut self, group: &DocumentGroup, shard: &TokenShard) -> MaxSimRows<'_> {
        let normalize = self.normalize;
        match &mut self.way {
            Way::Uploaded { tokens, data, factors } => {
                upload(tokens, group, shard, data, factors.as_ref(), normalize);
                MaxSimRows::Device { data, factors: factors.as_ref() }
            }
            Way::Lent { tokens, factors } => {
                let data = tokens.data.rows(shard.tokens.clone(), tokens.dim);
                if !normalize {
                    return MaxSimRows::Host { data, factors: data.scales() };
                }
                // Of rows between documents nobody asks.
                factors.clear();
                factors.resize(shard.tokens.len(), 1.0);
                for t in group.rows(shard, tokens.ragged()).into_iter().flatten() {
                    factors[t - shard.tokens.start] = tokens.factor(t, true).unwrap_or(1.0);
                }
                MaxSimRows::Host { data, factors: Some(factors) }
            }
            Way::Resident(resident) => MaxSimRows::Device { data: resident.data, factors: resident.scales },
        }
    }
}

/// Writes the rows of a shard to buffers, end to end.
fn upload(
    documents: &TokenVectors<'_>,
    group: &DocumentGroup,
    shard: &TokenShard,
    data: &Buffer,
    factors: Option<&Buffer>,
    normalize: bool,
) {
    let runs = group.rows(shard, documents.ragged());
    let (format, dim) = (documents.format(), documents.dim as u32);
    let (bytes, stored, row) =
        (documents.data.bytes(), format.row_bytes(dim) as usize, format.padded_bytes(dim) as usize);
    let (mut at, mut padded) = (0, Vec::new());
    for rows in &runs {
        let run = &bytes[rows.start * stored..rows.end * stored];
        if row == stored {
            data.write(at, run);
            at += run.len() as u64;
            continue;
        }
        for part in run.chunks((STAGING / row).max(1) * stored) {
            padded.clear();
            format.pad_rows(part, dim, &mut padded);
            data.write(at, &padded);
            at += padded.len() as u64;
        }
    }
    if let Some(buffer) = factors {
        let factor = |t: usize| documents.factor(t, normalize).unwrap_or(1.0);
        let factors: Vec<f32> = runs.iter().cloned().flatten().map(factor).collect();
        buffer.write(0, &factors);
    }
}
