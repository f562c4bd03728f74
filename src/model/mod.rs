//! A Qwen3 encoder: from a checkpoint and texts to vectors.

mod added_tokens;
mod arena;
mod batches;
mod byte_pairs;
mod config;
mod contents;
mod context;
mod dense;
mod embeddings;
mod encoder;
mod helpers;
mod info;
mod int8_codes;
pub mod late;
mod load;
mod merges;
mod packer;
mod shape;
mod special;
mod split;
mod tokenizer;
mod weights;

use std::ops::Range;

use arena::Arena;
use async_lock::Mutex;
use batches::Batches;
pub use byte_pairs::tokenizer_json;
pub use config::{Config, DenseLayer, HeadStep, Lengths, ModelKind, Pooling, Prompt, Prompts};
pub use contents::explained;
pub use context::{ContextOptions, LongDocuments};
pub use embeddings::{Data, EmbedOptions, Embeddings, Usage};
use encoder::{Encoder, OutputForm, Sequence, Step};
pub use helpers::TextHelper;
use helpers::TextHelpers;
pub use info::{ModelInfo, WeightBytes};
use late::Late;
pub use load::{LoadOptions, ModelSize};
use shape::Shape;
pub use split::{SplitOptions, TextChunk};
pub use tokenizer::{Separator, Tokenizer, Tokens};
pub use weights::WeightChoice;
use weights::Weights;

use crate::backend::{Backend, Buffer, Kernels};
use crate::error::{Error, Result};
use crate::numbers::Dtype;
use crate::progress::Watch;

/// A model on a device.
pub struct Model {
    /// Shared with what works on the model's vectors where they are made.
    backend: Backend,
    kernels: Kernels,
    config: Config,
    shape: Shape,
    tokenizer: Tokenizer,
    weights: Weights,
    late: Option<Late>,
    /// What is done between pooling and the vector.
    head: Vec<Step>,
    /// Locked by the call that is running; others wait their turn. Made by the first call, and by the next one after a call
    /// that failed, which may have left buffers that the device does not know.
    arena: Mutex<Option<Arena>>,
    /// Threads that take some of the texts.
    helpers: TextHelpers,
    options: LoadOptions,
    /// Why it runs on this device.
    why: String,
}

impl Model {
    fn default_dtype(&self) -> Dtype {
        if self.config.tanh_int8 { Dtype::Int8 } else { Dtype::Float32 }
    }

    /// The model's architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the model runs on.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The vectors of `texts`, in order. A text's vector has the same bits alone, in any batch and in any order; a
    /// text without tokens is the zero vector. A context model takes each text for a document of one chunk.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a late interaction model, [`Error::InvalidArgument`] for options this model does not
    /// have, [`Error::Aborted`], [`Error::InvalidTokenizer`], [`Error::AdapterTooSmall`] for a text too long for this
    /// adapter, [`Error::OutOfMemory`], or a fault of the device. Nothing half-done is returned.
    pub async fn embed(&self, texts: &[&str], options: EmbedOptions, watch: &dyn Watch) -> Result<Embeddings> {
        if self.late.is_some() {
            let message = "it gives a vector for each token; allowed are encodeQuery and encodeDocument";
            return Err(Error::unsupported("embed with a late interaction model", message));
        }
        let output = self.output(&options)?;
        let prompt = self.prompt(&options.prompt)?;
        let mut sequences = Vec::with_capacity(texts.len());
        let mut usage = Usage::default();
        for (item, text) in texts.iter().enumerate() {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            let Tokens { ids, truncated } = match prompt.text {
                "" => self.tokenizer.encode(text)?,
                prompt => self.tokenizer.encode(&format!("{prompt}{text}"))?,
            };
            usage.tokens += ids.len();
            usage.truncated.extend(truncated.then_some(item));
            let length = ids.len() as u32;
            let span = self.config.pooling.span(length, prompt.uncounted);
            sequences.push(Sequence { item, ids, attended: length, spans: std::iter::once(span).collect() });
        }
        let bytes = self.run(&sequences, output, "texts", watch).await?;
        let dtype = options.dtype.unwrap_or(self.default_dtype());
        Ok(Embeddings::unpack(&bytes, texts.len(), output.dimensions, dtype, usage))
    }

    /// What is put before each text, and how many of its tokens do not count in pooling.
    fn prompt<'a>(&'a self, prompt: &'a Prompt) -> Result<PlacedPrompt<'a>> {
        let text = self.config.prompts.text(prompt)?;
        if self.config.kind == ModelKind::Context && !text.is_empty() {
            let message = "a document's chunks have no prompts of their own; put it into the first chunk";
            return Err(Error::unsupported("a prompt with a context model", message));
        }
        let uncounted = if self.config.include_prompt { 0 } else { self.tokenizer.prompt_tokens(text)? };
        Ok(PlacedPrompt { text, uncounted })
    }

    /// The vectors of `sequences`, one for each span, as bytes. `items` is what the caller calls them, for errors.
    async fn run(&self, sequences: &[Sequence], output: OutputForm, items: &str, watch: &dyn Watch) -> Result<Vec<u8>> {
        let row = output.row_bytes();
        let mut bytes = Vec::new();
        let read = async |range: Range<usize>, vectors: &Buffer, count: u32| {
            if count > 0 {
                let mut read = vectors.read(0, u64::from(count) * (row + 4)).await?;
                check_finite(&sequences[range], &read.split_off((u64::from(count) * row) as usize), items)?;
                bytes.extend(read);
            }
            Ok(())
        };
        self.run_batches(sequences, output, items, read, watch).await?;
        Ok(bytes)
    }

