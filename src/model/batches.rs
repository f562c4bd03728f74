//! The batches of a call: one after another, or shared out among this thread and helpers.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;

use super::arena::Arena;
use super::encoder::{Encoder, OutputForm, Sequence};
use super::helpers::{AHEAD, KnownHelper, TextHelpers, encode};
use super::{Model, packer};
use crate::backend::{self, Buffer};
use crate::error::{Error, Result};
use crate::progress::{Progress, Watch};

/// Tokens of a batch that this thread does alone, unless a single text has more.
const ALONE: usize = 4096;
/// Fewest tokens that are worth a message; a batch of fewer costs more a token.
const LEAST: usize = 128;
/// Most tokens that are given away at once, unless a single text has more.
const MOST: usize = 512;
/// Vectors that a batch gives, unless a single document gives more.
const MAX_VECTORS: usize = 512;

/// A batch whose vectors are in host memory: its texts, and what [`Encoder::embed`] leaves in `arena.vectors`.
type Done = (Range<usize>, Vec<u8>);

/// The batches of a call.
pub(super) struct Batches<'a> {
    encoder: Encoder<'a>,
    helpers: &'a TextHelpers,
    known: &'a mut Vec<KnownHelper>,
    /// Whether helpers do some of them.
    shared: bool,
    layers: usize,
    sequences: &'a [Sequence],
    /// Tokens and vectors of each.
    sizes: Vec<(usize, usize)>,
    max_vectors: usize,
    output: OutputForm,
    watch: &'a dyn Watch,
    /// Texts before this one belong to a batch; the others have so many tokens.
    cut: usize,
    uncut: usize,
    /// Batches of helpers that are gone.
    again: Vec<Range<usize>>,
    /// Batches that are done before their turn.
    done: Vec<Done>,
    /// Texts before this one have been given to the caller.
    given: usize,
    /// Tokens done, and all.
    tokens: usize,
    total: usize,
    /// The vectors of a batch that is not in the arena.
    vectors: Option<Buffer>,
}

impl<'a> Batches<'a> {
    /// The batches of `sequences`, with the helpers that are known.
    pub(super) fn new(
        model: &'a Model,
        known: &'a mut Vec<KnownHelper>,
        sequences: &'a [Sequence],
        output: OutputForm,
        watch: &'a dyn Watch,
    ) -> Self {
        // What a call before left is of no use.
        known.iter_mut().for_each(KnownHelper::forget);
        let sizes: Vec<_> = sequences.iter().map(|s| (s.ids.len(), s.spans.len())).collect();
        let total = sizes.iter().map(|size| size.0).sum();
        Self {
            encoder: model.encoder(),
            helpers: &model.helpers,
            known,
            shared: model.helpers.count() > 0 && total >= 2 * LEAST,
            layers: model.shape.layers as usize,
            sequences,
            sizes,
            // A late model's vectors are short, and as many as tokens.
            max_vectors: if model.shape.late { usize::MAX } else { MAX_VECTORS },
            output,
            watch,
            cut: 0,
            uncut: total,
            again: Vec::new(),
            done: Vec::new(),
            given: 0,
            tokens: 0,
            total,
            vectors: None,
        }
    }

    /// The next batch in the order of the texts, and how many vectors it has; `None` after the last.
    ///
    /// # Errors
    /// As [`Encoder::embed`]. What a helper cannot do others do.
    pub(super) async fn next(&mut self, arena: &mut Arena) -> Result<Option<(Range<usize>, u32)>> {
        while self.given < self.sequences.len() {
            if let Some(i) = self.done.iter().position(|(range, _)| range.start == self.given) {
                let (range, bytes) = self.done.swap_remove(i);
                self.given = range.end;
                self.vectors = Some(self.encoder.backend.buffer_of("vectors", &bytes)?);
                let count = self.vectors_of(&range);
                return Ok(Some((range, count as u32)));
            }
            if self.watch.cancelled() {
                return Err(Error::Aborted);
            }
            if self.shared {
                self.hand_out();
            }
            let Some(range) = self.cut_next() else {
                self.listen(true).await;
                continue;
            };
            let tokens = self.tokens_of(&range);
            let passed = |layers: u32| self.report(tokens * layers as usize / self.layers);
            let texts = &self.sequences[range.clone()];
            let count = self.encoder.embed(arena, texts, self.output, self.watch, &passed).await?;
            if !self.shared {
                self.tokens += tokens;
                self.given = range.end;
                return Ok(Some((range, count)));
            }
            let bytes = arena.vectors.read(0, u64::from(count) * (self.output.row_bytes() + 4)).await?;
            self.keep(range, bytes);
            // What helpers have answered meanwhile arrives now.
            backend::turn().await;
            self.listen(false).await;
        }
        Ok(None)
    }

