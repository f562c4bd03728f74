//! What `eval` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::arguments::Common;

#[derive(Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) common: Common,
    /// A folder in BEIR's format: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv. A line of the corpus has `_id`, perhaps
    /// `title`, and `text`, or `chunks`: an array of strings.
    #[arg(long)]
    pub(crate) dataset: PathBuf,
    /// Which of qrels/*.tsv; test by default, or the only one.
    #[arg(long)]
    pub(crate) split: Option<String>,
    /// How many leading dimensions to keep, several with commas. By default all, and the powers of two below: down to 64,
    /// or to 128 for a model of 1024 or more.
    #[arg(long, value_delimiter = ',')]
    pub(crate) dimensions: Vec<u32>,
    /// Which forms of vectors, several with commas; by default all that the model has.
    #[arg(long, value_delimiter = ',')]
    pub(crate) forms: Vec<Form>,
    /// Measure BM25 on the same set, too.
    #[arg(long)]
    pub(crate) bm25: bool,
    /// A document with the id of the query is not counted as a hit, as BEIR has it.
    #[arg(long)]
    pub(crate) skip_same_id: bool,
    /// A .json file for the whole report, with the measures and first hits of each query.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Where vectors are kept, to go on where a run was cut, or to measure again. By default, eval in the folder that
    /// models from the Hub are kept in.
    #[arg(long)]
    pub(crate) work: Option<PathBuf>,
    /// Documents whose vectors are made, and saved, together.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) block: u32,
}

/// The form of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// As the model makes them; cosine, or MaxSim.
    Float,
    /// Codes; cosine, or MaxSim with a scale a vector.
    Int8,
    /// Signs; Hamming distance, or MaxSim of a query's own numbers with +1 and -1.
    Binary,
}
