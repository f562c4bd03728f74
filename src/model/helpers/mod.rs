//! Texts shared out among threads with memories of their own, as web workers have: each has a copy of the encoder, and takes
//! the next few texts when it is free. Nothing is exchanged inside a layer, and a text's vector does not depend on its
//! neighbours, so bits do not depend on who embeds what. For models that are small enough to be in memory several times.

mod helper;
mod message;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

pub use helper::TextHelper;
use message::LinearStep;

use super::arena::Arena;
use super::dense::Dense;
use super::encoder::{Encoder, OutputForm, Sequence, Step};
use super::late::Late;
use super::{Model, packer};
use crate::backend::{self, Activation, Answer, Link, Weight};
use crate::error::{Error, Result};
use crate::progress::{Progress, Watch};

/// Fewest tokens that are worth a message; a batch of fewer costs more a token.
const LEAST: usize = 128;
/// Most tokens that are given away at once, unless a single text has more.
const MOST: usize = 512;
/// Batches that a helper has at a time, so that it does not wait while the leader is busy.
const AHEAD: usize = 2;

/// The helpers of a model.
#[derive(Default)]
pub(super) struct TextHelpers {
    /// Those that work, and those that are starting.
    count: AtomicU32,
    /// Those that have a copy, and that no call knows yet.
    ready: Mutex<Vec<Box<dyn Link>>>,
    /// Locked by the call that is running.
    known: async_lock::Mutex<Vec<KnownHelper>>,
}

impl TextHelpers {
    /// Threads that they are.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether so many tokens are shared out.
    pub(super) fn share(&self, tokens: usize) -> bool {
        self.count() > 0 && tokens >= 2 * LEAST
    }

