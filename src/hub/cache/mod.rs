//! Models kept on this machine: loaded once, verified, resumed where loading broke off, and there without a network.
//!
//! [`Cached`] reads a model through a [`Store`]: a [`Directory`] natively, what JavaScript gives in a browser.
//! [`list`], [`delete`] and [`clear`] are for whoever wants to see or free the space.

#[cfg(target_arch = "wasm32")]
mod browser;
mod cached;
mod derived;
#[cfg(not(target_arch = "wasm32"))]
mod directory;
mod filling;
mod manage;
mod refs;
mod shelf;
mod source;
mod store;

#[cfg(target_arch = "wasm32")]
pub(crate) use browser::settled;
#[cfg(target_arch = "wasm32")]
pub use browser::{Browser, Host, LocalFile, Lock};
pub use cached::Cached;
pub use derived::Derived;
#[cfg(not(target_arch = "wasm32"))]
pub use directory::Directory;
pub use manage::{Kept, clear, delete, list};
pub use source::CachedStream;
pub use store::{Mode, Store, Writer};

/// Bytes read of a file at a time.
const STEP: u64 = 4 << 20;
