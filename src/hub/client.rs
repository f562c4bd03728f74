//! Requests to one server: retry settings, the token, and the limit on open bodies.

use std::sync::Arc;

use async_lock::Semaphore;

use super::headers::retry_after;
use super::repository::{ModelAddress, refused};
use super::retry::{FailedTry, Retry, is_passing};
use super::transport::{HttpResponse, Transport};
use crate::error::Error;

/// Sends the requests of a [`Remote`](super::Remote) and of its streams, which share it.
pub(super) struct Client<T> {
    pub(super) transport: T,
    pub(super) address: ModelAddress,
    pub(super) retry: Retry,
    /// One permit for each response body that may be open.
    pub(super) slots: Arc<Semaphore>,
    pub(super) token: Option<String>,
}

impl<T: Transport> Client<T> {
    /// Sends one request with the token, so `url` must be on the endpoint.
    pub(super) async fn ask(&self, url: &str, headers: &[(&str, &str)]) -> Result<HttpResponse<T::Body>, FailedTry> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let authorization = bearer.as_deref().map(|bearer| ("Authorization", bearer));
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain(authorization).collect();
        let answer = self.transport.get(url, &headers).await.map_err(|error| self.without_token(error))?;
        if is_passing(answer.status) {
            let asked = retry_after(answer.header("retry-after"), answer.header("ratelimit"));
            return Err(FailedTry::passing(self.refused(url, &answer)).asking(asked));
        }
        Ok(answer)
    }

    /// The error for a response with an unexpected status.
    pub(super) fn refused(&self, url: &str, answer: &HttpResponse<T::Body>) -> Error {
        self.without_token(refused(url, answer.status, answer.header("x-error-message").unwrap_or_default()))
    }

    /// Removes the token from an error: a server, or the caller's own fetch, may repeat it.
    fn without_token(&self, mut error: Error) -> Error {
        if let (Some(token), Error::Network { message, .. }) = (&self.token, &mut error) {
            *message = message.replace(token.as_str(), "[token]");
        }
        error
    }
}
