//! Where a model's files are on a server laid out like the Hugging Face Hub.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, Result};

/// Where the Hugging Face Hub is.
pub(super) const HUB: &str = "https://huggingface.co";
/// Most characters of a server's own words that an error repeats.
const SERVER_WORDS: usize = 300;
/// What is encoded in a segment of a path: all but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where a model is. Its files are at `{endpoint}/{id}/resolve/{revision}/{file}`.
#[derive(Clone, Default)]
pub struct Repository {
    /// The server; `None` is the Hugging Face Hub.
    pub endpoint: Option<String>,
    /// `owner/name`, or a plain name.
    pub id: String,
    /// A branch, tag or commit; `None` is `main`.
    pub revision: Option<String>,
    /// Sent as `Authorization: Bearer` to the endpoint, and not on to another host that it redirects to.
    pub token: Option<String>,
}

/// The parts of a repository's addresses, checked.
pub(super) struct ModelAddress {
    /// Without a slash at its end.
    pub(super) endpoint: String,
    pub(super) id: String,
    /// As it was given, or `main`.
    pub(super) revision: String,
}

impl Repository {
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field that cannot be part of an address or a header.
    pub(super) fn address(&self) -> Result<ModelAddress> {
        let endpoint = self.endpoint.as_deref().unwrap_or(HUB).trim_end_matches('/');
        let host = endpoint.split_once("//").and_then(|(_, rest)| rest.split('/').next()).unwrap_or("");
        if host.contains('@') {
            return Err(Error::argument("endpoint", "has credentials in it; give them as token"));
        }
        let unfit = |c: char| matches!(c, '?' | '#' | '\\') || c.is_whitespace() || c.is_control();
        if endpoint.contains(unfit) {
            return Err(Error::argument("endpoint", format!("{endpoint:?}, allowed is an address without a query")));
        }
        let id = &self.id;
        let parts: Vec<&str> = id.split('/').collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if parts.len() > 2 || parts.iter().any(|p| is_step(p) || !p.chars().all(plain)) {
            let allowed = "allowed is owner/name or a name, of letters, digits, '-', '_' and '.'";
            return Err(Error::argument("id", format!("{id:?}, {allowed}")));
        }
        let revision = self.revision.as_deref().unwrap_or("main");
        if revision.split('/').any(is_step) {
            return Err(Error::argument("revision", format!("{revision:?}, allowed is a branch, tag or commit")));
        }
        if self.token.as_ref().is_some_and(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Error::argument("token", "has characters that an HTTP header cannot carry, or none"));
        }
        Ok(ModelAddress { endpoint: endpoint.into(), id: id.clone(), revision: revision.into() })
    }
}

impl ModelAddress {
    /// Where the Hub says what commit the revision is.
    pub(super) fn revision_api(&self) -> String {
        // A revision is one segment, whatever is in it: the Hub wants refs%2Fpr%2F1.
        format!("{}/api/models/{}/revision/{}", self.endpoint, self.id, encode(&self.revision))
    }

    /// Where the Hub lists the files of `commit`.
    pub(super) fn tree_api(&self, commit: &str) -> String {
        format!("{}/api/models/{}/tree/{commit}?recursive=true", self.endpoint, self.id)
    }

    /// Where `file` is at `revision`.
    ///
    /// # Errors
    /// [`Error::Io`] if it is not a path within the model.
    pub(super) fn file(&self, revision: &str, file: &str) -> Result<String> {
        if !is_path(file) {
            return Err(Error::io(file, "is not a path within the model"));
        }
        let path: Vec<String> = file.split('/').map(encode).collect();
        Ok(format!("{}/{}/resolve/{}/{}", self.endpoint, self.id, encode(revision), path.join("/")))
    }
}

/// The error for an answer that is none of those wanted, `server` being the server's own words.
pub(super) fn refused(url: &str, status: u16, server: &str) -> Error {
    let server: String = server.chars().take(SERVER_WORDS).collect();
    let hint = match status {
        401 | 403 => "; the model may be private, gated or not exist, or the token be wrong",
        429 => "; too many requests, try again later",
        _ => "",
    };
    let message = format!("the server answered {status} {server}{hint}").replace(" ;", ";");
    Error::Network { url: url.into(), status: (status > 0).then_some(status), message }
}

/// Whether `file` is a path within the model, which also means the same on every system.
pub(super) fn is_path(file: &str) -> bool {
    !file.split('/').any(is_step) && !file.contains(['\\', '\0'])
}

/// A segment that is no name: it would change which folder an address means.
fn is_step(segment: &str) -> bool {
    matches!(segment, "" | "." | "..")
}

fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::Repository;

    fn repository(id: &str, revision: Option<&str>, endpoint: Option<&str>) -> Repository {
        let own = |s: Option<&str>| s.map(String::from);
        Repository { id: id.into(), revision: own(revision), endpoint: own(endpoint), token: None }
    }

    #[test]
    fn addresses_are_those_of_the_hub() {
        let address = repository("perplexity-ai/pplx-embed-v1-0.6b", None, None).address().unwrap();
        let url = address.file("main", "1_Pooling/config.json").unwrap();
        let want = "https://huggingface.co/perplexity-ai/pplx-embed-v1-0.6b/resolve/main/1_Pooling/config.json";
        assert_eq!(url, want);
        let address = repository("a", Some("refs/pr/1"), Some("http://localhost:8080/models/")).address().unwrap();
        let url = address.file(&address.revision, "ä b").unwrap();
        assert_eq!(url, "http://localhost:8080/models/a/resolve/refs%2Fpr%2F1/%C3%A4%20b");
        assert_eq!(address.revision_api(), "http://localhost:8080/models/api/models/a/revision/refs%2Fpr%2F1");
        assert_eq!(address.tree_api("0a"), "http://localhost:8080/models/api/models/a/tree/0a?recursive=true");
    }

    #[test]
    fn what_would_leave_the_repository_is_refused() {
        for id in ["", "..", "a/..", "a/b/c", "/a", "https://a", "a b", "a%2f..", "a?b"] {
            assert_eq!(repository(id, None, None).address().err().unwrap().code(), "invalid-argument", "{id}");
        }
        for revision in ["", "..", "a/../b"] {
            assert!(repository("a", Some(revision), None).address().is_err(), "{revision}");
        }
        for endpoint in ["https://user:secret@host", "https://host?x", "https://ho st", "https://ho\u{1}st"] {
            let error = repository("a", None, Some(endpoint)).address().err().unwrap();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let address = repository("a", None, None).address().unwrap();
        for file in ["../x", "", "/x", "a\\..\\x"] {
            assert!(address.file("main", file).is_err(), "{file}");
        }
        assert!(Repository { token: Some("a\nb".into()), ..repository("a", None, None) }.address().is_err());
    }
}
