//! Where a COPY or MOVE goes.

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::conditions::one;
use super::refused::{Refused, bad_request, refused, text};
use crate::dav::href::href;
use crate::fs::resource_path::RESERVED;
use crate::fs::{ResourcePath, UrlPrefix};

/// Checks where a COPY or MOVE goes, and writes it as the engine cannot misread it.
pub(super) fn check(
    uri: &Uri,
    headers: &mut HeaderMap,
    (prefix, path): (&UrlPrefix, &ResourcePath),
    is_ours: impl Fn(&str) -> bool,
) -> Result<ResourcePath, Refused> {
    let value = one(headers, &NAME).map_err(bad_request)?;
    let value = value.ok_or_else(|| bad_request("destination is missing"))?;
    let target = read(prefix.rest(uri.path()), value.as_bytes())?;
    if let Some(host) = target.authority() {
        let own = uri.authority().map(|own| own.as_str().to_owned()).or_else(|| text(headers, "host"));
        let own = own.and_then(|own| own.parse::<Authority>().ok());
        // By whichever of its names: a client may have been sent on from one to another.
        let is_here = |own: Authority| {
            own.as_str().eq_ignore_ascii_case(host.as_str())
                || (own.port_u16() == host.port_u16() && is_ours(host.host()))
        };
        if !own.is_some_and(is_here) {
            return Err(refused(StatusCode::BAD_GATEWAY, "the destination is on another server"));
        }
    }
    let destination = prefix.path(target.path())?;
    if path.is_root() || destination.is_root() || destination.same_resource(path) {
        return Err(refused(
            StatusCode::FORBIDDEN,
            "source and destination are the same, or one is the root",
        ));
    }
    if destination.is_reserved() {
        return Err(refused(StatusCode::FORBIDDEN, format!("/{RESERVED} is reserved for the gateway")));
    }
    if destination.overlaps(path) {
        return Err(refused(StatusCode::CONFLICT, "one of source and destination contains the other"));
    }
    let plain = href(&destination, destination.has_trailing_slash());
    let plain = HeaderValue::try_from(format!("{}{plain}", prefix.text()));
    headers.insert(NAME, plain.map_err(|_| malformed())?);
    Ok(destination)
}

/// Reads the header's value: a URL, or its path, or one relative to what the request is about. Clients write blanks
/// and letters into it that a URL does not have. `base`: the path of the request.
fn read(base: &str, value: &[u8]) -> Result<Uri, Refused> {
    let value = value.trim_ascii();
    if value.contains(&b'#') {
        // It would be cut off unseen, and another file be replaced.
        return Err(bad_request("destination has a fragment; a # in a name is written %23"));
    }
    let written = percent_encode(value, NOT_IN_URLS).to_string();
    // A relative path's first name has no colon, or it would be a scheme.
    let has_scheme = written.split('/').next().is_some_and(|first| first.contains(':'));
    let target = if written.starts_with('/') || has_scheme {
        written
    } else if written.is_empty() {
        return Err(malformed());
    } else {
        resolve(base, &written).ok_or_else(malformed)?
    };
    let target: Uri = target.parse().map_err(|_| malformed())?;
    if target.query().is_some() || !target.path().starts_with('/') {
        return Err(malformed());
    }
    Ok(target)
}

/// A relative path beside what has the path `base` (RFC 3986, section 5.2); `None`: it leads out of the server.
fn resolve(base: &str, relative: &str) -> Option<String> {
    let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut segments: Vec<&str> = folder.split('/').skip(1).collect();
    let mut names = relative.split('/').peekable();
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        match name {
            "." | ".." => {
                if name == ".." {
                    segments.pop()?;
                }
                if is_last {
                    segments.push("");
                }
            }
            name => segments.push(name),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

fn malformed() -> Refused {
    bad_request("destination is malformed")
}

const NAME: HeaderName = HeaderName::from_static("destination");
/// Bytes beyond ASCII are escaped in any case. A `%` stays, since most write escapes.
const NOT_IN_URLS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_begins_where_the_request_is() {
        for (base, relative, target) in [
            ("/a/b", "c", Some("/a/c")),
            ("/a/b", "./c/", Some("/a/c/")),
            ("/a/b/", "c", Some("/a/b/c")),
            ("/a/b/x", "../c", Some("/a/c")),
            ("/a/b/x", "..", Some("/a/")),
            ("/b", "c", Some("/c")),
            ("/b", "../c", None),
        ] {
            assert_eq!(resolve(base, relative).as_deref(), target, "{base} {relative}");
        }
    }

    #[test]
    fn what_no_url_has_is_escaped() {
        let read = |value: &str| read("/a/b", value.as_bytes()).map(|uri| uri.path().to_owned());
        assert_eq!(read("/a/caf\u{e9} 1").unwrap(), "/a/caf%C3%A9%201");
        assert_eq!(read("http://h:1/caf\u{e9}%20x").unwrap(), "/caf%C3%A9%20x");
        assert_eq!(read("\u{e9}.txt").unwrap(), "/a/%C3%A9.txt");
        for value in ["", " ", "/a?b", "/a#b", "mailto:x", "../../c"] {
            assert!(read(value).is_err(), "{value}");
        }
    }
}
