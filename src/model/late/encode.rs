//! From texts to token vectors.

use std::ops::Range;

use super::sequence::{Marked, Marking};
use super::{EncodeOptions, Late, MAX_POOLED, MarkerPosition, Role, TokenEmbeddings, TokenRows};
use crate::backend::Buffer;
use crate::error::{Error, Result};
use crate::model::encoder::{OutputForm, Sequence};
use crate::model::{Model, check_finite};
use crate::numbers::{Dtype, RowBuf, RowFormat};
use crate::progress::Watch;

/// Texts whose vectors have just been made, and are still on the device.
#[derive(Clone)]
pub struct EncodedBatch<'a> {
    /// Which texts.
    pub texts: Range<usize>,
    /// Which rows of [`EncodedBatch::tokens`]; none if the texts have no tokens.
    pub rows: Range<usize>,
    /// The tokens of all texts of the call.
    pub tokens: &'a TokenRows,
    /// `[rows, D]` float32, without padding, in a buffer that may be larger. The next batch overwrites it.
    pub vectors: &'a Buffer,
}

impl Model {
    /// What becomes of a text before it goes through the model; `None` if this is no late interaction model.
    pub fn marking(&self) -> Option<&Marking> {
        self.late.as_ref().map(|late| &late.marking)
    }

    /// The token vectors of `texts` as queries or as documents, in order. A text's vectors have the same bits alone, in
    /// any batch and in any order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this is no late interaction model, [`Error::InvalidArgument`] for options that do not
    /// go together, and as [`Model::embed`].
    pub async fn encode(
        &self,
        role: Role,
        texts: &[&str],
        options: EncodeOptions,
        watch: &dyn Watch,
    ) -> Result<TokenEmbeddings> {
        let late = self.late(role)?;
        let pooled = options.check(role)?;
        let (sequences, mut tokens) = self.mark(late, role, texts, options.marker_position, watch)?;
        if let Some(sequence) = sequences.iter().find(|s| pooled.is_some() && s.spans.len() > MAX_POOLED) {
            let (item, count) = (sequence.item, sequence.spans.len());
            let message = format!("texts[{item}] has {count} vectors, allowed are {MAX_POOLED}");
            return Err(Error::argument("poolFactor", message));
        }
        let packs = options.dtype == RowFormat::Binary && pooled.is_none();
        let output = self.token_output(late, if packs { Dtype::Ubinary } else { Dtype::Float32 });
        let bytes = self.run(&sequences, output, "texts", watch).await?;
        let dim = tokens.dim;
        if packs {
            let (stride, width) = (output.dtype.row_words(output.dimensions) as usize * 4, dim.div_ceil(8));
            let bits = bytes.chunks_exact(stride).flat_map(|row| &row[..width]).copied().collect();
            return Ok(TokenEmbeddings { data: RowBuf::Binary(bits), tokens });
        }
        let mut vectors: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        drop(bytes);
        if let Some(factor) = pooled {
            vectors = tokens.pool(&vectors, factor, watch)?;
        }
        Ok(TokenEmbeddings { data: RowBuf::from_floats(vectors, dim, options.dtype), tokens })
    }

    /// Hands the token vectors of `texts` over while they are on the device: `take` gets them batch by batch, in the
    /// order of the texts, with the bits that [`Model::encode`] gives as float32. What reads [`EncodedBatch::vectors`] has to be
    /// handed to the device before `take` is done; nobody needs to wait for it. Gives the tokens. An error of `take` ends
    /// the call. Until it is done, other calls of the model wait.
    ///
    /// # Errors
    /// As [`Model::encode`], and what `take` returns.
    pub async fn encode_into(
        &self,
        role: Role,
        texts: &[&str],
        position: MarkerPosition,
        mut take: impl AsyncFnMut(EncodedBatch<'_>) -> Result<()>,
        watch: &dyn Watch,
    ) -> Result<TokenRows> {
        let late = self.late(role)?;
        let (sequences, tokens) = self.mark(late, role, texts, position, watch)?;
        let output = self.token_output(late, Dtype::Float32);
        let take = async |texts: Range<usize>, vectors: &Buffer, count: u32| {
            if count > 0 {
                let at = u64::from(count) * output.row_bytes();
                check_finite(&sequences[texts.clone()], &vectors.read(at, u64::from(count) * 4).await?, "texts")?;
            }
            let rows = tokens.offsets[texts.start]..tokens.offsets[texts.end];
            take(EncodedBatch { texts, rows, tokens: &tokens, vectors }).await
        };
        self.run_batches(&sequences, output, "texts", take, watch).await?;
        Ok(tokens)
    }

    fn late(&self, role: Role) -> Result<&Late> {
        self.late.as_ref().ok_or_else(|| {
            let message = "it gives one vector a text; allowed is a late interaction model, such as \
                           perplexity-ai/pplx-embed-v1-late-0.6b";
            let call = if role == Role::Query { "encodeQuery" } else { "encodeDocument" };
            Error::unsupported(format!("{call} with this model"), message)
        })
    }

    fn token_output(&self, late: &Late, dtype: Dtype) -> OutputForm {
        OutputForm { dtype, dimensions: self.config.dimensions(), normalize: late.marking.normalizes() }
    }

    /// What goes through the model, one sequence a text, and the tokens that vectors come from.
    fn mark(
        &self,
        late: &Late,
        role: Role,
        texts: &[&str],
        position: MarkerPosition,
        watch: &dyn Watch,
    ) -> Result<(Vec<Sequence>, TokenRows)> {
        let mut tokens = TokenRows::empty(self.config.dimensions() as usize);
        let mut sequences = Vec::with_capacity(texts.len());
        for (item, text) in texts.iter().enumerate() {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            let Marked { ids, ranges, attended, scored, truncated } =
                late.marking.mark(&self.tokenizer, role, text, position)?;
            tokens.usage.tokens += ids.len();
            tokens.usage.truncated.extend(truncated.then_some(item));
            tokens.add(scored.iter().map(|&i| (ids[i as usize], ranges[i as usize])));
            let spans = scored.iter().map(|&i| i..i + 1).collect();
            sequences.push(Sequence { item, ids, attended, spans });
        }
        Ok((sequences, tokens))
    }
}
