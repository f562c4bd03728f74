//! The download of one file.

use std::sync::Arc;

use async_lock::SemaphoreGuardArc;

use super::ByteStream;
use super::client::Client;
use super::headers::{ContentRange, is_strong, number, tag};
use super::manifest::FileInfo;
use super::retry::{FailedTry, Tries};
use super::transport::{HttpResponse, Transport};
use crate::error::{Error, Result};

/// A file being downloaded. If the connection breaks, the download resumes where it stopped. Dropping it ends it.
pub struct RemoteStream<T: Transport> {
    client: Arc<Client<T>>,
    file: String,
    url: String,
    info: FileInfo,
    /// Whether the manifest lists the file.
    listed: bool,
    /// The next byte to hand out.
    position: u64,
    /// Whether the server is asked for a range that starts there. If not, the bytes before it are skipped.
    ranged: bool,
    body: Option<OpenBody<T::Body>>,
    tries: Tries,
    ended: bool,
}

/// An open response body, and its permit to be open.
struct OpenBody<B> {
    stream: B,
    /// Bytes to pass over.
    skip: u64,
    _slot: SemaphoreGuardArc,
}

impl<T: Transport> RemoteStream<T> {
    pub(super) async fn open(
        client: &Arc<Client<T>>,
        file: &str,
        url: String,
        listed: Option<FileInfo>,
        position: u64,
    ) -> Result<Self> {
        let tries = Tries::new(client.retry);
        let mut stream = Self {
            client: Arc::clone(client),
            file: file.into(),
            url,
            listed: listed.is_some(),
            info: listed.unwrap_or_default(),
            position,
            ranged: true,
            body: None,
            tries,
            ended: false,
        };
        if stream.info.size.is_some_and(|size| position > size) {
            return Err(stream.behind_the_end());
        }
        while !stream.is_complete() && stream.body.is_none() {
            if let Err(fault) = stream.connect().await {
                stream.pause(fault).await?;
            }
        }
        Ok(stream)
    }

    /// Size, digest and tag of the whole file, from the manifest and the response headers.
    pub fn info(&self) -> &FileInfo {
        &self.info
    }

