//! What the Hub's API says about a repository: its commit and its files.

use super::ByteStream;
use super::client::Client;
use super::headers::{join, next_link, origin};
use super::manifest::Manifest;
use super::repository::HUB;
use super::retry::{FailedTry, Tries};
use super::transport::Transport;
use crate::error::{Error, Result};

/// Most pages in the list of a commit's files, and most bytes in one page. The Hub puts a thousand files on a page.
const MAX_PAGES: usize = 100;
const MAX_PAGE: usize = 16 << 20;

/// A response of the API.
enum ApiPage {
    /// JSON, and the address of the next page.
    Json(Vec<u8>, Option<String>),
    /// A response that no Hub sends.
    Other,
}

impl<T: Transport> Client<T> {
    /// The commit and its files; `None` if the server is not a Hub. Only a response that no Hub sends counts as proof of
    /// that: if a failed request did, it would turn verification off.
    pub(super) async fn manifest(&self) -> Result<Option<Manifest>> {
        let url = self.address.revision_api();
        let odd = |url: &str, message: String| Error::Network { url: url.into(), status: None, message };
        let commit = match self.page(&url, true).await? {
            ApiPage::Json(json, _) => Manifest::parse_commit(&json).map_err(|e| odd(&url, e))?,
            ApiPage::Other => None,
        };
        let Some(commit) = commit else {
            let hub = self.address.endpoint == HUB;
            return if hub {
                Err(odd(&url, "the Hub answered something that is not its own".into()))
            } else {
                Ok(None)
            };
        };
        let mut manifest = Manifest { commit, ..Manifest::default() };
        let mut url = self.address.tree_api(&manifest.commit);
        for _ in 0..MAX_PAGES {
            let ApiPage::Json(json, next) = self.page(&url, false).await? else {
                return Err(odd(&url, "the server answered something other than JSON".into()));
            };
            manifest.add_page(&json).map_err(|e| odd(&url, e))?;
            let Some(next) = next else { return Ok(Some(manifest)) };
            // The token is sent too, so the next page has to be on the same server.
            let near = join(&url, &next).filter(|next| origin(next) == origin(&self.address.endpoint));
            url = near.ok_or_else(|| odd(&url, "its next page is not on the same server".into()))?;
        }
        Err(odd(&url, format!("has more than {MAX_PAGES} pages")))
    }

    /// Reads a page of the API. With `probing`, the server may turn out to have no API.
    async fn page(&self, url: &str, probing: bool) -> Result<ApiPage> {
        let mut tries = Tries::new(self.retry);
        loop {
            match self.try_page(url, probing).await {
                Ok(page) => return Ok(page),
                Err(fault) => self.transport.wait(tries.failed(fault)?).await?,
            }
        }
    }

    async fn try_page(&self, url: &str, probing: bool) -> Result<ApiPage, FailedTry> {
        let broken =
            |message: String| FailedTry::passing(Error::Network { url: url.into(), status: Some(200), message });
        let mut answer = self.ask(url, &[]).await?;
        let status = answer.status;
        if status != 200 {
            let hub = answer.header("x-error-code").is_some();
            if probing && !hub && matches!(status, 400 | 403 | 404 | 405 | 410) {
                return Ok(ApiPage::Other);
            }
            if probing && status == 404 {
                let file = format!("{} at revision {}", self.address.id, self.address.revision);
                return Err(FailedTry::lasting(Error::NotFound { file, place: self.address.endpoint.clone() }));
            }
            return Err(FailedTry::lasting(self.refused(url, &answer)));
        }
        // Mirrors made of files say text/plain of JSON, or nothing: then the answer's beginning tells.
        let mut of_json = answer.header("content-type").is_some_and(|t| t.to_ascii_lowercase().contains("json"));
        let next = answer.header("link").and_then(next_link).map(String::from);
        let mut json = Vec::new();
        while let Some(chunk) = answer.body.next().await? {
            json.extend(chunk);
            match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{' | b'[') => of_json = true,
                Some(_) if !of_json => return Ok(ApiPage::Other),
                _ => {}
            }
            if json.len() > MAX_PAGE {
                let message = format!("the answer has more than {MAX_PAGE} bytes");
                return Err(FailedTry::lasting(Error::Network { url: url.into(), status: Some(200), message }));
            }
        }
        if answer.body.size().is_some_and(|size| size != json.len() as u64) {
            return Err(broken(format!("the answer broke off after {} bytes", json.len())));
        }
        if !of_json {
            return Ok(ApiPage::Other);
        }
        // Without a length, a truncated response may look complete.
        match serde_json::from_slice::<serde::de::IgnoredAny>(&json) {
            Ok(_) => Ok(ApiPage::Json(json, next)),
            Err(e) => Err(broken(format!("the answer is not JSON: {e}"))),
        }
    }
}
