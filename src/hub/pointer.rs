//! What git leaves in place of a large file that it has not fetched.

use crate::error::{Error, Result};

/// What a pointer of Git LFS begins with.
pub const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";

/// Refuses `bytes`, the first or all of `file`, if they are a pointer of Git LFS.
///
/// # Errors
/// [`Error::Io`] that says so, and how the file is fetched.
pub fn refuse_pointer(file: &str, bytes: &[u8]) -> Result<()> {
    if bytes.starts_with(POINTER) {
        let message = "is a Git LFS pointer, which only names the file; fetch it with `git lfs pull`";
        return Err(Error::io(file, message));
    }
    Ok(())
}
