//! Texts shared out among threads with memories of their own, as web workers have: each has a copy of the encoder, and takes
//! the next few texts when it is free. Nothing is exchanged inside a layer, and a text's vector does not depend on its
//! neighbours, so bits do not depend on who embeds what. For models that are small enough to be in memory several times.

mod helper;
mod message;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

pub use helper::TextHelper;
use message::LinearStep;
pub(super) use message::encode;

use super::Model;
use super::dense::Dense;
use super::encoder::Step;
use super::late::Late;
use crate::backend::{Activation, Answer, Link};
use crate::error::Result;

/// Batches that a helper has at a time, so that it does not wait while the leader is busy.
pub(super) const AHEAD: usize = 2;

/// The helpers of a model.
#[derive(Default)]
pub(super) struct TextHelpers {
    /// Those that work, and those that are starting.
    count: AtomicU32,
    /// Those that have a copy, and that no call knows yet.
    ready: Mutex<Vec<Box<dyn Link>>>,
    /// Locked by the call that is running.
    pub(super) known: async_lock::Mutex<Vec<KnownHelper>>,
}

impl TextHelpers {
    /// Threads that they are.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// One works no more.
    pub(super) fn lost(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Those that no call knows yet.
    pub(super) fn newcomers(&self) -> Vec<Box<dyn Link>> {
        std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a helper was asked for, if somebody still wants it, and what it says.
pub(super) type Said = (Option<Range<usize>>, Result<Vec<f32>>);

/// A helper, as the leader sees it.
pub(super) struct KnownHelper {
    link: Arc<dyn Link>,
    /// The answer that is waited for. It outlives a call that is cancelled.
    answer: Option<Answer<'static>>,
    /// What it has been asked for and has not answered; `None` for what nobody wants any more.
    asked: VecDeque<Option<Range<usize>>>,
}

impl KnownHelper {
    pub(super) fn new(link: Box<dyn Link>) -> Self {
        Self { link: Arc::from(link), answer: None, asked: VecDeque::new() }
    }

    /// Whether it takes more, of those that have been asked for `asked` batches. One that is still at work for a call that was
    /// cancelled does not.
    pub(super) fn takes_more(&self, asked: usize) -> bool {
        self.asked.len() == asked && self.asked.iter().all(Option::is_some)
    }

    /// Asks it for a batch by a message.
    pub(super) fn ask(&mut self, range: Range<usize>, header: &[u8], rows: &[u8]) {
        self.link.send(header, rows);
        self.asked.push_back(Some(range));
    }

    /// Nobody wants what it was asked for.
    pub(super) fn forget(&mut self) {
        self.asked.iter_mut().for_each(|asked| *asked = None);
    }

    /// What it was asked for and somebody wants.
    pub(super) fn left(self) -> impl Iterator<Item = Range<usize>> {
        self.asked.into_iter().flatten()
    }

    /// The next answer.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Said> {
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
    /// [`crate::Error::Gpu`] on a GPU.
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
        let mut matrices: Vec<_> = self.weights.matrices().collect();
        matrices.extend(dense.iter().map(|layer| layer.parts().0));
        for weight in matrices {
            weight.with_held(|shape, values, groups| {
                link.send(&message::weight(shape, weight.format(), weight.precision(), groups), values);
            })?;
        }
        let mut vectors: Vec<_> = self.weights.vectors().collect();
        vectors.extend(dense.iter().filter_map(|layer| layer.parts().1));
        for buffer in vectors {
            link.send(&message::vector(), &buffer.read(0, buffer.size()).await?);
        }
        link.send(&message::model(&self.shape, &steps), &[]);
        Ok(())
    }
}

fn step_of(layer: &Dense) -> LinearStep {
    let (_, bias, activation) = layer.parts();
    LinearStep::Dense { bias: bias.is_some(), tanh: activation == Activation::Tanh, outputs: layer.outputs }
}
