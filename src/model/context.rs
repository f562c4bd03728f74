//! Late chunking: a vector for each chunk of a document, made with the whole document in view.
//!
//! A document is its chunks' tokens with a separator between each two. All of it goes through the model as one text, and
//! a chunk's vector is the mean over the chunk's own tokens: the separators are attended to, and part of no mean.
//! (`PPLXQwen3ContextualModel` of the pplx-embed-context models; Günther et al. 2024, "Late chunking".)

use std::ops::Range;

use super::encoder::Sequence;
use super::{EmbedOptions, Embeddings, Model, ModelKind, Tokenizer, Usage};
use crate::error::{Error, Result};
use crate::progress::Watch;

/// What becomes of a document that is longer than the model's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LongDocuments {
    /// It is an error.
    #[default]
    Error,
    /// It goes through the model in windows of whole chunks. Each window takes as many chunks as fit; the next one
    /// starts in its second half, so that they overlap by up to half of the limit. A chunk's vector comes from the
    /// window that shows most on its poorer side: the fewer of the tokens before and after it, where the document's own
    /// start and end count as no limit. A chunk that is itself longer than the limit is an error.
    Window,
}

/// How documents are to be embedded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextOptions {
    /// The form of the vectors.
    pub embed: EmbedOptions,
    /// What becomes of long documents.
    pub long_documents: LongDocuments,
}

impl Model {
    /// The vectors of each document's chunks, in order: one [`Embeddings`] a document, one row a chunk. A document's
    /// vectors have the same bits whatever other documents are in the call. An empty chunk is the zero vector. A query
    /// is a document of one chunk.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this is no context model, [`Error::InvalidArgument`] for a document longer than the
    /// model's limit (see [`LongDocuments`]), and as [`Model::embed`].
    pub async fn embed_context<C: AsRef<str>>(
        &self,
        documents: &[impl AsRef<[C]>],
        options: ContextOptions,
        watch: &dyn Watch,
    ) -> Result<Vec<Embeddings>> {
        if self.config.kind != ModelKind::Context {
            let message = "allowed is a context model, such as perplexity-ai/pplx-embed-context-v1-0.6b";
            return Err(Error::unsupported("embedContext with this model", message));
        }
        let output = self.output(&options.embed)?;
        self.prompt(&options.embed.prompt)?;
        let mut sequences = Vec::new();
        let mut sizes = Vec::with_capacity(documents.len());
        for (item, document) in documents.iter().enumerate() {
            let mut chunks = Vec::with_capacity(document.as_ref().len());
            for chunk in document.as_ref() {
                if watch.cancelled() {
                    return Err(Error::Aborted);
                }
                chunks.push(self.tokenizer.encode_whole(chunk.as_ref())?);
            }
            let lengths: Vec<usize> = chunks.iter().map(Vec::len).collect();
            let windows = self.windows(item, &lengths, options.long_documents)?;
            let first = sequences.len();
            sequences.extend(windows.iter().map(|window| self.sequence(item, &chunks, window)));
            sizes.push((chunks.len(), sequences[first..].iter().map(|s| s.ids.len()).sum()));
        }
        let bytes = self.run(&sequences, output, "documents", watch).await?;

        let dtype = options.embed.dtype.unwrap_or(self.default_dtype());
        let row = dtype.row_words(output.dimensions) as usize * 4;
        let mut rest = bytes.as_slice();
        let unpacked = sizes.into_iter().map(|(rows, tokens)| {
            let (own, others) = rest.split_at((rows * row).min(rest.len()));
            rest = others;
            Embeddings::unpack(own, rows, output.dimensions, dtype, Usage { tokens, truncated: Vec::new() })
        });
        Ok(unpacked.collect())
    }

    fn windows(&self, item: usize, lengths: &[usize], long: LongDocuments) -> Result<Vec<Window>> {
        let limit = self.tokenizer.max_tokens() as usize;
        let total = tokens_of(lengths);
        if total <= limit {
            let all = 0..lengths.len();
            // No chunks, no vectors.
            return Ok(if lengths.is_empty() { Vec::new() } else { vec![Window { chunks: all.clone(), kept: all }] });
        }
        let refuse = |what: String, way_out: &str| {
            let message = format!("has {what} tokens, the model's limit is {limit}; {way_out}");
            Err(Error::argument(format!("documents[{item}]"), message))
        };
        if long == LongDocuments::Error {
            return refuse(total.to_string(), "split it, or set longDocuments to \"window\"");
        }
        match lengths.iter().position(|&n| n > limit) {
            Some(chunk) => refuse(format!("a chunk, [{chunk}], of {}", lengths[chunk]), "split the chunk"),
            None => Ok(windows(lengths, limit)),
        }
    }

    /// A window as it goes through the model, with the spans of those chunks whose vectors it gives.
    fn sequence(&self, item: usize, chunks: &[Vec<u32>], window: &Window) -> Sequence {
        let (ids, mut spans) = self.tokenizer.joined(&chunks[window.chunks.clone()]);
        let (from, to) = (window.kept.start - window.chunks.start, window.kept.end - window.chunks.start);
        spans.truncate(to);
        spans.drain(..from);
        Sequence { item, attended: ids.len() as u32, ids, spans }
    }
}

