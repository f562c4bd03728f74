//! What the headers of an answer say, and where an address leads. All of it is foreign text.

use std::time::Duration;

/// `Content-Range: bytes first-last/total`: the bytes that a 206 brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first and the last byte; `None` in the `*` of a 416.
    pub bytes: Option<(u64, u64)>,
    /// The size of the whole, unless `*`.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Parses the header's value; `None` if it contradicts itself or is something else (RFC 9110, 14.4).
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let (unit, rest) = value.split_at_checked("bytes ".len())?;
        let (range, total) = rest.trim().split_once('/')?;
        if !unit.eq_ignore_ascii_case("bytes ") {
            return None;
        }
        let total = if total == "*" { None } else { Some(number(total)?) };
        if range == "*" {
            return Some(Self { bytes: None, total });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let whole = first <= last && total.is_none_or(|total| last < total);
        whole.then_some(Self { bytes: Some((first, last)), total })
    }
}

/// The address that `Link` calls the next (RFC 8288), as it is written there.
pub fn next_link(value: &str) -> Option<&str> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        // The parameters of this link end where the next one begins.
        let parameters = after.split_once('<').map_or(after, |(own, _)| own);
        let next = parameters.split([';', ',']).filter_map(|p| p.split_once('=')).any(|(name, value)| {
            let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
            name.trim().eq_ignore_ascii_case("rel") && relations.any(|r| r.eq_ignore_ascii_case("next"))
        });
        if next {
            return Some(target.trim());
        }
        rest = after;
    }
    None
}

/// How long the server wants to be left alone: `Retry-After` in seconds, or the `t` of `RateLimit`, whichever is
/// longer. A `Retry-After` that is a date is passed over.
pub fn retry_after(retry_after: Option<&str>, rate_limit: Option<&str>) -> Option<Duration> {
    let after = retry_after.and_then(number);
    // "resolvers";r=0;t=56, and in older drafts limit=100, remaining=0, t=56.
    let limit = rate_limit.and_then(|value| {
        let mut pairs = value.split([';', ',']).filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("t")).and_then(|(_, value)| number(value))
    });
    after.max(limit).map(Duration::from_secs)
}

/// What tells two versions of a file apart: a strong ETag, or else Last-Modified.
pub(super) fn tag(etag: Option<&str>, last_modified: Option<&str>) -> Option<String> {
    etag.filter(|e| is_strong(e)).or(last_modified).filter(|t| !t.is_empty() && t.len() <= 256).map(String::from)
}

/// Whether a tag is an ETag that `If-Range` may carry.
pub(super) fn is_strong(tag: &str) -> bool {
    tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"') && tag.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// A whole number without sign, as HTTP writes it.
pub(super) fn number(value: &str) -> Option<u64> {
    let value = value.trim();
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}

/// Scheme, host and port of an address, in lower case; empty where it has none.
pub(super) fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}").to_ascii_lowercase()
}

/// The address that `reference`, found at `base`, means; `None` if it is not fit for one. Browsers pass over tabs and
/// line ends within an address and read `\` as `/`, so neither is.
pub fn join(base: &str, reference: &str) -> Option<String> {
    if reference.is_empty() || !reference.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return None;
    }
    let scheme = base.split_once("://").map(|(scheme, _)| scheme);
    let (stem, colon) = (reference.split(['/', '?', '#']).next().unwrap_or_default(), reference.contains("://"));
    Some(if let (Some(scheme), Some(rest)) = (scheme, reference.strip_prefix("//")) {
        format!("{scheme}://{rest}")
    } else if stem.contains(':') {
        // No scheme but HTTP's.
        let http = ["http://", "https://"].iter().any(|s| reference.to_ascii_lowercase().starts_with(s));
        return (colon && http).then(|| reference.to_owned());
    } else if reference.starts_with("//") {
        return None;
    } else if reference.starts_with('/') {
        format!("{}{reference}", origin(base))
    } else {
        let path = base.split(['?', '#']).next().unwrap_or_default();
        let folder = path.rfind('/').map_or("", |at| &path[..=at]);
        format!("{folder}{reference}")
    })
}

