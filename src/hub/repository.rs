//! Where a model's files are on a server laid out like the Hugging Face Hub.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, Result};

const HUB: &str = "https://huggingface.co";
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

impl Repository {
    /// The address that the files' paths are appended to, `{endpoint}/{id}/resolve/{revision}`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming the field that cannot be part of an address or a header.
    pub(super) fn base(&self) -> Result<String> {
        let endpoint = self.endpoint.as_deref().unwrap_or(HUB).trim_end_matches('/');
        let host = endpoint.split_once("//").and_then(|(_, rest)| rest.split('/').next()).unwrap_or("");
        if host.contains('@') {
            return Err(Error::argument("endpoint", "has credentials in it; give them as token"));
        }
        if endpoint.contains(['?', '#', '\\']) || endpoint.contains(char::is_whitespace) {
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
        // A revision is one segment, whatever is in it: the Hub wants refs%2Fpr%2F1.
        Ok(format!("{endpoint}/{id}/resolve/{}", encode(revision)))
    }
}

/// The address of `file` below `base`.
///
/// # Errors
/// [`Error::Io`] if it is not a path within the model.
pub(super) fn address(base: &str, file: &str) -> Result<String> {
    if file.split('/').any(is_step) {
        return Err(Error::io(file, "is not a path within the model"));
    }
    let path: Vec<String> = file.split('/').map(encode).collect();
    Ok(format!("{base}/{}", path.join("/")))
}

/// The error for an answer other than 200, `server` being the server's own words.
pub(super) fn refused(file: &str, url: String, status: u16, server: &str) -> Error {
    // Development servers answer 200 with their start page where there is no file; the caller has seen that it is HTML.
    if matches!(status, 404 | 200) {
        return Error::NotFound { file: file.into(), place: url };
    }
    let server: String = server.chars().take(SERVER_WORDS).collect();
    let hint = match status {
        401 | 403 => "; the model may be private, gated or not exist, or the token be wrong",
        429 => "; too many requests, try again later",
        _ => "",
    };
    let message = format!("the server answered {status} {server}{hint}").replace(" ;", ";");
    Error::Network { url, status: (status > 0).then_some(status), message }
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
    use super::{Repository, address};

    fn repository(id: &str, revision: Option<&str>, endpoint: Option<&str>) -> Repository {
        let own = |s: Option<&str>| s.map(String::from);
        Repository { id: id.into(), revision: own(revision), endpoint: own(endpoint), token: None }
    }

    #[test]
    fn addresses_are_those_of_the_hub() {
        let base = repository("perplexity-ai/pplx-embed-v1-0.6b", None, None).base().unwrap();
        let url = address(&base, "1_Pooling/config.json").unwrap();
        let want = "https://huggingface.co/perplexity-ai/pplx-embed-v1-0.6b/resolve/main/1_Pooling/config.json";
        assert_eq!(url, want);
        let base = repository("a", Some("refs/pr/1"), Some("http://localhost:8080/models/")).base().unwrap();
        assert_eq!(address(&base, "ä b").unwrap(), "http://localhost:8080/models/a/resolve/refs%2Fpr%2F1/%C3%A4%20b");
    }

    #[test]
    fn what_would_leave_the_repository_is_refused() {
        for id in ["", "..", "a/..", "a/b/c", "/a", "https://a", "a b", "a%2f..", "a?b"] {
            assert_eq!(repository(id, None, None).base().err().unwrap().code(), "invalid-argument", "{id}");
        }
        for revision in ["", "..", "a/../b"] {
            assert!(repository("a", Some(revision), None).base().is_err(), "{revision}");
        }
        for endpoint in ["https://user:secret@host", "https://host?x", "https://ho st"] {
            let error = repository("a", None, Some(endpoint)).base().err().unwrap();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(address("b", "../x").is_err());
        assert!(Repository { token: Some("a\nb".into()), ..repository("a", None, None) }.base().is_err());
    }
}
