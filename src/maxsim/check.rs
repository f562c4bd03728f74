//! What may be scored.

use super::documents::Documents;
use super::{Options, TokenVectors};
use crate::error::{Error, Result};

/// Checks everything that a caller could get wrong, and gives the number of scores.
///
/// # Errors
/// [`Error::InvalidArgument`] naming the argument and index.
pub(super) fn arguments(queries: &TokenVectors<'_>, documents: &Documents<'_>, options: &Options<'_>) -> Result<usize> {
    let peaks = [queries.check("queries")?, documents.check("documents")?];
    if documents.dim() != queries.dim {
        let message = format!("{}, allowed is {}, as the queries have", documents.dim(), queries.dim);
        return Err(Error::argument("documents.dim", message));
    }
    let counts = [("queries", queries.items()), ("documents", documents.ragged().items())];
    for (name, items) in counts {
        if u32::try_from(items).is_err() {
            return Err(Error::argument(name, format!("has {items} items, allowed are {}", u32::MAX)));
        }
    }
    let [query_count, document_count] = counts.map(|(_, items)| items);
    if let Some(i) = (0..queries.items()).find(|&i| queries.rows(i).is_empty()) {
        return Err(Error::argument(format!("queries[{i}]"), "has no tokens, allowed is at least one"));
    }
    magnitude(queries, peaks, options.normalize)?;
    let Some(pairs) = options.pairs else {
        let scores = query_count.checked_mul(document_count);
        return scores.ok_or_else(|| Error::argument("documents", "make more scores than can be counted"));
    };
    for (i, &(query, document)) in pairs.iter().enumerate() {
        for (what, index, items) in [("query", query, query_count), ("document", document, document_count)] {
            if index as usize >= items {
                let allowed = if items == 0 { "none".into() } else { format!("0 to {}", items - 1) };
                return Err(Error::argument(format!("pairs[{i}]"), format!("{what} {index}, allowed is {allowed}")));
            }
        }
    }
    Ok(pairs.len())
}

/// Nothing on the way to a score may leave float32, of which WGSL may assume that it does not happen.
fn magnitude(queries: &TokenVectors<'_>, peaks: [[f64; 2]; 2], normalize: bool) -> Result<()> {
    let [[q, q_factor], [d, d_factor]] = peaks;
    let longest = (0..queries.items()).map(|i| queries.rows(i).len()).max().unwrap_or(0);
    let (q, d_factor) = if normalize { (1.0, 1.0) } else { (q * q_factor, d_factor.max(1.0)) };
    let highest = q * d * d_factor * queries.dim as f64 * longest.max(1) as f64;
    if highest > f64::from(f32::MAX) {
        let (d, q) = (d as f32, q as f32);
        let message = format!("numbers of up to {d:e} with queries of up to {q:e} may make scores beyond float32");
        return Err(Error::argument("documents", message));
    }
    Ok(())
}

/// `count` zeros, if there is memory for them.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(super) fn zeros(count: usize) -> Result<Vec<f32>> {
    let mut scores = Vec::new();
    let room = scores.try_reserve_exact(count);
    room.map_err(|e| Error::OutOfMemory { message: format!("{count} scores: {e}") })?;
    scores.resize(count, 0.0);
    Ok(scores)
}