    /// Runs `sequences` batch by batch. After each, `take` gets which they are, and their vectors on the device and how
    /// many; the next batch overwrites them.
    async fn run_batches(
        &self,
        sequences: &[Sequence],
        output: OutputForm,
        items: &str,
        mut take: impl AsyncFnMut(Range<usize>, &Buffer, u32) -> Result<()>,
        watch: &dyn Watch,
    ) -> Result<()> {
        self.check_sizes(sequences, items)?;
        self.with_arena(async |arena| {
            let mut known = self.helpers.known.lock().await;
            let mut batches = Batches::new(self, &mut known, sequences, output, watch);
            while let Some((range, count)) = batches.next(arena).await? {
                take(range, batches.vectors().unwrap_or(&arena.vectors), count).await?;
                batches.report(0);
            }
            Ok(())
        })
        .await
    }

    /// Does `work` with the buffers of a forward pass. After a fault of the device they are made anew by the next call.
    async fn with_arena<T>(&self, work: impl AsyncFnOnce(&mut Arena) -> Result<T>) -> Result<T> {
        let mut slot = self.arena.lock().await;
        let made = match slot.take() {
            Some(arena) => Ok(arena),
            None => self.backend.allocate(|| Arena::new(&self.backend, &self.shape)).await,
        };
        let result = match made {
            Ok(mut arena) => {
                let result = work(&mut arena).await;
                if !matches!(result, Err(Error::Gpu { .. } | Error::OutOfMemory { .. } | Error::DeviceLost { .. })) {
                    *slot = Some(arena);
                }
                result
            }
            Err(error) => Err(error),
        };
        self.backend.settled(result).await
    }

    fn encoder(&self) -> Encoder<'_> {
        let projection = self.late.as_ref().and_then(Late::projection);
        let Self { backend, kernels, shape, weights, head, .. } = self;
        Encoder { backend, kernels, shape, weights, projection, head }
    }

    /// The residual stream of a text after each layer, `[L + 2][T, H]`: the embeddings first, the final norm last.
    /// For looking inside, and for tests; runs the model anew for each layer.
    ///
    /// # Errors
    /// As [`Model::embed`].
    pub async fn hidden_states(&self, text: &str) -> Result<Vec<Vec<f32>>> {
        let tokens = self.tokenizer.encode(text)?;
        let attended = tokens.ids.len() as u32;
        let text = Sequence { item: 0, ids: tokens.ids, attended, spans: Vec::new() };
        self.check_sizes(std::slice::from_ref(&text), "texts")?;
        self.with_arena(async |arena| {
            let encoder = self.encoder();
            let mut states = Vec::new();
            for layers in 0..self.config.layers as usize + 2 {
                states.push(encoder.states(arena, &text, layers).await?);
            }
            Ok(states)
        })
        .await
    }

    /// The keys of the longest text fit one buffer, and so do the sums of its vectors.
    fn check_sizes(&self, sequences: &[Sequence], items: &str) -> Result<()> {
        let too_small = |item: usize, message: String| {
            let message = format!("{items}[{item}] has {message}");
            Err(Error::AdapterTooSmall { adapter: self.backend.adapter().name.clone(), message })
        };
        let limits = self.backend.limits();
        let tokens = limits.buffer_bytes / (u64::from(self.config.key_heads * self.config.head_dim) * 4);
        let sums = limits.buffer_bytes / (u64::from(self.shape.widest) * 8);
        let vectors = sums.min(limits.vectors);
        for Sequence { item, ids, spans, .. } in sequences {
            if ids.len() as u64 > tokens {
                let message = format!("{} tokens, one binding holds the keys of {tokens}", ids.len());
                return too_small(*item, message);
            }
            if spans.len() as u64 > vectors {
                return too_small(*item, format!("{} vectors, one binding holds the sums of {vectors}", spans.len()));
            }
        }
        Ok(())
    }

    fn output(&self, options: &EmbedOptions) -> Result<OutputForm> {
        let all = self.config.dimensions();
        let dimensions = options.dimensions.or(self.config.truncate).unwrap_or(all);
        if !(1..=all).contains(&dimensions) {
            return Err(Error::argument("dimensions", format!("{dimensions}, allowed is 1 to {all}")));
        }
        let dtype = options.dtype.unwrap_or(self.default_dtype());
        if dtype == Dtype::Int8 && !self.config.tanh_int8 {
            let message = "int8, which this model was not trained for; allowed are float32, binary, ubinary";
            return Err(Error::argument("dtype", message));
        }
        if options.normalize == Some(true) && dtype != Dtype::Float32 {
            let message = "true, which only float32 can be; compare int8 with cosine, binary with Hamming distance";
            return Err(Error::argument("normalize", message));
        }
        let normalize = dtype == Dtype::Float32 && options.normalize.unwrap_or(self.config.normalize);
        Ok(OutputForm { dtype, dimensions, normalize })
    }
}

/// A prompt's text, and how many of its tokens do not count in pooling.
struct PlacedPrompt<'a> {
    text: &'a str,
    uncounted: u32,
}

/// `wrong` has a word for each vector of `sequences`, which is not 0 where the vector is not finite.
fn check_finite(sequences: &[Sequence], wrong: &[u8], items: &str) -> Result<()> {
    let Some(vector) = wrong.chunks_exact(4).position(|word| word != [0; 4]) else { return Ok(()) };
    let mut before = 0;
    let of = sequences.iter().find(|sequence| {
        before += sequence.spans.len();
        vector < before
    });
    let what = of.map_or_else(|| items.into(), |sequence| format!("the vector of {items}[{}]", sequence.item));
    let message = "numbers overflow in the model; its weights are damaged, or its config.json is not theirs";
    Err(Error::NotFinite { what, message: message.into() })
}
