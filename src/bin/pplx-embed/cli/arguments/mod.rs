//! The command line's arguments.

mod bench;
mod eval;
mod manage;
mod model;
mod vectors;

pub(crate) use bench::{Bench, BenchSearch};
use clap::{Parser, Subcommand};
pub(crate) use eval::Eval;
pub(crate) use manage::{Cache, CacheAction, Info, Quantize, Verify};
pub(crate) use model::ModelFiles;
pub(crate) use vectors::{Embed, EmbedContext, Encode, Maxsim, Search};

/// Text embeddings with Perplexity's pplx-embed models on your own GPU.
#[derive(Parser)]
#[command(name = "pplx-embed", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Embed the texts of a file, or of standard input.
    Embed(Embed),
    /// Embed the chunks of documents, each with its whole document in view, with a context model.
    EmbedContext(EmbedContext),
    /// Encode queries or documents for late interaction: a vector for each token.
    Encode(Encode),
    /// Find the texts of a corpus that are nearest to queries.
    Search(Search),
    /// Score token vectors of queries against those of documents by late interaction. No model is needed.
    Maxsim(Maxsim),
    /// Load a model and say what it is and what it runs on.
    Info(Info),
    /// Check a model against the values that others have published of it.
    ///
    /// Compares token ids, vectors, cosines, chunks and late-interaction scores with those in reference fixtures, test
    /// suites and model cards, and prints a table: at the worst place the published number and ours, the worst
    /// difference, and what is allowed. Of lists that have to be equal the difference is the number of places where they
    /// are not. With --json, a line for each comparison, with its source, and one for the whole. Exit code 1 if anything
    /// is off.
    Verify(Verify),
    /// Measure how well a model finds what it should: nDCG@10, recall@100 and MRR@10 on a set in BEIR's format.
    ///
    /// Texts are embedded once; what is measured is every form (float, int8, binary) at every size. Of a document with
    /// chunks the best one counts, unless the judgements name chunks, as ID#0. A context model embeds chunks with their
    /// document in view; a late one compares by MaxSim. The measures are trec_eval's.
    Eval(Eval),
    /// Time a model on this machine: opening, the first vector, and tokens a second for texts of several lengths.
    ///
    /// Each case runs once to warm up and then for --seconds, and its median and its slowest and fastest runs are printed.
    /// Ctrl-C stops it; the cases printed so far stand. GFLOP/s counts the matrix products of the layers for the tokens
    /// that there are: no padding, no tokenizing. mixed is one call with eight texts of 8 to 128 tokens.
    Bench(Bench),
    /// Time searching on this machine: a query against many vectors, MaxSim, and beside them how fast memory is read.
    ///
    /// The vectors are made up; no model is needed.
    BenchSearch(BenchSearch),
    /// Write a model's folder anew with its weights in 4 or 8 bits.
    Quantize(Quantize),
    /// See what is kept of models from the Hub, or remove it.
    Cache(Cache),
}

impl Command {
    /// Whether results and errors are to be JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Embed(command) => command.common.origin.json,
            Self::Info(command) => command.common.origin.json,
            Self::Verify(command) => command.common.origin.json,
            Self::Eval(command) => command.common.origin.json,
            Self::Bench(command) => command.common.origin.json,
            Self::BenchSearch(command) => command.json,
            Self::Quantize(command) => command.origin.json,
            Self::Cache(command) => command.json,
            Self::Maxsim(command) => command.json,
            Self::EmbedContext(command) => command.common.origin.json,
            Self::Encode(command) => command.common.origin.json,
            Self::Search(command) => command.common.origin.json,
        }
    }
}
