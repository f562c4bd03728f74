//! Which proxy a request goes through: what the environment says, as curl and Python's requests read it.

use ureq::Proxy;

/// The proxies of the environment.
#[derive(Clone, Default)]
pub(super) struct Proxies {
    /// For `http` and for `https` addresses.
    of_scheme: [Option<Proxy>; 2],
    /// Hosts that are asked without one.
    exempt: Vec<String>,
}

impl Proxies {
    /// `HTTPS_PROXY`, `HTTP_PROXY` and, for what neither is for, `ALL_PROXY`; `NO_PROXY` lists the hosts that are asked
    /// directly. Each may be in lower case. One that is no address of a proxy counts for nothing.
    pub(super) fn of_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let given = [name.to_owned(), name.to_ascii_lowercase()].iter().find_map(|name| variable(name));
            given.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let proxy = |name: &str| either(name).or_else(|| either("ALL_PROXY")).and_then(|url| Proxy::new(&url).ok());
        let exempt = either("NO_PROXY").unwrap_or_default();
        let exempt = exempt.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        Self {
            of_scheme: [proxy("HTTP_PROXY"), proxy("HTTPS_PROXY")],
            exempt: exempt.filter(|entry| !entry.is_empty()).collect(),
        }
    }

    /// The proxy for `url`, if there is one for it.
    pub(super) fn of(&self, url: &str) -> Option<Proxy> {
        let (scheme, rest) = url.split_once("://")?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let proxy = self.of_scheme[usize::from(scheme.eq_ignore_ascii_case("https"))].clone()?;
        (!self.exempt.iter().any(|entry| matches(entry, &host))).then_some(proxy)
    }
}

/// Whether an entry of `NO_PROXY` means `host`, which may have a port: the host itself or a host within that domain,
/// with or without a dot or a star before it, and with a port only if that is the host's.
fn matches(entry: &str, host: &str) -> bool {
    if entry == "*" {
        return true;
    }
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let domain = entry.trim_start_matches('*').trim_start_matches('.');
    let inside = |name: &str| name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    !domain.is_empty() && (inside(bare) || inside(host) || bare.trim_matches(['[', ']']) == domain)
}

#[cfg(test)]
mod tests {
    use super::{Proxies, matches};

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| Some(variables.iter().find(|(n, _)| *n == name)?.1.to_owned()))
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let of = |proxies: &Proxies, url: &str| proxies.of(url).map(|proxy| proxy.host().to_owned());
        let some = proxies(&[("HTTPS_PROXY", "http://secure:1"), ("no_proxy", "localhost, .example.com,10.0.0.1:81")]);
        assert_eq!(of(&some, "https://huggingface.co/a").as_deref(), Some("secure"));
        assert_eq!(of(&some, "http://huggingface.co/a"), None);
        assert_eq!(of(&some, "https://localhost:8080/a"), None);
        assert_eq!(of(&some, "https://Hub.Example.com?a"), None);
        let all = proxies(&[("ALL_PROXY", "http://any:1"), ("http_proxy", "plain:2"), ("HTTPS_PROXY", "")]);
        assert_eq!(of(&all, "https://a").as_deref(), Some("any"));
        assert_eq!(of(&all, "http://a").as_deref(), Some("plain"));
        assert_eq!(of(&proxies(&[("ALL_PROXY", "http://any:1"), ("NO_PROXY", "*")]), "https://a"), None);
        assert_eq!(of(&proxies(&[]), "https://a"), None);
    }

    #[test]
    fn exempt_hosts_are_whole_hosts_or_domains() {
        for (entry, host) in [
            ("example.com", "example.com"),
            ("example.com", "a.example.com:443"),
            (".example.com", "example.com"),
            ("*.example.com", "a.example.com"),
            ("127.0.0.1", "127.0.0.1:8080"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("::1", "[::1]:8080"),
        ] {
            assert!(matches(entry, host), "{entry}, {host}");
        }
        for (entry, host) in [
            ("example.com", "badexample.com"),
            ("example.com", "example.com.evil"),
            ("127.0.0.1:81", "127.0.0.1:80"),
            (".", "a"),
            ("*.", "a"),
        ] {
            assert!(!matches(entry, host), "{entry}, {host}");
        }
    }
}
