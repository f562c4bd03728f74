//! HTTP requests, natively.

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Agent;

use super::headers::{join, number, origin};
use super::local_copy::offline_variable;
use super::proxy::Proxies;
use super::{ByteStream, HttpResponse, Transport};
use crate::error::{Error, Result};

/// Most redirects followed.
const MAX_REDIRECTS: usize = 10;
/// The header in which a Hub names the commit of a file.
const COMMIT: &str = "x-repo-commit";
/// How often a wait looks whether the caller has cancelled.
const SLICE: Duration = Duration::from_millis(50);

/// HTTP in this process.
pub struct Http {
    agent: Agent,
    proxies: Proxies,
    /// No server is asked for anything.
    offline: bool,
    cancelled: Cancelled,
}

impl Default for Http {
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl Http {
    /// Goes through the proxies that the environment names. Gives a connection up once it takes longer than `stall` to be made, to begin its answer, or to bring another
    /// byte. There is no limit on the whole.
    pub fn new(stall: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, because a token is for one origin.
            .max_redirects(0)
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
            // A body is continued at a byte of the file, not at one of its encoding.
            .accept_encoding("identity")
            // Chosen for each request, by its address.
            .proxy(None)
            .timeout_resolve(Some(stall))
            .timeout_connect(Some(stall))
            .timeout_recv_response(Some(stall))
            .timeout_per_read(Some(stall))
            .build();
        let proxies = Proxies::of_environment();
        Self { agent: config.into(), proxies, offline: false, cancelled: Arc::new(|| false) }
    }

    /// Asks no server for anything: each request fails as if there were no network.
    #[must_use]
    pub fn offline(self) -> Self {
        Self { offline: true, ..self }
    }

    /// Asks `cancelled` before each request, within 50 ms while waiting, and between the pieces of a body; a read that
    /// is under way ends by itself within the stall time.
    #[must_use]
    pub fn cancelled_by(self, cancelled: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { cancelled: Arc::new(cancelled), ..self }
    }
}

/// Says whether the caller has cancelled.
type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

fn check(cancelled: &Cancelled) -> Result<()> {
    if cancelled() { Err(Error::Aborted) } else { Ok(()) }
}

impl Transport for Http {
    type Body = HttpBody;

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<HttpResponse<HttpBody>> {
        let network = |message: String| Error::Network { url: url.into(), status: None, message };
        if self.offline {
            let variable = offline_variable().unwrap_or("HF_HUB_OFFLINE");
            return Err(network(format!("{variable} is set: nothing is asked for")));
        }
        let mut target = url.to_owned();
        let mut trusted = true;
        let mut commit = None;
        for _ in 0..=MAX_REDIRECTS {
            check(&self.cancelled)?;
            let mut request = self.agent.get(&target).config().proxy(self.proxies.of(&target)).build();
            for (name, value) in headers {
                if trusted || !name.eq_ignore_ascii_case("authorization") {
                    request = request.header(*name, *value);
                }
            }
            // A redirect's address may hold a signature that is as good as a token: only the first one is named.
            let answer = request.call().map_err(|e| network(words(&e)))?;
            let status = answer.status().as_u16();
            let named = answer.headers().iter().filter_map(|(k, v)| Some((k.as_str().into(), v.to_str().ok()?.into())));
            let headers: Vec<(String, String)> = named.collect();
            let encoded = answer.headers().contains_key("content-encoding");
            let body = HttpBody {
                url: url.into(),
                size: None,
                body: Box::new(answer.into_body().into_reader()),
                cancelled: Arc::clone(&self.cancelled),
            };
            let mut answer = HttpResponse { status, headers, body };
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                answer.headers.extend(commit);
                answer.body.size = if encoded { None } else { answer.header("content-length").and_then(number) };
                return Ok(answer);
            }
            // The Hub says it where it sends on to another host, which does not know.
            commit = commit.or_else(|| Some((COMMIT.to_owned(), answer.header(COMMIT)?.to_owned())));
            let to = answer.header("location").and_then(|location| join(&target, location));
            target = to.ok_or_else(|| network(format!("the server answered {status} without a usable Location")))?;
            trusted = trusted && origin(&target) == origin(url);
        }
        Err(network(format!("the server redirects more than {MAX_REDIRECTS} times")))
    }

    async fn wait(&self, time: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            check(&self.cancelled)?;
            match time.checked_sub(start.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(SLICE)),
                _ => return Ok(()),
            }
        }
    }
}

/// What ureq says, without the address that it may name.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the address cannot be asked for".into(),
        error => error.to_string(),
    }
}

/// The body of an answer.
pub struct HttpBody {
    url: String,
    size: Option<u64>,
    body: Box<dyn Read + Send>,
    cancelled: Cancelled,
}

impl ByteStream for HttpBody {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        check(&self.cancelled)?;
        let mut chunk = vec![0; 256 << 10];
        let count = self.body.read(&mut chunk).map_err(|e| Error::Network {
            url: self.url.clone(),
            status: None,
            message: e.to_string(),
        })?;
        chunk.truncate(count);
        Ok((count > 0).then_some(chunk))
    }
}
