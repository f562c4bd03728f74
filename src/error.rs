//! The one error type. Every message names the thing, what came and what is allowed.

/// What went wrong. [`Error::code`] is stable; messages may be reworded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument of a call is not allowed. Check the value the message names.
    #[error("{argument}: {message}")]
    InvalidArgument {
        /// The argument's name as the caller wrote it, with its index where it is one of many.
        argument: String,
        /// What came and what is allowed.
        message: String,
    },
    /// A file is not where it should be. Check the model's name, revision and endpoint.
    #[error("{file}: not found at {place}")]
    NotFound {
        /// The file's path within the model.
        file: String,
        /// The folder or address that was searched.
        place: String,
    },
    /// A file could not be read, or ended before it should.
    #[error("{file}: {message}")]
    Io {
        /// The file's path within the model, or the output being written.
        file: String,
        /// What happened.
        message: String,
    },
    /// A server refused, failed or could not be reached.
    #[error("{url}: {message}")]
    Network {
        /// The address asked for, without credentials.
        url: String,
        /// The HTTP status, if the server answered.
        status: Option<u16>,
        /// What happened.
        message: String,
    },
    /// A file is not the one that the server's manifest, or its first answer, told of. Nothing made of it is kept.
    #[error("{file}: {message}")]
    Integrity {
        /// The file's path within the model.
        file: String,
        /// The size or digest that came, and the one expected.
        message: String,
    },
    /// The cache has no room for more. Files are read all the same; they are not kept.
    #[error("the cache is full: {message}")]
    StorageFull {
        /// What was being written.
        message: String,
    },
    /// What was to be removed is being used, by another tab or process. Try again when that has ended.
    #[error("{what} is in use")]
    InUse {
        /// The model.
        what: String,
    },
    /// A weight file breaks the rules of safetensors, or does not hold what the config promises.
    #[error("{file}: {message}")]
    InvalidCheckpoint {
        /// The file's path within the model.
        file: String,
        /// The tensor or header field, what came and what is allowed.
        message: String,
    },
    /// A configuration file is malformed, contradicts itself, or lacks a field.
    #[error("{file}: {message}")]
    InvalidConfig {
        /// The file's path within the model.
        file: String,
        /// The field, what came and what is allowed.
        message: String,
    },
    /// `tokenizer.json` cannot be read, or does not fit the model's vocabulary.
    #[error("tokenizer.json: {message}")]
    InvalidTokenizer {
        /// What came and what is allowed.
        message: String,
    },
    /// Something well-formed that this version does not do.
    #[error("{what} is not supported: {message}")]
    Unsupported {
        /// The feature, format or field.
        what: String,
        /// What is supported instead.
        message: String,
    },
    /// There is no GPU adapter to run on.
    #[error("no GPU adapter: {message}")]
    NoAdapter {
        /// What was looked for.
        message: String,
    },
    /// The adapter lacks something WebGPU guarantees, or is too small for this input.
    #[error("adapter {adapter}: {message}")]
    AdapterTooSmall {
        /// The adapter's name.
        adapter: String,
        /// The limit, what is needed and what the adapter has.
        message: String,
    },
    /// The device's memory, or the browser's, does not suffice.
    #[error("out of memory: {message}")]
    OutOfMemory {
        /// What was being made, and its size.
        message: String,
    },
    /// The GPU was reset or taken away. Load the model again.
    #[error("the GPU device was lost: {message}")]
    DeviceLost {
        /// The driver's or browser's words.
        message: String,
    },
    /// The driver or browser rejected a shader or a command: a bug here or there.
    #[error("GPU error: {message}")]
    Gpu {
        /// The driver's or browser's words.
        message: String,
    },
    /// A kernel gives wrong numbers on this adapter, so that nothing it made could be trusted.
    #[error("kernel {kernel} is wrong on this adapter: {message}")]
    WrongKernel {
        /// The shader module.
        kernel: String,
        /// Where it differs from the CPU, and by how much.
        message: String,
    },
    /// A vector has numbers that are infinite or not numbers. The weights are damaged or of a model that this is not.
    #[error("{what} is not finite: {message}")]
    NotFinite {
        /// The vector, by the text that it is of.
        what: String,
        /// What may be the cause.
        message: String,
    },
    /// The caller cancelled.
    #[error("cancelled by the caller")]
    Aborted,
}

/// A result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A stable word for the kind of error, the same in Rust and JavaScript.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. } => "invalid-argument",
            Self::NotFound { .. } => "not-found",
            Self::Io { .. } => "io",
            Self::Network { .. } => "network",
            Self::Integrity { .. } => "integrity",
            Self::StorageFull { .. } => "storage-full",
            Self::InUse { .. } => "in-use",
            Self::InvalidCheckpoint { .. } => "invalid-checkpoint",
            Self::InvalidConfig { .. } => "invalid-config",
            Self::InvalidTokenizer { .. } => "invalid-tokenizer",
            Self::Unsupported { .. } => "unsupported",
            Self::NoAdapter { .. } => "no-adapter",
            Self::AdapterTooSmall { .. } => "adapter-too-small",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::DeviceLost { .. } => "device-lost",
            Self::Gpu { .. } => "gpu",
            Self::WrongKernel { .. } => "wrong-kernel",
            Self::NotFinite { .. } => "not-finite",
            Self::Aborted => "aborted",
        }
    }

    pub(crate) fn argument(argument: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidArgument { argument: argument.into(), message: message.into() }
    }

    pub(crate) fn io(file: impl Into<String>, message: impl ToString) -> Self {
        Self::Io { file: file.into(), message: message.to_string() }
    }

    pub(crate) fn checkpoint(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidCheckpoint { file: file.into(), message: message.into() }
    }

    pub(crate) fn config(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidConfig { file: file.into(), message: message.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), message: message.into() }
    }
}
