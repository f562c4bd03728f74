//! The other side: a helper has a copy of the encoder, and embeds the texts that it is given.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::message::{LinearStep, Message};
use crate::backend::{Activation, Backend, Buffer, Kernels, Precision, Weight};
use crate::error::{Error, Result};
use crate::model::arena::Arena;
use crate::model::dense::Dense;
use crate::model::encoder::{Encoder, OutputForm, Sequence, Step};
use crate::model::shape::Shape;
use crate::model::weights::Weights;

/// A thread with memory of its own that embeds texts.
pub struct TextHelper {
    backend: Backend,
    /// What arrived so far of a model.
    matrices: Vec<Weight>,
    vectors: Vec<Buffer>,
    copy: Option<Copy>,
    /// What went wrong since the last answer.
    fault: Option<Error>,
}

/// A model, but for its tokenizer and embedding table.
struct Copy {
    kernels: Kernels,
    shape: Shape,
    weights: Weights,
    projection: Option<Dense>,
    head: Vec<Step>,
    arena: Arena,
}

impl TextHelper {
    /// A helper that knows no model yet, on the processor with one thread.
    pub fn new() -> Self {
        let backend = Backend::cpu_with_threads(1);
        Self { backend, matrices: Vec::new(), vectors: Vec::new(), copy: None, fault: None }
    }

    /// Does what a message says. If it wants an answer, `answer` is called once: with the bytes of vectors, and behind them
    /// a word for each, which is 1 where it is not finite; or with why there are none.
    pub fn receive(&mut self, message: &[u8], answer: impl FnOnce(Result<&[u8], &str>)) {
        let message = match Message::decode(message) {
            Ok(Message::Encode { output, sequences, rows }) => {
                return match self.fault.take().map_or_else(|| self.encode(output, &sequences, rows), Err) {
                    Ok(vectors) => answer(Ok(&vectors)),
                    Err(error) => answer(Err(&error.to_string())),
                };
            }
            other => other,
        };
        // What wants no answer fails the next thing that does.
        if let Err(error) = message.and_then(|message| self.keep(message)) {
            self.fault.get_or_insert(error);
        }
    }

    fn keep(&mut self, message: Message<'_>) -> Result<()> {
        match message {
            Message::Weight { shape, format, precision, groups, values } => {
                let weight = self.backend.weight(&nameless(precision), "a copy", shape, format)?;
                if weight.precision() != precision {
                    let message = "a helper has no kernels of 8-bit activations, which others have".into();
                    return Err(Error::Gpu { message });
                }
                weight.hold(values, groups)?;
                self.matrices.push(weight);
            }
            Message::Vector(bytes) => self.vectors.push(self.backend.buffer_of("a copy", bytes)?),
            Message::Model { shape, steps } => {
                let incomplete = || Error::Gpu { message: "a helper was sent a part of a model".into() };
                let arena = Arena::new(&self.backend, &shape)?;
                let matrices = std::mem::take(&mut self.matrices).into_iter();
                let vectors = std::mem::take(&mut self.vectors).into_iter();
                self.copy = Some(Copy::of(shape, &steps, matrices, vectors, arena).ok_or_else(incomplete)?);
            }
            Message::Encode { .. } => {}
        }
        Ok(())
    }

    fn encode(&mut self, output: OutputForm, sequences: &[Sequence], rows: &[u8]) -> Result<Vec<u8>> {
        let missing = || Error::Gpu { message: "a helper has no model".into() };
        let Copy { kernels, shape, weights, projection, head, arena } = self.copy.as_mut().ok_or_else(missing)?;
        let tokens: usize = sequences.iter().map(|s| s.ids.len()).sum();
        if rows.len() != tokens * shape.hidden as usize * 4 || output.dimensions > shape.dimensions {
            return Err(Error::Gpu { message: format!("{tokens} tokens have {} bytes", rows.len()) });
        }
        weights.set_embedded(rows.to_vec(), shape.hidden);
        let backend = &self.backend;
        let encoder = Encoder { backend, kernels, shape, weights, projection: projection.as_ref(), head };
        let count = now(encoder.embed(arena, sequences, output, &(), &|_| {}))?;
        now(arena.vectors.read(0, u64::from(count) * (output.row_bytes() + 4)))
    }
}

impl Default for TextHelper {
    fn default() -> Self {
        Self::new()
    }
}

impl Copy {
    /// `None` if something is missing.
    fn of(
        shape: Shape,
        steps: &[LinearStep],
        mut matrices: impl Iterator<Item = Weight>,
        mut vectors: impl Iterator<Item = Buffer>,
        arena: Arena,
    ) -> Option<Self> {
        let weights = Weights::of_parts(&shape, &mut matrices, &mut vectors)?;
        let (mut projection, mut head) = (None, Vec::new());
        for (i, step) in steps.iter().enumerate() {
            let step = match *step {
                LinearStep::Nothing => continue,
                LinearStep::Normalize => Step::Normalize,
                LinearStep::Dense { bias, tanh, outputs } => {
                    let bias = if bias { Some(vectors.next()?) } else { None };
                    let activation = if tanh { Activation::Tanh } else { Activation::Identity };
                    Step::Dense(Box::new(Dense::of_parts(matrices.next()?, bias, activation, outputs)))
                }
            };
            match step {
                // The first is that of tokens.
                Step::Dense(dense) if i == 0 => projection = Some(*dense),
                step => head.push(step),
            }
        }
        Some(Self { kernels: nameless(Precision::Exact), shape, weights, projection, head, arena })
    }
}

/// Kernels whose names nobody asks for. Those of linear layers follow from the weights.
fn nameless(precision: Precision) -> Kernels {
    Kernels::Cpu { names: Vec::new(), precision }
}

/// The outcome of what waits for nothing, as is so on the processor where nothing can cancel.
fn now<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(Error::Gpu { message: "a helper had to wait".into() }),
    }
}
