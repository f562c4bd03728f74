//! When to try again, and how long to wait before that.

use std::time::Duration;

use crate::error::{Error, Result};

/// How failures that may be temporary are retried: after `base`, twice that, four times that and so on, each shortened
/// at random by up to half, or after as long as the server asks for.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in a row without a received byte before giving up.
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

/// A try that failed.
pub(super) struct FailedTry {
    error: Error,
    /// Whether it may be temporary.
    passing: bool,
    /// How long the server asked to wait.
    asked: Option<Duration>,
}

impl FailedTry {
    /// A failure that another try will not fix.
    pub(super) fn lasting(error: Error) -> Self {
        Self { error, passing: false, asked: None }
    }

    /// A failure that may be temporary.
    pub(super) fn passing(error: Error) -> Self {
        Self { error, passing: true, asked: None }
    }

    /// The same, with another error.
    pub(super) fn told(self, tell: impl FnOnce(Error) -> Error) -> Self {
        Self { error: tell(self.error), ..self }
    }

    /// The same, with the wait that the server asked for.
    pub(super) fn asking(self, asked: Option<Duration>) -> Self {
        Self { asked, ..self }
    }
}

/// A connection that failed or broke may work the next time. No other error of a transport is temporary.
impl From<Error> for FailedTry {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Network { .. }) { Self::passing(error) } else { Self::lasting(error) }
    }
}

/// Counts the tries of one thing.
pub(super) struct Tries {
    retry: Retry,
    failed: u32,
}

impl Tries {
    pub(super) fn new(retry: Retry) -> Self {
        Self { retry, failed: 0 }
    }

    /// Bytes arrived: the count starts again.
    pub(super) fn progress(&mut self) {
        self.failed = 0;
    }

    /// How long to wait after `fault`.
    ///
    /// # Errors
    /// Its error, if another try is pointless or the tries are used up.
    pub(super) fn failed(&mut self, fault: FailedTry) -> Result<Duration> {
        self.failed = self.failed.saturating_add(1);
        let asked = fault.asked.unwrap_or_default();
        if !fault.passing || self.failed >= self.retry.attempts || asked > self.retry.most {
            return Err(fault.error);
        }
        let doubled = 2_u32.saturating_pow(self.failed - 1);
        let wait = self.retry.base.saturating_mul(doubled).min(self.retry.most);
        Ok(wait.mul_f64(1.0 - chance() / 2.0).max(asked))
    }
}

/// Whether a response with this HTTP status is worth another try: timeouts, too many requests, and faults of the server.
pub(super) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// Whether an error says only that the server is unavailable, and nothing about the model.
pub fn is_unreachable(error: &Error) -> bool {
    match error {
        Error::Network { status, .. } => status.is_none_or(|status| status == 429 || status >= 500),
        _ => false,
    }
}

/// A random number from 0 to 1, so that clients that failed together do not retry together.
#[cfg(not(target_arch = "wasm32"))]
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(target_arch = "wasm32")]
fn chance() -> f64 {
    js_sys::Math::random()
}

#[cfg(test)]
mod tests {
    use super::{Duration, FailedTry, Retry, Tries};
    use crate::error::Error;

    fn network() -> Error {
        Error::Network { url: "u".into(), status: None, message: "m".into() }
    }

    #[test]
    fn waits_double_and_end() {
        let retry = Retry::default();
        let mut tries = Tries::new(retry);
        for n in 0..4 {
            let longest = retry.base * 2_u32.pow(n);
            let wait = tries.failed(network().into()).unwrap();
            assert!(wait <= longest && wait >= longest / 2, "{n}: {wait:?}");
        }
        assert!(tries.failed(network().into()).is_err());
    }

    #[test]
    fn progress_starts_anew_and_some_faults_last() {
        let mut tries = Tries::new(Retry { attempts: 2, ..Retry::default() });
        for _ in 0..5 {
            assert!(tries.failed(network().into()).is_ok());
            tries.progress();
        }
        assert!(tries.failed(Error::Aborted.into()).is_err());
        assert!(tries.failed(FailedTry::lasting(network())).is_err());
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asks_but_no_longer_than_there_is_patience() {
        let mut tries = Tries::new(Retry { base: Duration::ZERO, ..Retry::default() });
        let asking = |seconds| FailedTry::passing(network()).asking(Some(Duration::from_secs(seconds)));
        assert_eq!(tries.failed(asking(300)).unwrap(), Duration::from_secs(300));
        assert!(tries.failed(asking(301)).is_err());
    }
}
