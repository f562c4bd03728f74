//! Late interaction: scores of queries against documents, each many token vectors, on the GPU.

mod tokens;

pub use tokens::{MAX_DIM, TokenData, Tokens};
