//! A Qwen3 encoder: from a checkpoint and texts to vectors.

mod arena;
mod config;
mod embeddings;
mod encoder;
mod packer;
mod tokenizer;
mod weights;

use arena::Arena;
use async_lock::Mutex;
pub use config::{Config, Pooling};
pub use embeddings::{Data, Dtype, EmbedOptions, Embeddings, Usage};
use encoder::{Encoder, Output};
pub use tokenizer::{Tokenizer, Tokens};
pub use weights::Held;
use weights::{Choice, Weights};

use crate::error::{Error, Result};
use crate::gpu::{AdapterSummary, Gpu, Kernels, WeightType};
use crate::hub::Source;
use crate::watch::{Progress, Watch};

/// How a model is to be loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The model's name, for [`ModelInfo`].
    pub id: String,
    /// Its revision, for [`ModelInfo`].
    pub revision: Option<String>,
    /// How weights are held.
    pub weights: Held,
    /// Bytes that weights may take on the device, for [`Held::Auto`]; by default an estimate from what is known of the
    /// machine. Whatever this says, a form that the device has no room for is not taken.
    pub memory: Option<u64>,
}

/// What is known of a loaded model.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// Its name.
    pub id: String,
    /// Its revision, where the source has such.
    pub revision: Option<String>,
    /// H, dimensions of a full vector.
    pub dimensions: u32,
    /// Most tokens of a text; longer ones are cut.
    pub max_tokens: u32,
    /// L.
    pub layers: u32,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// The form `embed` gives by default.
    pub default_dtype: Dtype,
    /// Whether `embed` scales float32 vectors to unit length by default.
    pub default_normalize: bool,
    /// `gpu`.
    pub device: &'static str,
    /// The adapter it runs on.
    pub adapter: AdapterSummary,
    /// How linear weights are held; where there are several ways, the one with most bytes.
    pub weights: WeightType,
    /// Why they are not held as they are stored, where [`Held::Auto`] had to choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_note: Option<String>,
    /// The shader modules in use, each checked on this adapter.
    pub kernels: Vec<String>,
    /// Bytes of the weights.
    pub bytes: WeightBytes,
}

/// Where a model's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WeightBytes {
    /// Bytes in host memory: the embedding table.
    pub host: u64,
    /// Bytes on the device.
    pub device: u64,
}

/// A model on a device.
pub struct Model {
    gpu: Gpu,
    kernels: Kernels,
    config: Config,
    tokenizer: Tokenizer,
    weights: Weights,
    /// Locked by the call that is running; others wait their turn.
    arena: Mutex<Arena>,
    options: LoadOptions,
}

impl Model {
    /// Loads the model that `source` holds. A load that fails keeps nothing.
    ///
    /// # Errors
    /// Any [`Error`] but [`Error::InvalidArgument`].
    pub async fn load(source: &impl Source, options: LoadOptions, watch: &dyn Watch) -> Result<Self> {
        let config = Config::load(source).await?;
        let tokenizer = Tokenizer::load(source, &config).await?;
        let gpu = Gpu::open().await?;
        let memory = options.memory.or_else(|| gpu.memory_for_weights());
        let choice = Choice { held: options.weights, memory };
        let weights = Weights::load(source, &config, &gpu, choice, watch).await?;
        watch.progress(Progress::Compile);
        let kernels = Kernels::new(&gpu, &weights.types()).await?;
        let arena = Mutex::new(Arena::new(&gpu, &config)?);
        Ok(Self { gpu, kernels, config, tokenizer, weights, arena, options })
    }

    /// What is known of the model.
    pub fn info(&self) -> ModelInfo {
        let (host, device) = self.weights.bytes();
        ModelInfo {
            id: self.options.id.clone(),
            revision: self.options.revision.clone(),
            dimensions: self.config.hidden,
            max_tokens: self.tokenizer.max_tokens(),
            layers: self.config.layers,
            pooling: self.config.pooling,
            default_dtype: self.default_dtype(),
            default_normalize: self.config.normalize,
            device: "gpu",
            adapter: self.gpu.adapter().clone(),
            weights: self.weights.types().first().copied().unwrap_or(WeightType::F32),
            weights_note: self.weights.note.clone(),
            kernels: self.kernels.names(),
            bytes: WeightBytes { host, device },
        }
    }

