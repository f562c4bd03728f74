//! How well a model finds what it should: exact search over its vectors, and measures of the rankings. Native only.

mod exact_search;
mod metrics;

pub use exact_search::{ExactSearch, SearchRows, VectorForm};
pub use metrics::{Measures, order};