    fn lost(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    fn newcomers(&self) -> Vec<Box<dyn Link>> {
        std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A helper, as the leader sees it.
struct KnownHelper {
    link: Arc<dyn Link>,
    /// The answer that is waited for. It outlives a call that is cancelled.
    answer: Option<Answer<'static>>,
    /// What it has been asked for and has not answered; `None` for what nobody wants any more.
    asked: VecDeque<Option<Range<usize>>>,
}

impl KnownHelper {
    fn new(link: Box<dyn Link>) -> Self {
        Self { link: Arc::from(link), answer: None, asked: VecDeque::new() }
    }

    /// Whether it takes more. One that is still at work for a call that was cancelled does not.
    fn is_free(&self) -> bool {
        self.asked.len() < AHEAD && self.asked.iter().all(Option::is_some)
    }

    /// The next answer, and what it was asked for.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(Option<Range<usize>>, Result<Vec<f32>>)> {
        if self.asked.is_empty() {
            return Poll::Pending;
        }
        let link = &self.link;
        let answer = self.answer.get_or_insert_with(|| {
            let link = Arc::clone(link);
            Box::pin(async move { link.receive().await })
        });
        answer.as_mut().poll(context).map(|said| {
            self.answer = None;
            (self.asked.pop_front().flatten(), said)
        })
    }
}

impl Model {
    /// Announces a helper that is being started: [`Model::join`] or [`Model::lacks_helper`] follows. Until then it counts in
    /// [`super::ModelInfo::threads`].
    pub fn expects_helper(&self) {
        self.helpers.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A helper that was announced did not start.
    pub fn lacks_helper(&self) {
        self.helpers.lost();
    }

    /// Gives the [`TextHelper`] at the other end of `link` a copy of the encoder. It then takes part in calls, also in one
    /// that is running. On the processor only, where no other helpers have a share of the weights.
    ///
    /// # Errors
    /// [`Error::Gpu`] on a GPU.
    pub async fn join(&self, link: Box<dyn Link>) -> Result<()> {
        let sent = self.send_copy(&*link).await;
        match sent {
            Ok(()) => self.helpers.ready.lock().unwrap_or_else(PoisonError::into_inner).push(link),
            Err(_) => self.helpers.lost(),
        }
        sent
    }

    async fn send_copy(&self, link: &dyn Link) -> Result<()> {
        let projection = self.late.as_ref().and_then(Late::projection);
        let mut steps = vec![projection.map_or(LinearStep::Nothing, step_of)];
        let mut dense: Vec<&Dense> = projection.into_iter().collect();
        for step in &self.head {
            steps.push(match step {
                Step::Normalize => LinearStep::Normalize,
                Step::Dense(layer) => {
                    dense.push(layer);
                    step_of(layer)
                }
            });
        }
        let send = |weight: &Weight| {
            weight.with_held(|shape, values, groups| {
                link.send(&message::weight(shape, weight.format(), groups), values);
            })
        };
        self.weights.matrices().chain(dense.iter().map(|layer| layer.parts().0)).try_for_each(send)?;
        for buffer in self.weights.vectors().chain(dense.iter().filter_map(|layer| layer.parts().1)) {
            link.send(&message::vector(), &buffer.read(0, buffer.size()).await?);
        }
        link.send(&message::model(&self.shape, &steps), &[]);
        Ok(())
    }

    /// The vectors of `sequences`, shared out among this thread and the helpers: `take` gets them in order, which texts they
    /// are of, and what [`Encoder::embed`] leaves of them in `arena.vectors`, and how many vectors that is.
    pub(super) async fn run_shared(
        &self,
        arena: &mut Arena,
        sequences: &[Sequence],
        output: OutputForm,
        max_vectors: usize,
        mut take: impl AsyncFnMut(Range<usize>, &[u8], u32) -> Result<()>,
        watch: &dyn Watch,
    ) -> Result<()> {
        let mut known = self.helpers.known.lock().await;
        // What a call before left is of no use.
        known.iter_mut().for_each(|helper| helper.asked.iter_mut().for_each(|asked| *asked = None));
        let sizes: Vec<_> = sequences.iter().map(|s| (s.ids.len(), s.spans.len())).collect();
        let mut shared = SharedTexts {
            encoder: self.encoder(),
            helpers: &self.helpers,
            known: &mut known,
            layers: self.shape.layers as usize,
            sequences,
            total: sizes.iter().map(|size| size.0).sum(),
            sizes,
            max_vectors,
            output,
            watch,
            cut: 0,
            uncut: 0,
            again: Vec::new(),
            done: BTreeMap::new(),
            given: 0,
            tokens: 0,
        };
        shared.uncut = shared.total;
        while let Some((range, bytes)) = shared.next(arena).await? {
            let count: usize = sequences[range.clone()].iter().map(|s| s.spans.len()).sum();
            take(range, &bytes, count as u32).await?;
            shared.report(0);
        }
        Ok(())
    }
}

fn step_of(layer: &Dense) -> LinearStep {
    let (_, bias, activation) = layer.parts();
    LinearStep::Dense { bias: bias.is_some(), tanh: activation == Activation::Tanh, outputs: layer.outputs }
}

/// A call whose texts are shared out.
struct SharedTexts<'a> {
    encoder: Encoder<'a>,
    helpers: &'a TextHelpers,
    known: &'a mut Vec<KnownHelper>,
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
    /// Batches that are done, by the first text.
    done: BTreeMap<usize, (Range<usize>, Vec<u8>)>,
    /// Texts before this one have been given to the caller.
    given: usize,
    /// Tokens done, and all.
    tokens: usize,
    total: usize,
}

impl SharedTexts<'_> {
    /// The next batch in the order of the texts; `None` after the last.
    async fn next(&mut self, arena: &mut Arena) -> Result<Option<(Range<usize>, Vec<u8>)>> {
        loop {
            if let Some(done) = self.done.remove(&self.given) {
                self.given = done.0.end;
                return Ok(Some(done));
            }
            if self.given == self.sequences.len() {
                return Ok(None);
            }
            if self.watch.cancelled() {
                return Err(Error::Aborted);
            }
            self.hand_out();
            match self.cut_next() {
                Some(range) => {
                    let bytes = self.embed(arena, range.clone()).await?;
                    self.keep(range, bytes);
                    // What helpers have answered meanwhile arrives now.
                    backend::turn().await;
                    self.listen(false).await;
                }
                None => self.listen(true).await,
            }
        }
    }

    /// Gives helpers what they have room for.
    fn hand_out(&mut self) {
        self.known.extend(self.helpers.newcomers().into_iter().map(KnownHelper::new));
        for place in 0..AHEAD {
            for i in 0..self.known.len() {
                if !self.known[i].is_free() || self.known[i].asked.len() > place {
                    continue;
                }
                let Some(range) = self.cut_next() else { return };
                let texts = &self.sequences[range.clone()];
                let ids: Vec<u32> = texts.iter().flat_map(|s| &s.ids).copied().collect();
                let rows = self.encoder.weights.embedded(&ids);
                self.known[i].link.send(&message::encode(self.output, texts), bytemuck::cast_slice(&rows));
                self.known[i].asked.push_back(Some(range));
            }
        }
    }

    /// The next batch that nobody has: smaller ones towards the end, so that all threads end together.
    fn cut_next(&mut self) -> Option<Range<usize>> {
        if let Some(range) = self.again.pop() {
            return Some(range);
        }
        let tokens = (self.uncut / (3 * (self.known.len() + 1))).clamp(LEAST, MOST);
        let range = packer::next(&self.sizes, self.cut, tokens, self.max_vectors)?;
        self.cut = range.end;
        self.uncut -= self.tokens_of(&range);
        Some(range)
    }

    fn tokens_of(&self, range: &Range<usize>) -> usize {
        self.sizes[range.clone()].iter().map(|size| size.0).sum()
    }

    /// Embeds a batch in this thread.
    async fn embed(&self, arena: &mut Arena, range: Range<usize>) -> Result<Vec<u8>> {
        let tokens = self.tokens_of(&range);
        let passed = |layers: u32| self.report(tokens * layers as usize / self.layers);
        let batch = &self.sequences[range];
        let count = self.encoder.embed(arena, batch, self.output, self.watch, &passed).await?;
        arena.vectors.read(0, u64::from(count) * (self.output.row_bytes() + 4)).await
    }

    fn keep(&mut self, range: Range<usize>, bytes: Vec<u8>) {
        self.tokens += self.tokens_of(&range);
        self.done.insert(range.start, (range, bytes));
    }

    /// Tells of what is done, and of some tokens more that are not quite.
    fn report(&self, more: usize) {
        let texts = match self.sequences.get(self.given) {
            Some(next) => next.item,
            None => self.sequences.last().map_or(0, |last| last.item + 1),
        };
        self.watch.progress(Progress::Embed { texts, tokens: self.tokens + more, total: self.total });
    }

    /// Takes the answers that are there; if asked to, it waits until there is one, or time to look whether the caller has
    /// cancelled. The batches of a helper that fails are for others.
    async fn listen(&mut self, wait: bool) {
        let mut answers = Vec::new();
        let mut pause = std::pin::pin!(backend::pause());
        std::future::poll_fn(|context| {
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
        let mut gone = Vec::new();
        for (i, range, said) in answers {
            match (range, said) {
                (Some(range), Ok(words)) => {
                    let count: usize = self.sizes[range.clone()].iter().map(|size| size.1).sum();
                    if words.len() as u64 * 4 == count as u64 * (self.output.row_bytes() + 4) {
                        self.keep(range, bytemuck::cast_slice(&words).to_vec());
                    } else {
                        self.again.push(range);
                    }
                }
                (None, Ok(_)) => {}
                (range, Err(error)) => {
                    self.again.extend(range);
                    gone.push((i, error));
                }
            }
        }
        for (i, error) in gone.into_iter().rev() {
            let helper = self.known.remove(i);
            self.again.extend(helper.asked.into_iter().flatten());
            self.helpers.lost();
            let why = match error {
                // Of workers, not of a GPU.
                Error::DeviceLost { message } | Error::Gpu { message } => message,
                other => other.to_string(),
            };
            self.watch.progress(Progress::Notice { message: format!("goes on with a thread less: {why}") });
        }
    }
}
