//! The names of this server, and which web pages may use it.
//!
//! A browser carries out what any page wants, in its user's name. A request under another name was led here
//! by that name's DNS (rebinding); one of another origin's page must do nothing and show it nothing, even if
//! that page lies on another port of this machine. Only whoever follows a link comes from elsewhere.

use std::net::IpAddr;
use std::str::FromStr;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::conditions;
use super::refused::{Refused, bad_request, refused};
use crate::fs::UrlPrefix;
use crate::fs::resource_path::RESERVED;

/// A name under which clients may come besides this machine's own, such as that of a TLS proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    name: String,
    /// All names below that one are meant, and not it.
    is_suffix: bool,
    /// Of the pages that may use it; without one, the usual port and the one that the request names.
    port: Option<u16>,
}

/// It is neither `NAME`, `*.NAME` nor one of these with `:PORT`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the name of a host, with or without a port")]
pub struct NoHost(String);

impl FromStr for AllowedHost {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let authority: Authority = text.parse().map_err(|_| NoHost(text.to_owned()))?;
        let rest = text.strip_prefix(authority.host()).ok_or_else(|| NoHost(text.to_owned()))?;
        if authority.host().is_empty() || (authority.port_u16().is_none() && !rest.is_empty()) {
            return Err(NoHost(text.to_owned()));
        }
        let host = bare(authority.host());
        let (name, is_suffix) = host.strip_prefix("*.").map_or((host, false), |name| (name, true));
        if name.is_empty() || name.contains('*') {
            return Err(NoHost(text.to_owned()));
        }
        Ok(Self { name: name.to_owned(), is_suffix, port: authority.port_u16() })
    }
}

/// The names of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts {
    pub(super) allowed: Vec<AllowedHost>,
    /// At one of the addresses of `localhost` another program may listen, and its pages have this port, too.
    pub(super) shares_localhost: bool,
    /// Below which path a proxy shows it.
    pub(super) prefix: UrlPrefix,
}

impl Hosts {
    /// Whether that is a name of this server, which was reached at its address `local`.
    pub(super) fn are(&self, host: &str, local: IpAddr) -> bool {
        is_of_this_machine(host, local) || self.allowed.iter().any(|allowed| allowed.is(host))
    }

    /// Refuses requests that are addressed to another name, or come from another origin's page.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        local: IpAddr,
    ) -> Result<(), Refused> {
        let host = conditions::single(headers, &header::HOST).map_err(bad_request)?;
        let host = uri.authority().map(Authority::as_str).or(host);
        let host = host.ok_or_else(|| bad_request("the request names no host"))?;
        let host: Authority = host.parse().map_err(|_| bad_request("the host is malformed"))?;
        if !self.are(host.host(), local) {
            let message =
                format!("{:?} is not a name of this server; allow it with --allowed-host", host.host());
            return Err(refused(StatusCode::FORBIDDEN, message));
        }
        let is_of_a_browser = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
        if !is_of_a_browser {
            return Ok(());
        }
        if self.shares_localhost && host.host().eq_ignore_ascii_case("localhost") {
            let message = format!("localhost may be another program, too; this one is at {local}");
            return Err(refused(StatusCode::FORBIDDEN, message));
        }
        let is_own = |origin| self.is_own_origin(origin, &host, local) == Some(true);
        if !headers.get_all(header::ORIGIN).iter().all(is_own) {
            return Err(refused(StatusCode::FORBIDDEN, "requests from other sites' pages are refused"));
        }
        let all = |name: &'static str, allowed: &[&str]| {
            let mut values = headers.get_all(HeaderName::from_static(name)).iter();
            values.all(|value| allowed.iter().any(|allowed| value.as_bytes() == allowed.as_bytes()))
        };
        let is_followed_link = matches!(*method, Method::GET | Method::HEAD)
            && all("sec-fetch-site", &["cross-site", "same-site"])
            && headers.contains_key("sec-fetch-mode")
            && all("sec-fetch-mode", &["navigate"])
            && headers.contains_key("sec-fetch-dest")
            && all("sec-fetch-dest", &["document"])
            && !self.prefix.rest(uri.path()).trim_start_matches('/').starts_with(RESERVED);
        if !all("sec-fetch-site", &["same-origin", "none"]) && !is_followed_link {
            return Err(refused(StatusCode::FORBIDDEN, "pages of other sites may not use this server"));
        }
        Ok(())
    }

    /// Whether a page of this origin is this server's. `host`: what the request is addressed to.
    fn is_own_origin(&self, origin: &HeaderValue, host: &Authority, local: IpAddr) -> Option<bool> {
        let origin: Uri = origin.to_str().ok()?.parse().ok()?;
        let (scheme, authority) = (origin.scheme_str()?, origin.authority()?);
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let port = authority.port_u16().unwrap_or(usual);
        let asked = host.port_u16().unwrap_or(80);
        // The same name, or it is another program's page: on another address it may have the same port.
        let is_same_host = authority.host().eq_ignore_ascii_case(host.host());
        let is_local =
            scheme == "http" && is_same_host && is_of_this_machine(host.host(), local) && port == asked;
        let is_allowed = |allowed: &AllowedHost| {
            allowed.is(authority.host())
                && allowed.port.map_or(port == usual || port == asked, |allowed| port == allowed)
        };
        Some(!authority.as_str().contains('@') && (is_local || self.allowed.iter().any(is_allowed)))
    }
}

impl AllowedHost {
    fn is(&self, host: &str) -> bool {
        let host = bare(host);
        if !self.is_suffix {
            return self.name.eq_ignore_ascii_case(host);
        }
        let (host, name) = (host.to_ascii_lowercase(), self.name.to_ascii_lowercase());
        host.strip_suffix(&name).and_then(|rest| rest.strip_suffix('.')).is_some_and(|rest| !rest.is_empty())
    }
}

