//! Writing an index.

use super::Index;
use crate::error::Result;
use crate::watch::Watch;

/// Where bytes go, in order.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait Sink {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// What kept them from being written.
    async fn write(&mut self, bytes: &[u8]) -> Result<()>;
}

impl Sink for Vec<u8> {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl Index {
    /// Writes the index in the form that [`super::format`] describes: the same bytes for the same items, added in the
    /// same order.
    ///
    /// # Errors
    /// What `sink` returns; [`crate::Error::Aborted`]; faults of the device.
    pub async fn save(&self, sink: &mut impl Sink, watch: &dyn Watch) -> Result<()> {
        let _ = (sink, watch);
        Err(crate::Error::unsupported("save", "not yet"))
    }
}
