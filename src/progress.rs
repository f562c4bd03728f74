//! The caller's side of a long call.

/// Where a long call stands.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "stage", rename_all = "lowercase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Progress {
    /// A weight file is being read, and its weights put on the device.
    Download {
        /// The file's path within the model.
        file: String,
        /// Bytes read of it so far.
        loaded: u64,
        /// Its size in bytes, where the source tells.
        total: Option<u64>,
        /// Bytes read of all weight files so far.
        all_loaded: u64,
        /// Their size in bytes.
        all_total: u64,
        /// Whether the file is read from this machine: a folder, or the cache.
        cached: bool,
        /// Bytes a second, over the last few seconds.
        bytes_per_second: Option<f64>,
        /// Seconds until all weight files are read, at that rate.
        seconds_left: Option<f64>,
    },
    /// Something the user may want to know, and no reason to stop.
    Notice {
        /// A sentence.
        message: String,
    },
    /// Shaders are being compiled and checked on the adapter.
    Compile,
    /// Texts are going through the model.
    Embed {
        /// Texts whose vectors are ready.
        texts: usize,
        /// Tokens done; a token counts as done by the share of the layers it has passed.
        tokens: usize,
        /// Tokens in all.
        total: usize,
    },
    /// Items are being put into an index, written with it to a file, or read.
    Index {
        /// Items done.
        done: usize,
        /// Items in all.
        total: usize,
    },
    /// Token vectors are being compared.
    Score {
        /// Similarities done.
        done: u64,
        /// Similarities in all.
        total: u64,
    },
}

/// Hears of progress, and says whether the caller has cancelled.
pub trait Watch {
    /// True once the caller has cancelled; the call then ends with [`crate::Error::Aborted`].
    fn cancelled(&self) -> bool {
        false
    }

    /// Whether anybody can cancel: a thread of a page that computes then lets messages in from time to time.
    fn listens(&self) -> bool {
        true
    }

    /// Called now and then while a long call runs.
    fn progress(&self, _progress: Progress) {}
}

impl Watch for () {
    fn listens(&self) -> bool {
        false
    }
}
