//! One HTTP request, however it is made.

use std::time::Duration;

use super::ByteStream;
use crate::error::Result;

/// Makes requests: [`Http`](super::Http) natively, `Web` in a browser. It tries once and follows redirects; retrying
/// and checking is [`Remote`](super::Remote)'s.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait Transport {
    /// The body of an answer. Its size is that of `Content-Length`, where the body came unencoded. An error of its
    /// `next` is [`Error::Network`](crate::Error::Network) if the connection broke, which may be mended; else what was
    /// wrong with it, or that the caller cancelled.
    type Body: ByteStream;

    /// Asks for `url` with these headers. Any status is an answer. `Authorization` goes to the origin of `url` and to
    /// no other that it redirects to.
    ///
    /// # Errors
    /// [`Error::Aborted`](crate::Error::Aborted); [`Error::Network`](crate::Error::Network) if there was no answer.
    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<HttpResponse<Self::Body>>;

    /// Lets `time` pass.
    ///
    /// # Errors
    /// [`Error::Aborted`](crate::Error::Aborted), soon after the caller cancels.
    async fn wait(&self, time: Duration) -> Result<()>;
}

/// What a server answered.
pub struct HttpResponse<B> {
    /// The HTTP status, of the last answer where some were redirects.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, decoded where it was encoded. Dropping it ends the transfer.
    pub body: B,
}

impl<B> HttpResponse<B> {
    /// The header `name`, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.trim())
    }
}