    /// The vectors of the batch that [`Batches::next`] gave last, where they are not in the arena.
    pub(super) fn vectors(&self) -> Option<&Buffer> {
        self.vectors.as_ref()
    }

    /// Tells of what is done, and of some tokens more that are not quite.
    pub(super) fn report(&self, more: usize) {
        let texts = match self.sequences.get(self.given) {
            Some(next) => next.item,
            None => self.sequences.last().map_or(0, |last| last.item + 1),
        };
        self.watch.progress(Progress::Embed { texts, tokens: self.tokens + more, total: self.total });
    }

    /// Gives helpers what they have room for.
    fn hand_out(&mut self) {
        self.known.extend(self.helpers.newcomers().into_iter().map(KnownHelper::new));
        for asked in 0..AHEAD {
            for i in 0..self.known.len() {
                if !self.known[i].takes_more(asked) {
                    continue;
                }
                let Some(range) = self.cut_next() else { return };
                let texts = &self.sequences[range.clone()];
                let ids: Vec<u32> = texts.iter().flat_map(|s| &s.ids).copied().collect();
                let rows = self.encoder.weights.embedded(&ids);
                self.known[i].ask(range, &encode(self.output, texts), bytemuck::cast_slice(&rows));
            }
        }
    }

    /// The next batch that nobody has: smaller ones towards the end, so that all threads end together.
    fn cut_next(&mut self) -> Option<Range<usize>> {
        if let Some(range) = self.again.pop() {
            return Some(range);
        }
        let share = self.uncut / (3 * (self.known.len() + 1));
        let tokens = if self.shared { share.clamp(LEAST, MOST) } else { ALONE };
        let range = packer::next(&self.sizes, self.cut, tokens, self.max_vectors)?;
        self.cut = range.end;
        self.uncut -= self.tokens_of(&range);
        Some(range)
    }

    fn tokens_of(&self, range: &Range<usize>) -> usize {
        self.sizes[range.clone()].iter().map(|size| size.0).sum()
    }

    fn vectors_of(&self, range: &Range<usize>) -> usize {
        self.sizes[range.clone()].iter().map(|size| size.1).sum()
    }

    fn bytes_of(&self, range: &Range<usize>) -> u64 {
        self.vectors_of(range) as u64 * (self.output.row_bytes() + 4)
    }

    fn keep(&mut self, range: Range<usize>, bytes: Vec<u8>) {
        self.tokens += self.tokens_of(&range);
        self.done.push((range, bytes));
    }

    /// Takes the answers that are there; if asked to, it waits until there is one, or time to look whether the caller has
    /// cancelled. The batches of a helper that fails are for others.
    async fn listen(&mut self, wait: bool) {
        let mut pause = pin!(backend::pause());
        let mut answers = Vec::new();
        poll_fn(|context| {
            for (i, helper) in self.known.iter_mut().enumerate() {
                while let Poll::Ready((range, said)) = helper.poll(context) {
                    let failed = said.is_err();
                    answers.push((i, range, said));
                    if failed {
                        break;
                    }
                }
            }
            if wait && answers.is_empty() { pause.as_mut().poll(context) } else { Poll::Ready(()) }
        })
        .await;
        // From the last to the first, because those that fail are taken out.
        for (i, range, said) in answers.into_iter().rev() {
            match (range, said) {
                (Some(range), Ok(words)) if words.len() as u64 * 4 == self.bytes_of(&range) => {
                    self.keep(range, bytemuck::cast_slice(&words).to_vec());
                }
                (range, said) => {
                    self.again.extend(range);
                    if let Err(error) = said {
                        self.lose(i, error);
                    }
                }
            }
        }
    }

    /// Goes on without a helper.
    fn lose(&mut self, i: usize, error: Error) {
        self.again.extend(self.known.remove(i).left());
        self.helpers.lost();
        let why = match error {
            // Of workers, not of a GPU.
            Error::DeviceLost { message } | Error::Gpu { message } => message,
            other => other.to_string(),
        };
        self.watch.progress(Progress::Notice { message: format!("goes on with a thread less: {why}") });
    }
}
