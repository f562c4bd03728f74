//! A model's files on a server, whatever goes wrong on the way.

use std::sync::Arc;

use async_lock::Semaphore;

use super::headers::{join, next_link, origin, retry_after};
use super::manifest::{Entry, Manifest};
use super::repository::{HUB, Place, Repository, refused};
use super::retry::{Fault, Retry, Tries};
use super::transfer::RemoteStream;
use super::transport::{Answer, Transport};
use super::verified::Verified;
use super::{NoForm, Source, Stream};
use crate::error::{Error, Result};

/// Most bodies of one [`Remote`] that are read at once. Whoever opens one more waits until another ends or is dropped.
pub const MOST_BODIES: usize = 4;
/// Most pages of a commit's files, and most bytes of one; the Hub puts a thousand files on a page.
const MOST_PAGES: usize = 100;
const MOST_PAGE: usize = 16 << 20;

/// A model's files on a server laid out like the Hugging Face Hub.
pub struct Remote<T> {
    shared: Arc<Shared<T>>,
    manifest: Option<Manifest>,
}

/// What a remote and its streams share.
pub(super) struct Shared<T> {
    pub(super) transport: T,
    pub(super) place: Place,
    pub(super) retry: Retry,
    pub(super) slots: Arc<Semaphore>,
    token: Option<String>,
}

impl<T: Transport> Remote<T> {
    /// The files of `repository`: resolves its revision to a commit and reads what the commit holds. A plain static
    /// host has no such manifest; its files are then read by the revision as given, and cannot be verified.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field that cannot be part of an address; [`Error::NotFound`] if a Hub
    /// has no such model or revision; [`Error::Network`] if it refuses or fails; [`Error::Aborted`].
    pub async fn open(repository: &Repository, transport: T, retry: Retry) -> Result<Self> {
        let (place, token) = (repository.place()?, repository.token.clone());
        let slots = Arc::new(Semaphore::new(MOST_BODIES));
        let shared = Arc::new(Shared { transport, place, retry, slots, token });
        let manifest = shared.manifest().await?;
        Ok(Self { shared, manifest })
    }

    /// The same, with other `retry` from now on.
    pub(super) fn retrying(mut self, retry: Retry) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.retry = retry;
        }
        self
    }

    /// The commit being read; `None` where the server has no manifest.
    pub fn commit(&self) -> Option<&str> {
        self.manifest.as_ref().map(|m| m.commit.as_str())
    }

    /// The server's address, without a slash at its end.
    pub fn endpoint(&self) -> &str {
        &self.shared.place.endpoint
    }

    /// The model's id.
    pub fn id(&self) -> &str {
        &self.shared.place.id
    }

    /// The revision as it was given, or `main`.
    pub fn revision(&self) -> &str {
        &self.shared.place.revision
    }

    /// What the commit holds; `None` where the server has no manifest.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// What the manifest says of `file`.
    pub fn entry(&self, file: &str) -> Option<&Entry> {
        self.manifest.as_ref()?.files.get(file)
    }

    /// Opens `file` at byte `from`. What the stream gives is as long as it should be, but not verified.
    ///
    /// # Errors
    /// [`Error::NotFound`], at once if the manifest lacks the file; [`Error::Integrity`] if `from` lies behind its
    /// end; [`Error::Network`]; [`Error::Aborted`].
    pub async fn open_at(&self, file: &str, from: u64) -> Result<RemoteStream<T>> {
        let place = &self.shared.place;
        let revision = self.commit().unwrap_or(&place.revision);
        let url = place.file(revision, file)?;
        let entry = self.entry(file);
        if self.manifest.is_some() && entry.is_none() {
            return Err(Error::NotFound { file: file.into(), place: url });
        }
        RemoteStream::open(&self.shared, file, url, entry.cloned(), from).await
    }
}

impl<T: Transport> Source for Remote<T> {
    type Stream = Verified<RemoteStream<T>>;
    type Form<'a>
        = NoForm
    where
        Self: 'a;

    async fn open(&self, file: &str) -> Result<Self::Stream> {
        let stream = self.open_at(file, 0).await?;
        let entry = stream.entry().clone();
        Ok(Verified::new(file, stream, &entry))
    }
}

/// An answer of the API, as far as it may be one.
enum Page {
    /// JSON, and the address of the next page.
    Json(Vec<u8>, Option<String>),
    /// Something that no Hub answers.
    Other,
}

