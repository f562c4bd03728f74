//! Loading: what it is asked for, and from files to a model on a device.

use async_lock::Mutex;

use super::arena::Arena;
use super::dense::Dense;
use super::encoder::Step;
use super::helpers::TextHelpers;
use super::late::Late;
use super::weights::{Loaded, WeightChoice, WeightRequest, Weights};
use super::{Config, HeadStep, Model, Tokenizer, explained};
use crate::backend::{Backend, Device, Precision};
use crate::error::{Error, Result};
use crate::hub::Source;
use crate::progress::{Progress, Watch};

/// Damaged copies of files that one load has removed from the cache, at most.
const MAX_FORGOTTEN: u32 = 16;

/// How a model is to be loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The model's name, for [`ModelInfo`].
    pub id: String,
    /// Its revision, for [`ModelInfo`].
    pub revision: Option<String>,
    /// What the model runs on.
    pub device: Device,
    /// Threads of the processor, 1 to [`crate::backend::MAX_THREADS`]; by default one for each core.
    pub threads: Option<u32>,
    /// How weights are held.
    pub weights: WeightChoice,
    /// Bytes that weights may take on the device, for [`WeightChoice::Auto`]; by default an estimate from what is known of the
    /// machine. Whatever this says, a form that the device has no room for is not taken.
    pub memory: Option<u64>,
    /// How exactly linear layers of weights that are codes take their activations. [`Precision::Fast`] needs weights that are
    /// or can become codes: it is refused with [`WeightChoice::F32`] and [`WeightChoice::F16`]. Where the device has no such
    /// kernels, or exact ones are faster, and where weights turn out not to be codes, the exact ones run; [`ModelInfo::precision`] says what does.
    pub precision: Precision,
}

impl LoadOptions {
    fn check(&self) -> Result<()> {
        match (self.precision, self.weights) {
            (Precision::Fast, WeightChoice::F32 | WeightChoice::F16) => {
                let message = "fast, which needs weights of 8 or 4 bits; allowed with it are weights auto, q8 and q4";
                Err(Error::argument("precision", message))
            }
            _ => Ok(()),
        }
    }
}

/// How large a model is, before it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct ModelSize {
    /// H.
    pub hidden: u32,
    /// Weights in the matrices of all layers.
    pub weights: u64,
}

impl Model {
    /// Loads the model that `source` holds. A load that fails keeps nothing.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for options that do not go together; any other [`Error`].
    pub async fn load(source: &impl Source, options: LoadOptions, watch: &dyn Watch) -> Result<Self> {
        let threads = options.threads;
        let open = async |_, device| Backend::open(device, threads, watch).await;
        Self::load_on(source, open, options, watch).await
    }

    /// The same on the backend that `open` opens, given the model's size and what is wanted, with the reason why it is that
    /// one. For [`Device::Auto`] it is asked a second time, for the processor, where that turns out to be faster than the GPU.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub async fn load_on(
        source: &impl Source,
        open: impl AsyncFn(ModelSize, Device) -> Result<(Backend, String)>,
        options: LoadOptions,
        watch: &dyn Watch,
    ) -> Result<Self> {
        options.check()?;
        let mut forgotten = 0;
        loop {
            match Self::load_files(source, &open, options.clone(), watch).await {
                // The copy in the cache is not what was written; another one is had where that came from.
                Err(error) if forgotten < MAX_FORGOTTEN && source.forget_damaged(&error).await? => forgotten += 1,
                Err(error) => return Err(explained(source, error).await),
                loaded => return loaded,
            }
        }
    }

    async fn load_files(
        source: &impl Source,
        open: impl AsyncFn(ModelSize, Device) -> Result<(Backend, String)>,
        options: LoadOptions,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let config = Config::load(source).await?;
        for message in &config.notices {
            watch.progress(Progress::Notice { message: message.clone() });
        }
        let tokenizer = Tokenizer::load(source, &config).await?;
        for message in tokenizer.notices() {
            watch.progress(Progress::Notice { message: message.clone() });
        }
        let size = ModelSize { hidden: config.hidden, weights: config.layer_weights() };
        let (mut backend, mut why) = open(size, options.device).await?;
        let request = |backend: &Backend, any_device: bool| WeightRequest {
            choice: options.weights,
            memory: options.memory.or_else(|| backend.memory_for_weights()),
            precision: options.precision,
            any_device,
            threads: options.threads,
        };
        let first = request(&backend, options.device == Device::Auto);
        let mut loaded = backend.settled(Weights::load(source, &config, &backend, first, watch).await).await?;
        if let Loaded::Declined(reason) = loaded {
            (backend, _) = open(size, Device::Cpu).await?;
            loaded = Weights::load(source, &config, &backend, request(&backend, false), watch).await?;
            why = reason;
        }
        let Loaded::Here(weights, kernels) = loaded else {
            return Err(Error::Gpu { message: "the processor declined a model that it was to load".into() });
        };
        let late = match &config.late {
            Some(settings) => Some(Late::load(source, settings, &tokenizer, &backend, &kernels).await?),
            None => None,
        };
        let mut head = Vec::new();
        for step in &config.head {
            head.push(match step {
                HeadStep::Normalize => Step::Normalize,
                HeadStep::Dense(layer) => Step::Dense(Box::new(Dense::load(source, layer, &backend, &kernels).await?)),
            });
        }
        backend.flush_writes().await?;
        let shape = config.shape();
        let arena = Mutex::new(Some(backend.allocate(|| Arena::new(&backend, &shape)).await?));
        let helpers = TextHelpers::default();
        Ok(Self {
            backend,
            kernels,
            config,
            shape,
            tokenizer,
            weights: *weights,
            late,
            head,
            arena,
            helpers,
            options,
            why,
        })
    }
}
