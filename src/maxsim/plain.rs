//! MaxSim in a plain loop, for where there is no GPU: sums are made in float64 and rounded once.

use super::documents::Documents;
use super::plan::Wanted;
use super::{Match, Options, Tokens, check};
use crate::cpu;
use crate::error::{Error, Result};
use crate::watch::{Progress, Watch};

/// [`super::Scorer::score`] without a GPU.
///
/// # Errors
/// As there, but for faults of a device.
pub fn score_on_cpu(
    queries: Tokens<'_>,
    documents: Tokens<'_>,
    options: Options<'_>,
    watch: &dyn Watch,
) -> Result<Vec<f32>> {
    let mut scores = check::zeros(check::arguments(&queries, &Documents::Host(documents), &options)?)?;
    let (wanted, empty) = Wanted::new(options.pairs, queries.ragged(), documents.ragged());
    empty.into_iter().for_each(|place| scores[place] = f32::NEG_INFINITY);
    let widened: Vec<_> = (0..queries.items()).map(|q| vectors(&queries, q, options.normalize)).collect();
    let (mut done, total) = (0, wanted.similarities(queries.ragged(), documents.ragged()));
    // By document, so that each is widened once.
    for (doc, queries_and_places) in wanted.by_document(queries.items(), documents.items()) {
        let document = vectors(&documents, doc, options.normalize);
        for (query, place) in queries_and_places {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            let matches = cpu::maxsim(&widened[query], &document, documents.dim);
            scores[place] = matches.iter().flatten().map(|m| m.0).sum::<f64>() as f32;
            done += queries.rows(query).len() as u64 * documents.rows(doc).len() as u64;
        }
        // A pair that is asked for twice counts once.
        watch.progress(Progress::Score { done: done.min(total), total });
    }
    Ok(scores)
}

/// [`super::Scorer::explain`] without a GPU.
///
/// # Errors
/// As there, but for faults of a device.
pub fn explain_on_cpu([queries, documents]: [Tokens<'_>; 2], pair: (u32, u32), normalize: bool) -> Result<Vec<Match>> {
    check::arguments(&queries, &Documents::Host(documents), &Options { pairs: Some(&[pair]), normalize })?;
    let query = vectors(&queries, pair.0 as usize, normalize);
    let document = vectors(&documents, pair.1 as usize, normalize);
    let matches = cpu::maxsim(&query, &document, documents.dim).into_iter().flatten();
    Ok(matches.map(|(similarity, token)| Match { token: token as u32, similarity: similarity as f32 }).collect())
}

/// The vectors of item `i`, one after another.
fn vectors(tokens: &Tokens<'_>, i: usize, normalize: bool) -> Vec<f32> {
    let mut vectors = Vec::with_capacity(tokens.rows(i).len() * tokens.dim);
    tokens.rows(i).for_each(|t| tokens.widen(t, normalize, &mut vectors));
    vectors
}
