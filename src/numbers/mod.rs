//! Formats of numbers, and the host's conversions between them. Knows neither models nor devices.
//!
//! One type for one fact: [`Float`] is the element type of a tensor, [`MatrixFormat`] how a weight matrix is held,
//! [`RowFormat`] what rows of vectors are made of, [`Dtype`] the form in which `embed` returns vectors. [`RowData`] and
//! [`RowBuf`] are rows in host memory, borrowed and owned.

mod blocks;
mod float;
mod matrix_format;
mod names;
mod output_dtype;
mod rope;
mod rounding;
mod row_data;
mod row_format;

pub use blocks::Block;
pub use float::Float;
pub use matrix_format::MatrixFormat;
pub use names::parse_name;
pub use output_dtype::Dtype;
pub use rope::{Rope, RopeScaling};
pub use rounding::{float16, scaled_int8, sign_bits};
pub use row_data::{RowBuf, RowData};
pub use row_format::RowFormat;
