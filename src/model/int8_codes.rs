//! The codes of vectors that were made as float32.

use super::Model;
use crate::error::{Error, Result};
use crate::numbers::Dtype;
use crate::progress::Watch;

/// Vectors that go to the device together.
const ROWS: usize = 1024;

impl Model {
    /// The int8 codes `[n, D]` of vectors `[n, D]` that [`Model::embed`] gave as float32, all D of the model's
    /// dimensions and not scaled to unit length: with the bits that it gives as int8, for the same kernel makes them.
    /// So texts that are wanted in several forms go through the model once. The leading dimensions of codes are the
    /// codes of the leading dimensions, and a bit of a binary vector is `x >= 0`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a model that has no int8 form, or numbers that are not whole vectors or not finite;
    /// [`Error::Aborted`], or a fault of the device.
    pub async fn int8_codes(&self, vectors: &[f32], watch: &dyn Watch) -> Result<Vec<i8>> {
        let codes = self.codes(vectors, watch).await;
        self.backend.settled(codes).await
    }

    async fn codes(&self, vectors: &[f32], watch: &dyn Watch) -> Result<Vec<i8>> {
        let dimensions = self.config.dimensions();
        let width = dimensions as usize;
        if !self.config.tanh_int8 {
            return Err(Error::argument("dtype", "int8, which this model was not trained for"));
        }
        if !vectors.len().is_multiple_of(width) {
            let message = format!("has {} numbers, allowed are vectors of {dimensions}", vectors.len());
            return Err(Error::argument("vectors", message));
        }
        let stride = Dtype::Int8.row_words(dimensions) as usize * 4;
        let mut codes = Vec::with_capacity(vectors.len());
        for part in vectors.chunks(ROWS * width) {
            let rows = (part.len() / width) as u32;
            // A mean over one token, in the two parts of a sum: the number itself, and nothing.
            let sums: Vec<[f32; 2]> = part.iter().map(|&x| [x, 0.0]).collect();
            let counts = self.backend.buffer_of("counts", &vec![1u32; rows as usize])?;
            let sums = self.backend.buffer_of("sums", &sums)?;
            let y = self.backend.buffer("codes", u64::from(rows) * (stride as u64 + 4))?;
            let mut run = self.backend.run(&self.kernels, watch)?;
            run.quantize([&counts, &sums, &y], rows, [dimensions; 2], Dtype::Int8, false)?;
            run.finish().await?;
            let mut bytes = y.read(0, u64::from(rows) * (stride as u64 + 4)).await?;
            let wrong = bytes.split_off(rows as usize * stride);
            if let Some(row) = wrong.chunks_exact(4).position(|word| word != [0; 4]) {
                let row = codes.len() / width + row;
                return Err(Error::argument("vectors", format!("row {row} has a number that is not finite")));
            }
            codes.extend(bytes.chunks_exact(stride).flat_map(|row| &row[..width]).map(|&byte| byte as i8));
        }
        Ok(codes)
    }
}