impl Tokenizer {
    /// A document: the tokens of its chunks with a separator between each two, and which of them are each chunk's.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`].
    pub fn join(&self, chunks: &[impl AsRef<str>]) -> Result<(Vec<u32>, Vec<Range<u32>>)> {
        let chunks = chunks.iter().map(|c| self.encode_whole(c.as_ref())).collect::<Result<Vec<_>>>()?;
        Ok(self.joined(&chunks))
    }

    fn joined(&self, chunks: &[Vec<u32>]) -> (Vec<u32>, Vec<Range<u32>>) {
        let (mut ids, mut spans) = (Vec::new(), Vec::with_capacity(chunks.len()));
        for (i, chunk) in chunks.iter().enumerate() {
            if i > 0 {
                ids.extend(self.separator().map(|s| s.id));
            }
            let first = ids.len() as u32;
            ids.extend(chunk);
            spans.push(first..ids.len() as u32);
        }
        (ids, spans)
    }
}

/// Chunks that go through the model together, and those of them whose vectors are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    chunks: Range<usize>,
    kept: Range<usize>,
}

/// Tokens of chunks of these lengths with separators between them.
fn tokens_of(lengths: &[usize]) -> usize {
    lengths.iter().sum::<usize>() + lengths.len().saturating_sub(1)
}

/// Windows over chunks of `lengths` tokens, none of them above `limit`, as [`LongDocuments::Window`] says. Every chunk
/// is kept in one of them; they and what they keep are in the order of the chunks.
fn windows(lengths: &[usize], limit: usize) -> Vec<Window> {
    // Where each chunk starts in the joined document, and, one separator later, where one after the last would.
    let mut starts = vec![0];
    for length in lengths {
        starts.push(starts[starts.len() - 1] + length + 1);
    }
    let tokens = |chunks: Range<usize>| (starts[chunks.end] - starts[chunks.start]).saturating_sub(1);
    let count = lengths.len();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut first = 0;
    loop {
        // The end of the last chunk that still fits.
        let end = starts.partition_point(|&start| start.saturating_sub(starts[first] + 1) <= limit) - 1;
        found.push(first..end);
        if end == count {
            break;
        }
        // The next window has to hold the chunk that did not fit.
        first += 1;
        while first < end && (tokens(first..end) > limit / 2 || tokens(first..end + 1) > limit) {
            first += 1;
        }
    }
    // The fewer of the tokens that a window shows before and after a chunk.
    let shown = |window: &Range<usize>, chunk: usize| {
        let before = if window.start == 0 { usize::MAX } else { starts[chunk] - starts[window.start] };
        let after = if window.end == count { usize::MAX } else { starts[window.end] - starts[chunk + 1] };
        before.min(after)
    };
    let mut kept = vec![0; found.len() + 1];
    kept[found.len()] = count;
    for (i, pair) in found.windows(2).enumerate() {
        // From some chunk on, the later window shows more than the earlier one.
        let overlap = pair[1].start..pair[0].end;
        let better = |&chunk: &usize| shown(&pair[1], chunk) > shown(&pair[0], chunk);
        kept[i + 1] = overlap.clone().find(better).unwrap_or(overlap.end).max(kept[i]);
    }
    let windows = found.into_iter().zip(kept.windows(2)).map(|(chunks, k)| Window { chunks, kept: k[0]..k[1] });
    windows.filter(|window| !window.kept.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Window, tokens_of, windows};

    fn check(lengths: &[usize], limit: usize) -> Vec<Window> {
        let found = windows(lengths, limit);
        let mut next = 0;
        for window in &found {
            assert!(tokens_of(&lengths[window.chunks.clone()]) <= limit, "{window:?} of {lengths:?} in {limit}");
            assert!(window.chunks.start <= window.kept.start && window.kept.end <= window.chunks.end, "{window:?}");
            assert_eq!(window.kept.start, next, "{found:?}");
            next = window.kept.end;
        }
        assert_eq!(next, lengths.len(), "{found:?}");
        found
    }

    #[test]
    fn every_chunk_is_kept_once_in_a_window_that_fits() {
        check(&[10; 100], 10);
        check(&[0; 300], 7);
        check(&[1, 9, 0, 10, 3, 3, 3, 10, 10, 0, 0, 1], 10);
        for seed in 0..200usize {
            let lengths: Vec<usize> = (0..60).map(|i| (i * i * 7 + seed * (i + 3)) % 41).collect();
            check(&lengths, 40);
            check(&lengths, 97);
        }
    }

    #[test]
    fn neighbours_overlap_by_half_and_part_where_both_show_as_much() {
        let window = |chunks, kept| Window { chunks, kept };
        // Nine chunks of 9 with separators are 89 tokens; four and their separators are 39, two are 19.
        let found = check(&[9; 9], 40);
        assert_eq!(found, [window(0..4, 0..3), window(2..6, 3..5), window(4..8, 5..7), window(6..9, 7..9)]);
    }

    #[test]
    fn chunks_as_long_as_the_limit_stand_alone() {
        assert_eq!(check(&[40, 40], 40).len(), 2);
        assert_eq!(check(&[40, 1, 40], 40).len(), 3);
    }
}