#[cfg(test)]
mod tests {
    use super::{ContentRange, Duration, is_strong, join, next_link, origin, retry_after, tag};

    #[test]
    fn content_ranges() {
        let range = |bytes, total| Some(ContentRange { bytes, total });
        assert_eq!(ContentRange::parse("bytes 5-9/10"), range(Some((5, 9)), Some(10)));
        assert_eq!(ContentRange::parse(" Bytes 5-9/* "), range(Some((5, 9)), None));
        assert_eq!(ContentRange::parse("bytes */10"), range(None, Some(10)));
        for bad in ["", "bytes", "bytes 5-9", "bytes 9-5/10", "bytes 5-10/10", "bytes -5/10", "items 5-9/10"] {
            assert_eq!(ContentRange::parse(bad), None, "{bad:?}");
        }
        for bad in ["bytes 5-/10", "bytes +5-9/10", "bytes 5-9/1e3", "bytes 0-18446744073709551616/*", "\u{1f600}1-2/3"]
        {
            assert_eq!(ContentRange::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn links() {
        let hub = "<https://huggingface.co/api/models/a/tree/main?recursive=true&cursor=Zm9v>; rel=\"next\"";
        let want = "https://huggingface.co/api/models/a/tree/main?recursive=true&cursor=Zm9v";
        assert_eq!(next_link(hub), Some(want));
        assert_eq!(next_link("</1>; rel=first, </2>; title=x; rel=\"last next\""), Some("/2"));
        assert_eq!(next_link("</1>; rel=prev, </2>; title=\"rel=next"), None);
        for bad in ["", "<", "<a", "<a>", "<a>; rel", "rel=next", "a>; rel=next"] {
            assert_eq!(next_link(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn waits() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(retry_after(Some("7"), None), seconds(7));
        assert_eq!(retry_after(None, Some("\"resolvers\";r=0;t=56")), seconds(56));
        assert_eq!(retry_after(Some("7"), Some("limit=100, remaining=0, t=5")), seconds(7));
        assert_eq!(retry_after(Some("Wed, 21 Oct 2015 07:28:00 GMT"), Some("\"api\";r=4")), None);
        assert_eq!(retry_after(Some("-1"), Some("t=x")), None);
    }

    #[test]
    fn tags() {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(tag(Some("\"a\""), Some(date)).as_deref(), Some("\"a\""));
        assert_eq!(tag(Some("W/\"a\""), Some(date)).as_deref(), Some(date));
        assert_eq!(tag(Some("W/\"a\""), None), None);
        assert!(!is_strong("\"") && !is_strong("\"a\nb\"") && !is_strong(date));
    }

    #[test]
    fn addresses_lead_where_a_browser_would_go_or_nowhere() {
        let base = "https://Hub.example:8443/a/b?c=/d";
        assert_eq!(origin(base), "https://hub.example:8443");
        assert_eq!(origin("https://hub.example@evil.example/"), "https://hub.example@evil.example");
        assert_eq!(origin("/a"), "");
        let join = |reference| join(base, reference);
        assert_eq!(join("/x?y").as_deref(), Some("https://hub.example:8443/x?y"));
        assert_eq!(join("x").as_deref(), Some("https://Hub.example:8443/a/x"));
        assert_eq!(join("//cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        assert_eq!(join("HTTP://cdn.example/x").as_deref(), Some("HTTP://cdn.example/x"));
        for bad in ["", "/\t/evil.example", "/\\evil.example", "file:///etc", "data:,x", "javascript:x", "/ä", "a b"] {
            assert_eq!(join(bad), None, "{bad:?}");
        }
        assert_eq!(super::join("/relative/", "//evil.example"), None);
        assert_eq!(super::join("/relative/a", "/b").as_deref(), Some("/b"));
    }
}
