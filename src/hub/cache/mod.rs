//! Models stored on this machine: downloaded once, verified, resumed after an interruption, and usable offline.
//!
//! [`Cached`] reads a model through a [`FileStore`]: a [`Directory`] natively, what JavaScript gives in a browser.
//! [`list`], [`delete`] and [`clear`] show and free the space.

#[cfg(target_arch = "wasm32")]
mod browser;
mod cached;
mod check;
mod derived;
#[cfg(not(target_arch = "wasm32"))]
mod directory;
mod entry;
mod filling;
mod manage;
mod refs;
mod source;
mod store;

#[cfg(target_arch = "wasm32")]
pub use browser::{Browser, Host};
pub use cached::Cached;
pub use derived::CachedDerivedFile;
#[cfg(not(target_arch = "wasm32"))]
pub use directory::Directory;
pub use manage::{CachedRevision, clear, delete, list};
pub use source::CachedStream;
pub use store::{FileStore, FileWriter, LockMode};

/// Bytes read of a file at a time.
const STEP: u64 = 4 << 20;
