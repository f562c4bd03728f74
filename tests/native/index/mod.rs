//! The search index: against brute force in f64, sentence-transformers' fixtures, and itself in other circumstances.

mod changes;
mod corpus;
mod dense;
mod files;
mod late;
mod texts;
