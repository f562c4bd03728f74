//! Saved indexes on a disk.

use std::path::Path;
use std::sync::Arc;

use super::{Index, OpenOptions};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::watch::Watch;

impl Index {
    /// [`Index::save`] to a file, which appears under its name once it is whole; one that was there is replaced.
    ///
    /// # Errors
    /// [`crate::Error::Io`] naming the file, and as [`Index::save`].
    pub async fn save_file(&self, path: &Path, watch: &dyn Watch) -> Result<()> {
        let _ = (path, watch);
        Err(crate::Error::unsupported("save_file", "not yet"))
    }

    /// [`Index::open`] of a file.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`] and [`crate::Error::Io`] naming the file, and as [`Index::open`].
    pub async fn open_file(
        gpu: Option<Arc<Gpu>>,
        path: &Path,
        options: OpenOptions,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let _ = (gpu, path, options, watch);
        Err(crate::Error::unsupported("open_file", "not yet"))
    }
}
