//! When to try again, and after how long.

use std::time::Duration;

/// How failures that may pass are tried again: after `base`, twice that, four times that and so on, each up to half
/// shorter by chance, or after as long as the server says.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in a row that bring no byte before it is given up.
    pub attempts: u32,
    /// The first wait.
    pub base: Duration,
    /// The longest wait. A server that asks for a longer one is not waited for.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        // The Hub counts requests in windows of five minutes.
        Self { attempts: 5, base: Duration::from_millis(500), most: Duration::from_secs(300) }
    }
}