    /// The next byte that [`ByteStream::next`] gives.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn is_complete(&self) -> bool {
        self.ended || self.info.size == Some(self.position)
    }

    /// Waits before the next try, or gives up.
    async fn pause(&mut self, fault: FailedTry) -> Result<()> {
        self.body = None;
        // A transport only knows the address; name the file instead.
        let wait = self.tries.failed(fault.told(|error| match error {
            Error::Io { message, .. } => Error::io(&self.file, message),
            error => error,
        }))?;
        self.client.transport.wait(wait).await
    }

    /// Requests the rest of the file.
    async fn connect(&mut self) -> Result<(), FailedTry> {
        let slot = self.client.slots.acquire_arc().await;
        let range = format!("bytes={}-", self.position);
        let mut headers = Vec::new();
        if self.ranged && self.position > 0 {
            headers.push(("Range", range.as_str()));
            headers.extend(self.info.tag.as_deref().filter(|t| is_strong(t)).map(|tag| ("If-Range", tag)));
        }
        let asked_for_range = !headers.is_empty();
        let answer = self.client.ask(&self.url, &headers).await?;
        let (begin, size) = match answer.status {
            200 => (0, answer.body.size()),
            206 if asked_for_range => (self.position, self.part(&answer)?),
            416 if asked_for_range => return self.no_such_range(&answer),
            404 if !self.listed => return Err(FailedTry::lasting(self.not_found())),
            _ => return Err(FailedTry::lasting(self.client.refused(&self.url, &answer))),
        };
        // Development servers send their start page for a file that does not exist. No file of a model is HTML.
        if answer.header("content-type").is_some_and(|t| t.to_ascii_lowercase().starts_with("text/html")) {
            if !self.listed {
                return Err(FailedTry::lasting(self.not_found()));
            }
            let message = "a web page came in place of the file".into();
            return Err(FailedTry::passing(Error::Network { url: self.url.clone(), status: Some(200), message }));
        }
        if !self.listed && answer.header("x-repo-commit").is_some() {
            // A failed API request must not make a Hub look like a host without a manifest.
            let api = self.client.address.revision_api();
            let message = format!(
                "the server is a Hub by what it says of this file, but {api} was not answered as a Hub does; check the \
                 endpoint and its path, and what a mirror or proxy makes of /api/"
            );
            return Err(FailedTry::lasting(Error::Network { url: self.url.clone(), status: None, message }));
        }
        self.same_file(&answer, size)?;
        self.body = Some(OpenBody { stream: answer.body, skip: self.position - begin, _slot: slot });
        Ok(())
    }

    /// The size of the whole file in a 206 response, if it has the requested range.
    fn part(&mut self, answer: &HttpResponse<T::Body>) -> Result<Option<u64>, FailedTry> {
        let length = answer.header("content-length").and_then(number);
        let encoded = answer.header("content-encoding").is_some_and(|e| !e.eq_ignore_ascii_case("identity"));
        let whole = match answer.header("content-range").map(ContentRange::parse) {
            _ if encoded => None,
            Some(Some(ContentRange { bytes: Some((first, last)), total })) => {
                let brings = last - first;
                let right = first == self.position && length.is_none_or(|n| n.checked_sub(1) == Some(brings));
                right.then_some(total)
            }
            Some(_) => None,
            // A server of another origin need not show a page this header; it shows the length.
            None => {
                let total = length.and_then(|n| n.checked_add(self.position));
                (self.info.digest.is_some() && total == self.info.size).then_some(total)
            }
        };
        whole.ok_or_else(|| {
            // The server may at least be able to send the whole file.
            self.ranged = false;
            let came = answer.header("content-range").unwrap_or("no Content-Range");
            let asked = format!("asked for bytes {} on, {came:.100} came", self.position);
            FailedTry::passing(self.integrity(asked))
        })
    }

    /// Handles a 416: nothing is at the position, which may be the end of the file.
    fn no_such_range(&mut self, answer: &HttpResponse<T::Body>) -> Result<(), FailedTry> {
        let range = answer.header("content-range").and_then(ContentRange::parse);
        if self.info.size.is_none() && range.and_then(|r| r.total) == Some(self.position) {
            self.info.size = Some(self.position);
            return Ok(());
        }
        if self.listed {
            // The manifest says that there are more bytes.
            self.ranged = false;
            return Err(FailedTry::passing(self.client.refused(&self.url, answer)));
        }
        Err(FailedTry::lasting(self.behind_the_end()))
    }

    /// Checks that a response has the same size and version as the ones before.
    fn same_file(&mut self, answer: &HttpResponse<T::Body>, size: Option<u64>) -> Result<(), FailedTry> {
        if let Some(came) = size {
            let expected = *self.info.size.get_or_insert(came);
            if came != expected {
                let error = self.integrity(format!("the server has {came} bytes, expected {expected}"));
                // Of a listed file the commit cannot change, but an answer can be wrong once.
                return Err(if self.listed { FailedTry::passing(error) } else { FailedTry::lasting(error) });
            }
            if self.position > expected {
                return Err(FailedTry::lasting(self.behind_the_end()));
            }
        }
        // A listed file has a digest; what servers of copies call it may differ.
        let came = tag(answer.header("etag"), answer.header("last-modified")).filter(|_| !self.listed);
        if let Some(came) = came {
            let expected = self.info.tag.get_or_insert_with(|| came.clone());
            if came != *expected {
                let message = format!("changed while it was read: is {came}, expected {expected}");
                return Err(FailedTry::lasting(self.integrity(message)));
            }
        }
        Ok(())
    }

    /// The next chunk of the open body; `None` at its end.
    async fn receive(&mut self) -> Result<Option<Vec<u8>>, FailedTry> {
        let Some(body) = &mut self.body else { return Ok(None) };
        while let Some(mut chunk) = body.stream.next().await? {
            let skip = body.skip.min(chunk.len() as u64);
            body.skip -= skip;
            if skip < chunk.len() as u64 {
                chunk.drain(..skip as usize);
                return Ok(Some(chunk));
            }
        }
        if body.skip > 0 || self.info.size.is_some() {
            let message = "the server sent no more".into();
            return Err(FailedTry::passing(Error::Network { url: self.url.clone(), status: None, message }));
        }
        Ok(None)
    }

    /// The error for a download that broke off for good.
    fn broke_off(&self, error: Error) -> Error {
        let Error::Network { message, .. } = error else { return error };
        let of = self.info.size.map_or(String::new(), |size| format!(" of {size}"));
        Error::io(&self.file, format!("broke off after {}{of} bytes: {message}", self.position))
    }

    fn not_found(&self) -> Error {
        Error::NotFound { file: self.file.clone(), place: self.url.clone() }
    }

    fn behind_the_end(&self) -> Error {
        let size = self.info.size.map_or("fewer".into(), |size| size.to_string());
        self.integrity(format!("has {size} bytes, was to be read from byte {} on", self.position))
    }

    fn integrity(&self, message: String) -> Error {
        Error::Integrity { file: self.file.clone(), message }
    }
}

impl<T: Transport> ByteStream for RemoteStream<T> {
    /// Of the whole file, wherever in it the stream began.
    fn size(&self) -> Option<u64> {
        self.info.size
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if self.is_complete() {
                self.body = None;
                return Ok(None);
            }
            let fault = if self.body.is_none() {
                match self.connect().await {
                    Ok(()) => continue,
                    Err(fault) => fault,
                }
            } else {
                match self.receive().await {
                    Ok(Some(chunk)) => {
                        let came = self.position.saturating_add(chunk.len() as u64);
                        if let Some(size) = self.info.size.filter(|&size| came > size) {
                            return Err(self.integrity(format!("the server sends more than the {size} bytes expected")));
                        }
                        self.position = came;
                        self.tries.progress();
                        return Ok(Some(chunk));
                    }
                    Ok(None) => {
                        self.ended = true;
                        continue;
                    }
                    Err(fault) => fault.told(|error| self.broke_off(error)),
                }
            };
            self.pause(fault).await?;
        }
    }
}