fn is_of_this_machine(host: &str, local: IpAddr) -> bool {
    let host = bare(host);
    host.parse::<IpAddr>().is_ok_and(|ip| ip == local || ip.is_loopback())
        || host.eq_ignore_ascii_case("localhost")
}

/// Without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request with these headers is let through, to a server that also goes by two other names.
    fn is_let_in(method: Method, target: &str, given: &[(&'static str, &str)]) -> bool {
        let allowed =
            ["files.example", "dav.example:8443", "*.svc.example"].map(|name| name.parse().unwrap());
        let hosts = Hosts { allowed: allowed.to_vec(), ..Hosts::default() };
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        hosts.check(&method, &target.parse().unwrap(), &headers, "127.0.0.1".parse().unwrap()).is_ok()
    }

    fn host(name: &str) -> bool {
        is_let_in(Method::GET, "/", &[("host", name)])
    }

    #[test]
    fn only_own_names_are_answered() {
        for name in
            ["127.0.0.1:8330", "localhost", "[::1]:1", "FILES.example:99", "dav.example", "a.b.SVC.example:1"]
        {
            assert!(host(name), "{name}");
        }
        for name in [
            "evil.example",
            "192.168.1.1",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "svc.example",
            ".svc.example",
            "asvc.example",
            "a.svc.example.org",
        ] {
            assert!(!host(name), "{name}");
        }
    }

    #[test]
    fn only_own_pages_are_answered() {
        let of = |host: &str, origins: &[&str]| {
            let origins = origins.iter().map(|origin| ("origin", *origin));
            let headers: Vec<_> = [("host", host)].into_iter().chain(origins).collect();
            is_let_in(Method::PUT, "/file", &headers)
        };
        let local = "localhost:8330";
        assert!(of(local, &["http://localhost:8330"]) && of("[::1]:8330", &["http://[::1]:8330"]));
        assert!(of("localhost", &["http://localhost"]), "the usual port");
        for origin in [
            "http://localhost:9999",
            "http://[::1]:8330",
            "http://127.0.0.1:8330",
            "http://localhost",
            "https://localhost:8330",
            "https://127.0.0.1:1",
            "http://evil.example:8330",
            "http://x@localhost:8330",
            "null",
            "file://",
            "chrome-extension://abcdef",
            "localhost:8330",
            "",
        ] {
            assert!(!of(local, &[origin]), "{origin}");
            assert!(!of(local, &["http://localhost:8330", origin]), "{origin} as the second one");
        }
        assert!(
            of("files.example", &["https://files.example"]) && of("files.example", &["http://files.example"])
        );
        assert!(of("files.example:8080", &["http://files.example:8080"]));
        assert!(!of("files.example", &["https://files.example:8443"]));
        assert!(of("dav.example:8443", &["https://dav.example:8443"]));
        assert!(!of("dav.example:8443", &["https://dav.example"]));
    }

    #[test]
    fn a_browser_finds_this_program_alone() {
        let hosts = Hosts { shares_localhost: true, ..Hosts::default() };
        let is_let_in = |host: &str, site: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
            site.map(|site| headers.insert("sec-fetch-site", HeaderValue::from_str(site).unwrap()));
            hosts.check(&Method::GET, &Uri::from_static("/"), &headers, "127.0.0.1".parse().unwrap()).is_ok()
        };
        assert!(is_let_in("127.0.0.1:8330", Some("same-origin")) && is_let_in("localhost:8330", None));
        assert!(!is_let_in("localhost:8330", Some("same-origin")) && !is_let_in("LOCALHOST", Some("none")));
    }

    #[test]
    fn from_elsewhere_only_links_are_followed() {
        let fetch = |method: &str, target: &str, site: &str, mode: &str, dest: &str| {
            let names = ["host", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"];
            let values = ["localhost:8330", site, mode, dest];
            let given = names.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
            is_let_in(method.parse().unwrap(), target, &given.collect::<Vec<_>>())
        };
        for site in ["same-origin", "none", ""] {
            assert!(
                fetch("GET", "/a", site, "no-cors", "image") && fetch("PUT", "/a", site, "cors", "empty")
            );
        }
        for site in ["cross-site", "same-site"] {
            assert!(fetch("GET", "/a", site, "navigate", "document"));
            assert!(fetch("HEAD", "/a", site, "navigate", "document"));
            assert!(!fetch("PUT", "/a", site, "navigate", "document"));
            assert!(!fetch("GET", "/.s3dav/metrics", site, "navigate", "document"));
            assert!(!fetch("GET", "//.s3dav/metrics", site, "navigate", "document"));
            assert!(
                !fetch("GET", "/a", site, "navigate", "iframe") && !fetch("GET", "/a", site, "navigate", "")
            );
            assert!(!fetch("GET", "/a", site, "no-cors", "image") && !fetch("GET", "/a", site, "", ""));
        }
        assert!(!fetch("GET", "/a", "something-new", "navigate", "document"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let parse = |text: &str| text.parse::<AllowedHost>();
        assert_eq!(
            parse("a.example:8443").unwrap(),
            AllowedHost { name: "a.example".into(), is_suffix: false, port: Some(8443) }
        );
        assert_eq!(
            parse("[2001:db8::1]").unwrap(),
            AllowedHost { name: "2001:db8::1".into(), is_suffix: false, port: None }
        );
        for text in [
            "",
            ":80",
            "a.example:",
            "a.example:x",
            "a.example:99999",
            "x@a.example",
            "a/b",
            "http://a",
            "*",
            "*.",
            "*.*.a",
            "a.*.b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