    fn default_dtype(&self) -> Dtype {
        if self.config.tanh_int8 { Dtype::Int8 } else { Dtype::Float32 }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The vectors of `texts`, in order. A text's vector has the same bits alone, in any batch and in any order; a
    /// text without tokens is the zero vector.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for options this model does not have, [`Error::Aborted`],
    /// [`Error::InvalidTokenizer`], [`Error::AdapterTooSmall`] for a text too long for this adapter,
    /// [`Error::OutOfMemory`], or a fault of the device. Nothing half-done is returned.
    pub async fn embed(&self, texts: &[&str], options: EmbedOptions, watch: &dyn Watch) -> Result<Embeddings> {
        let output = self.output(options)?;
        let mut tokens = Vec::with_capacity(texts.len());
        for text in texts {
            if watch.cancelled() {
                return Err(Error::Aborted);
            }
            tokens.push(self.tokenizer.encode(text)?);
        }
        let lengths: Vec<usize> = tokens.iter().map(|t| t.ids.len()).collect();
        let total = lengths.iter().sum();
        let truncated = (0..).zip(&tokens).filter(|(_, t)| t.truncated).map(|(i, _)| i).collect();
        self.check_lengths(&lengths)?;

        let mut arena = self.arena.lock().await;
        let encoder = Encoder { gpu: &self.gpu, kernels: &self.kernels, config: &self.config, weights: &self.weights };
        let (mut bytes, mut done) = (Vec::new(), 0);
        for range in packer::pack(&lengths) {
            let batch: Vec<&[u32]> = tokens[range.clone()].iter().map(|t| t.ids.as_slice()).collect();
            let size: usize = lengths[range.clone()].iter().sum();
            let passed = |layers: u32| {
                let tokens = done + size * layers as usize / self.config.layers as usize;
                watch.progress(Progress::Embed { texts: range.start, tokens, total });
            };
            bytes.extend(encoder.embed(&mut arena, &batch, output, watch, passed).await?);
            done += size;
            watch.progress(Progress::Embed { texts: range.end, tokens: done, total });
        }
        let dtype = options.dtype.unwrap_or(self.default_dtype());
        let usage = Usage { tokens: total, truncated };
        Ok(Embeddings::unpack(&bytes, texts.len(), output.dimensions, dtype, usage))
    }

    /// The residual stream of a text after each layer, `[L + 2][T, H]`: the embeddings first, the final norm last.
    /// For looking inside, and for tests; runs the model anew for each layer.
    ///
    /// # Errors
    /// As [`Model::embed`].
    pub async fn hidden_states(&self, text: &str) -> Result<Vec<Vec<f32>>> {
        let tokens = self.tokenizer.encode(text)?;
        self.check_lengths(&[tokens.ids.len()])?;
        let mut arena = self.arena.lock().await;
        let encoder = Encoder { gpu: &self.gpu, kernels: &self.kernels, config: &self.config, weights: &self.weights };
        let mut states = Vec::new();
        for layers in 0..self.config.layers as usize + 2 {
            states.push(encoder.states(&mut arena, &tokens.ids, layers).await?);
        }
        Ok(states)
    }

    /// The keys of the longest text fit one binding.
    fn check_lengths(&self, lengths: &[usize]) -> Result<()> {
        let row = u64::from(self.config.key_heads * self.config.head_dim) * 4;
        let room = self.gpu.max_binding() / row;
        match lengths.iter().position(|&n| n as u64 > room) {
            None => Ok(()),
            Some(i) => Err(Error::AdapterTooSmall {
                adapter: self.gpu.adapter().name.clone(),
                message: format!("texts[{i}] has {} tokens, one binding holds the keys of {room}", lengths[i]),
            }),
        }
    }

    fn output(&self, options: EmbedOptions) -> Result<Output> {
        let all = self.config.hidden;
        let dimensions = options.dimensions.unwrap_or(all);
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
        Ok(Output { form: dtype.form(), dimensions, normalize })
    }
}
