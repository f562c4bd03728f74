//! What was found out, for people and as JSON.

use std::io::Write;
use std::path::Path;

use pplx_embed::Result;
use pplx_embed::evaluation::Measures;
use pplx_embed::top_k::TopK;

use super::dataset::Dataset;
use super::ids::IdOrder;
use crate::cli::{info, output};

/// Hits of a query that are reported.
const HITS: usize = 10;

/// One form at one size.
#[derive(serde::Serialize)]
pub(super) struct Measured {
    pub(super) form: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dimensions: Option<usize>,
    #[serde(flatten)]
    pub(super) mean: Measures,
    pub(super) queries: Vec<Asked>,
}

/// One query.
#[derive(serde::Serialize)]
pub(super) struct Asked {
    id: String,
    #[serde(flatten)]
    measures: Measures,
    /// Ids and scores.
    hits: Vec<(String, f32)>,
}

impl Measured {
    /// Of the best hits of every query.
    pub(super) fn new(
        form: &'static str,
        dimensions: Option<usize>,
        set: &Dataset,
        ids: &IdOrder,
        tops: Vec<TopK<u32>>,
    ) -> Self {
        let asked = |(query, top): (&super::dataset::Query, TopK<u32>)| {
            let hits = ids.items(top);
            let ranked: Vec<i64> = hits.iter().map(|(_, item)| query.judged.get(item).copied().unwrap_or(0)).collect();
            let shown = hits.iter().take(HITS);
            Asked {
                id: query.id.clone(),
                measures: Measures::of(&ranked, &query.judgements),
                hits: shown.map(|&(score, item)| (set.items[item as usize].clone(), score)).collect(),
            }
        };
        let queries: Vec<Asked> = set.queries.iter().zip(tops).map(asked).collect();
        let each: Vec<Measures> = queries.iter().map(|q| q.measures).collect();
        Self { form, dimensions, mean: Measures::mean(&each), queries }
    }
}

/// A table, or lines of JSON.
///
/// # Errors
/// [`pplx_embed::Error::Io`] if nobody reads it.
pub(super) fn print(measured: &[Measured], json: bool) -> Result<()> {
    if json {
        return output::json_lines(measured.iter().map(|m| {
            let mut line = serde_json::json!(m);
            line["queries"] = m.queries.len().into();
            line
        }));
    }
    info::print("form    dims  nDCG@10  recall@100  MRR@10  queries")?;
    for Measured { form, dimensions, mean, queries } in measured {
        let dimensions = dimensions.map_or(String::new(), |d| d.to_string());
        let Measures { ndcg_at_10, recall_at_100, mrr_at_10 } = mean;
        info::print(&format!(
            "{form:<6}  {dimensions:>4}  {ndcg_at_10:>7.4}  {recall_at_100:>10.4}  {mrr_at_10:>6.4}  {:>7}",
            queries.len()
        ))?;
    }
    Ok(())
}

/// The whole report, under its name once it is whole.
///
/// # Errors
/// [`pplx_embed::Error::Io`].
pub(super) fn write(path: &Path, mut about: serde_json::Value, measured: &[Measured]) -> Result<()> {
    about["results"] = serde_json::json!(measured);
    output::whole(path, |file| {
        serde_json::to_writer(&mut *file, &about)?;
        writeln!(file)
    })
}
