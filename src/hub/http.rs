//! A model's files on a server, read natively.

use std::io::Read;

use ureq::Agent;

use super::repository::{Repository, address, refused};
use super::{Source, Stream};
use crate::error::{Error, Result};

/// A model's files on a server laid out like the Hugging Face Hub.
pub struct Http {
    base: String,
    token: Option<String>,
    agent: Agent,
}

impl Http {
    /// The files of `repository`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field that cannot be part of an address.
    pub fn new(repository: &Repository) -> Result<Self> {
        // The token goes to the endpoint alone: ureq's own default, said here because so much hangs on it.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::Never)
            .build();
        Ok(Self { base: repository.base()?, token: repository.token.clone(), agent: config.into() })
    }
}

impl Source for Http {
    type Stream = HttpStream;

    async fn open(&self, file: &str) -> Result<HttpStream> {
        let url = address(&self.base, file)?;
        let mut request = self.agent.get(&url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer =
            request.call().map_err(|e| Error::Network { url: url.clone(), status: None, message: e.to_string() })?;
        let header = |name: &str| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(String::from);
        let html = header("content-type").is_some_and(|t| t.trim_start().starts_with("text/html"));
        let status = answer.status();
        if status != 200 || html {
            let server = header("x-error-message").or(status.canonical_reason().map(String::from));
            return Err(refused(file, url, status.as_u16(), &server.unwrap_or_default()));
        }
        let size = match header("content-encoding") {
            Some(_) => None,
            None => header("content-length").and_then(|n| n.trim().parse().ok()),
        };
        Ok(HttpStream { file: file.into(), body: Box::new(answer.into_body().into_reader()), read: 0, size })
    }
}

/// A file on its way.
pub struct HttpStream {
    file: String,
    body: Box<dyn Read>,
    read: u64,
    size: Option<u64>,
}

impl Stream for HttpStream {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let broken = |at: u64, why: String| {
            let of = self.size.map_or(String::new(), |size| format!(" of {size}"));
            Error::io(&self.file, format!("broke off after {at}{of} bytes: {why}"))
        };
        let mut chunk = vec![0; 1 << 20];
        let count = self.body.read(&mut chunk).map_err(|e| broken(self.read, e.to_string()))?;
        if count == 0 && self.size.is_some_and(|size| self.read < size) {
            return Err(broken(self.read, "the server sent no more".into()));
        }
        self.read += count as u64;
        chunk.truncate(count);
        Ok((count > 0).then_some(chunk))
    }
}
