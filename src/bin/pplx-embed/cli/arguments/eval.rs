//! Arguments of `eval`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pplx_embed::evaluation::VectorForm;

use super::model::ModelOptions;

#[derive(Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) common: ModelOptions,
    /// A folder as BEIR's and MTEB's sets on the Hub: corpus, queries and qrels, each a file or a folder of files, as JSON
    /// lines (.gz or not) or Parquet; judgements may be TREC's columns. A row of the corpus has `_id`, perhaps `title`, and
    /// `text`, or `chunks`: an array of strings.
    #[arg(long)]
    pub(crate) dataset: PathBuf,
    /// Which of several sets in the folder: its files are called SUBSET-corpus and so on.
    #[arg(long)]
    pub(crate) subset: Option<String>,
    /// Which split of the judgements; test by default, or the only one.
    #[arg(long)]
    pub(crate) split: Option<String>,
    /// How many leading dimensions to keep, several with commas. By default all, and the powers of two below: down to 64,
    /// or to 128 for a model of 1024 or more.
    #[arg(long, value_delimiter = ',')]
    pub(crate) dimensions: Vec<u32>,
    /// Which forms of vectors, several with commas; by default all that the model has.
    #[arg(long, value_delimiter = ',', value_parser = form())]
    pub(crate) forms: Vec<VectorForm>,
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

/// Reads a name in [`VectorForm::NAMES`].
fn form() -> impl TypedValueParser<Value = VectorForm> {
    let names = PossibleValuesParser::new(VectorForm::NAMES.map(|(name, _)| name));
    names.try_map(|given| {
        let named = VectorForm::NAMES.into_iter().find(|(name, _)| *name == given);
        named.map(|(_, form)| form).ok_or("not a form")
    })
}