impl<T: Transport> Shared<T> {
    /// The commit and its files; `None` if the server is no Hub. That it is none takes an answer that no Hub gives: if
    /// a failure passed for one, it would switch the checks off.
    async fn manifest(&self) -> Result<Option<Manifest>> {
        let url = self.place.revision_api();
        let odd = |url: &str, message: String| Error::Network { url: url.into(), status: None, message };
        let commit = match self.page(&url, true).await? {
            Page::Json(json, _) => Manifest::parse_commit(&json).map_err(|e| odd(&url, e))?,
            Page::Other => None,
        };
        let Some(commit) = commit else {
            let hub = self.place.endpoint == HUB;
            return if hub {
                Err(odd(&url, "the Hub answered something that is not its own".into()))
            } else {
                Ok(None)
            };
        };
        let mut manifest = Manifest { commit, ..Manifest::default() };
        let mut url = self.place.tree_api(&manifest.commit);
        for _ in 0..MOST_PAGES {
            let Page::Json(json, next) = self.page(&url, false).await? else {
                return Err(odd(&url, "the server answered something other than JSON".into()));
            };
            manifest.add_page(&json).map_err(|e| odd(&url, e))?;
            let Some(next) = next else { return Ok(Some(manifest)) };
            // The token goes along.
            let near = join(&url, &next).filter(|next| origin(next) == origin(&self.place.endpoint));
            url = near.ok_or_else(|| odd(&url, "its next page is not on the same server".into()))?;
        }
        Err(odd(&url, format!("has more than {MOST_PAGES} pages")))
    }

    /// Reads a page of the API. While `probing` it is not known whether there is one.
    async fn page(&self, url: &str, probing: bool) -> Result<Page> {
        let mut tries = Tries::new(self.retry);
        loop {
            match self.try_page(url, probing).await {
                Ok(page) => return Ok(page),
                Err(fault) => self.transport.wait(tries.failed(fault)?).await?,
            }
        }
    }

    async fn try_page(&self, url: &str, probing: bool) -> Result<Page, Fault> {
        let broken = |message: String| Fault::passing(Error::Network { url: url.into(), status: Some(200), message });
        let mut answer = self.ask(url, &[]).await?;
        let status = answer.status;
        if status != 200 {
            let hub = answer.header("x-error-code").is_some();
            if probing && !hub && matches!(status, 400 | 403 | 404 | 405 | 410) {
                return Ok(Page::Other);
            }
            if probing && status == 404 {
                let file = format!("{} at revision {}", self.place.id, self.place.revision);
                return Err(Fault::lasting(Error::NotFound { file, place: self.place.endpoint.clone() }));
            }
            return Err(Fault::lasting(self.refused(url, &answer)));
        }
        if !answer.header("content-type").is_some_and(|t| t.to_ascii_lowercase().contains("json")) {
            return Ok(Page::Other);
        }
        let next = answer.header("link").and_then(next_link).map(String::from);
        let mut json = Vec::new();
        while let Some(chunk) = answer.body.next().await? {
            json.extend(chunk);
            if json.len() > MOST_PAGE {
                let message = format!("the answer has more than {MOST_PAGE} bytes");
                return Err(Fault::lasting(Error::Network { url: url.into(), status: Some(200), message }));
            }
        }
        if answer.body.size().is_some_and(|size| size != json.len() as u64) {
            return Err(broken(format!("the answer broke off after {} bytes", json.len())));
        }
        // Half an answer may look whole where nobody said how long it is.
        match serde_json::from_slice::<serde::de::IgnoredAny>(&json) {
            Ok(_) => Ok(Page::Json(json, next)),
            Err(e) => Err(broken(format!("the answer is not JSON: {e}"))),
        }
    }

    /// Asks once. The token goes along: `url` must be on the endpoint.
    pub(super) async fn ask(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer<T::Body>, Fault> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let authorization = bearer.as_deref().map(|bearer| ("Authorization", bearer));
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain(authorization).collect();
        let answer = self.transport.get(url, &headers).await.map_err(|error| self.without_token(error))?;
        if matches!(answer.status, 408 | 425 | 429 | 500..=599) {
            let asked = retry_after(answer.header("retry-after"), answer.header("ratelimit"));
            return Err(Fault::passing(self.refused(url, &answer)).asking(asked));
        }
        Ok(answer)
    }

    /// The error for an answer that is none of those wanted.
    pub(super) fn refused(&self, url: &str, answer: &Answer<T::Body>) -> Error {
        self.without_token(refused(url, answer.status, answer.header("x-error-message").unwrap_or_default()))
    }

    /// A server, or a fetch of the caller's own, may repeat what it was sent.
    fn without_token(&self, mut error: Error) -> Error {
        if let (Some(token), Error::Network { message, .. }) = (&self.token, &mut error) {
            *message = message.replace(token.as_str(), "[token]");
        }
        error
    }
}
