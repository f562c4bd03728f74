//! Stub
pub mod cpu;
mod error;
pub mod gpu;
pub use error::{Error, Result};
