//! What is refused before anything behind the front sees it, and what every layer behind may rely
//! on: the [`RequestContext`] made from the checked headers.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::Instant;

use super::hosts::Hosts;
use super::refused::{Refused, bad_request, refused, text};
use super::{conditions, destination, range};
use crate::client::{Client, Quirks};
use crate::dav::href::href_as_spelled;
use crate::fs::context::{Depth, ResponseHints};
use crate::fs::{RequestContext, ResourcePath, UrlPrefix};
use crate::page;

/// What the front knows of a request besides its head.
#[derive(Debug, Clone)]
pub(super) struct RequestMeta {
    pub(super) principal: Option<String>,
    pub(super) peer: IpAddr,
    /// How long requests may take; `None`: by the client's kind.
    pub(super) budget: Option<Duration>,
    /// This machine's address that the request came to.
    pub(super) local: IpAddr,
}

/// Checks a request's head and makes the context of it. The headers are put right for the engine.
pub(super) fn admit(
    method: &Method,
    uri: &Uri,
    headers: &mut HeaderMap,
    hosts: &Hosts,
    meta: RequestMeta,
) -> Result<RequestContext, Refused> {
    if uri.path().len() > MAX_URI {
        return Err(refused(StatusCode::URI_TOO_LONG, format!("the path is over {MAX_URI} bytes")));
    }
    let prefix = &hosts.prefix;
    let path = prefix.path(uri.path())?;
    check_size(headers)?;
    check_coding(headers)?;
    let body = if method == Method::PUT { PutHead::read(headers, &path)? } else { PutHead::default() };
    for name in ["x-litmus", "x-expected-entity-length", "x-update-range"] {
        // The first two change the engine's behaviour at the client's wish, the third writes parts.
        headers.remove(name);
    }
    let tokens = conditions::check(method, headers, prefix).map_err(bad_request)?;
    let (depth, omits_root) = depth(method, headers)?;
    timeout(headers)?;
    let (destination, overwrite) = match method.as_str() {
        "COPY" | "MOVE" => {
            let is_ours = |host: &str| hosts.are(host, meta.local);
            (Some(destination::check(uri, headers, (prefix, &path), is_ours)?), overwrite(headers)?)
        }
        _ => (None, true),
    };
    if let Some(expect) = headers.get(header::EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(refused(StatusCode::EXPECTATION_FAILED, "only 100-continue can be expected"));
    }
    let range = range::read(headers);
    let client = client(headers, &meta);
    let is_watched = method == Method::GET && page::is_wanted(headers);
    let quirks = client.quirks();
    let budget = meta.budget.unwrap_or_else(|| budget(quirks, body.has_content));
    let patience = match meta.budget {
        None if is_watched && !quirks.takes_5xx_for_absence => PAGE_BUDGET,
        _ => budget,
    };
    Ok(RequestContext {
        method: method.clone(),
        if_match: conditions::if_match(headers),
        has_own_condition: conditions::on_target(headers),
        is_conditional: conditions::any(headers) || (range.is_none() && headers.contains_key(header::RANGE)),
        range,
        content_type: text(headers, header::CONTENT_TYPE.as_str()),
        has_content: body.has_content,
        streamed_length: body.streamed_length,
        declared: body.declared,
        content_md5: body.md5,
        mtime: body.mtime,
        spelling: spelling(prefix, uri, headers),
        prefix: prefix.clone(),
        path,
        destination,
        depth,
        omits_root,
        overwrite,
        tokens,
        client,
        budget,
        deadline: Instant::now() + patience,
        outcome: ResponseHints::default(),
    })
}

/// What a PUT tells of its body before it comes.
#[derive(Default)]
struct PutHead {
    has_content: bool,
    streamed_length: Option<u64>,
    declared: Option<u64>,
    md5: Option<Vec<u8>>,
    mtime: Option<String>,
}

impl PutHead {
    fn read(headers: &HeaderMap, path: &ResourcePath) -> Result<Self, Refused> {
        if headers.contains_key(header::CONTENT_RANGE) {
            return Err(bad_request("writing a part of a file is not supported"));
        }
        if path.is_root() || path.has_trailing_slash() {
            return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "a folder is made with MKCOL"));
        }
        let length = text(headers, header::CONTENT_LENGTH.as_str());
        let streamed_length = streamed_length(headers);
        Ok(Self {
            declared: length.as_deref().and_then(|length| length.parse().ok()).or(streamed_length),
            has_content: length
                .map_or(headers.contains_key(header::TRANSFER_ENCODING), |length| length != "0"),
            streamed_length,
            md5: content_md5(headers)?,
            mtime: mtime(headers)?,
        })
    }
}

fn check_size(headers: &HeaderMap) -> Result<(), Refused> {
    match headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() {
        0..=MAX_HEADERS => Ok(()),
        _ => Err(refused(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            format!("the headers are over {MAX_HEADERS} bytes"),
        )),
    }
}

/// A body in another coding would be stored as it comes (RFC 9112, section 6.1).
fn check_coding(headers: &HeaderMap) -> Result<(), Refused> {
    let codings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).iter().collect();
    match codings.as_slice() {
        [] => Ok(()),
        [coding] if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(refused(StatusCode::NOT_IMPLEMENTED, "the only supported transfer coding is chunked")),
    }
}

fn client(headers: &HeaderMap, meta: &RequestMeta) -> Client {
    let agent = text(headers, header::USER_AGENT.as_str()).unwrap_or_default();
    Client::new(meta.principal.clone(), meta.peer, &agent)
}

/// How long S3 is waited for.
fn budget(quirks: &Quirks, has_content: bool) -> Duration {
    if quirks.hides_failed_close && has_content {
        CONTENT_BUDGET
    } else if quirks.takes_5xx_for_absence {
        LONG_BUDGET
    } else {
        BUDGET
    }
}

/// The depth, and whether a listing is to leave out its folder (`1,noroot`, as Microsoft's clients ask for it).
fn depth(method: &Method, headers: &mut HeaderMap) -> Result<(Option<Depth>, bool), Refused> {
    let name = header::HeaderName::from_static("depth");
    let Some(value) = conditions::single(headers, &name).map_err(bad_request)? else {
        return Ok((None, false));
    };
    let value = value.to_ascii_lowercase();
    let (levels, more) = value.split_once(',').map_or((&*value, None), |(levels, more)| (levels, Some(more)));
    let omits_root = more.is_some_and(|more| more.trim() == "noroot");
    let depth = match levels.trim() {
        _ if more.is_some() && !(omits_root && method.as_str() == "PROPFIND") => {
            return Err(bad_request("depth is neither 0, 1 nor infinity"));
        }
        "0" if !omits_root => Depth::Zero,
        "1" => Depth::One,
        "infinity" => Depth::Infinity,
        _ => return Err(bad_request("depth is neither 0, 1 nor infinity")),
    };
    let allowed = match method.as_str() {
        "COPY" | "LOCK" => depth != Depth::One,
        "MOVE" => depth == Depth::Infinity,
        "DELETE" => depth != Depth::One,
        _ => true,
    };
    if allowed {
        Ok((Some(depth), omits_root))
    } else {
        Err(bad_request(format!("{method} does not allow this depth")))
    }
}

/// Leaves the engine the one spelling that it knows: it takes every other for `T`.
fn overwrite(headers: &mut HeaderMap) -> Result<bool, Refused> {
    let name = header::HeaderName::from_static("overwrite");
    let (overwrite, spelled) = match conditions::single(headers, &name).map_err(bad_request)? {
        None | Some("T" | "t") => (true, "T"),
        Some("F" | "f") => (false, "F"),
        Some(_) => return Err(bad_request("overwrite is neither T nor F")),
    };
    headers.insert(name, HeaderValue::from_static(spelled));
    Ok(overwrite)
}

/// Checks a lock's timeout and leaves the engine the first choice of it, without the blanks that it
/// stumbles over.
fn timeout(headers: &mut HeaderMap) -> Result<(), Refused> {
    let Some(value) = text(headers, "timeout") else { return Ok(()) };
    let is_valid = |choice: &str| {
        choice.eq_ignore_ascii_case("infinite")
            || choice
                .strip_prefix("Second-")
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let choices: Vec<&str> = value.split(',').map(str::trim).collect();
    if !choices.iter().all(|choice| is_valid(choice)) {
        return Err(bad_request("timeout is malformed"));
    }
    let first = choices.first().copied().unwrap_or("Infinite");
    let seconds = first.strip_prefix("Second-").map(|n| n.parse::<u32>().unwrap_or(u32::MAX));
    let value = seconds.map_or_else(|| "Infinite".to_owned(), |n| format!("Second-{n}"));
    headers.insert("timeout", HeaderValue::try_from(value).map_err(|_| bad_request("timeout is malformed"))?);
    Ok(())
}

/// See [`RequestContext::spelling`]. Two slashes at the beginning would make a host of what follows, so that the
/// real one is named then.
fn spelling(prefix: &UrlPrefix, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let path = prefix.rest(uri.path());
    if !path.contains("//") {
        return None;
    }
    if !prefix.is_empty() {
        return Some(format!("{}{}", prefix.text(), href_as_spelled(path)));
    }
    let host = uri.authority().cloned().or_else(|| text(headers, "host")?.parse::<Authority>().ok());
    match host.filter(|_| path.starts_with("//")) {
        Some(host) => {
            let port = host.port_u16().map_or_else(String::new, |port| format!(":{port}"));
            Some(format!("http://{}{port}{}", host.host(), href_as_spelled(path)))
        }
        None => Some(href_as_spelled(path)),
    }
}

/// The length of a body that comes in chunks, of which macOS tells in a header of its own.
fn streamed_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::CONTENT_LENGTH) {
        None
    } else {
        text(headers, "x-expected-entity-length")?.parse().ok()
    }
}

fn content_md5(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Refused> {
    let Some(value) = text(headers, "content-md5") else { return Ok(None) };
    match STANDARD.decode(value.trim()) {
        Ok(digest) if digest.len() == 16 => Ok(Some(digest)),
        _ => Err(bad_request("content-md5 is not an MD5 in base64")),
    }
}

fn mtime(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(value) = text(headers, "x-oc-mtime") else { return Ok(None) };
    match value.trim().parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(Some(value.trim().to_owned())),
        _ => Err(bad_request("x-oc-mtime is not a number of seconds")),
    }
}

/// Escapes triple a name; a key of 1,024 bytes fits.
const MAX_URI: usize = 8 << 10;
/// Names and values together; clients send below 2 KiB.
const MAX_HEADERS: usize = 32 << 10;
/// macOS gives most operations 90 s.
const LONG_BUDGET: Duration = Duration::from_secs(75);
/// But waits for the end of an upload without any limit, and tells nobody that it failed: a night without a
/// network, or with credentials that have expired, is no reason to lose what was saved.
const CONTENT_BUDGET: Duration = Duration::from_secs(12 * 3600);
/// Until an answer begins. A person looks at nothing meanwhile; the page that says why asks again by itself.
const PAGE_BUDGET: Duration = Duration::from_secs(5);
/// Other clients give up after a minute at the most.
const BUDGET: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mac_saves_is_waited_for() {
        let budget = |agent: &str, method: Method, length: &str, given: Option<Duration>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, HeaderValue::from_str(agent).unwrap());
            match length {
                "chunked" => headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
                length => headers.insert(header::CONTENT_LENGTH, HeaderValue::from_str(length).unwrap()),
            };
            let address = "127.0.0.1".parse().unwrap();
            let meta = RequestMeta { principal: None, peer: address, budget: given, local: address };
            let hosts = Hosts::default();
            admit(&method, &Uri::from_static("/file"), &mut headers, &hosts, meta).unwrap().budget
        };
        let mac = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";
        assert_eq!(budget(mac, Method::PUT, "1", None), CONTENT_BUDGET);
        assert_eq!(budget(mac, Method::PUT, "chunked", None), CONTENT_BUDGET);
        assert_eq!(budget(mac, Method::PUT, "0", None), LONG_BUDGET, "it is held, and waited for by 90 s");
        assert_eq!(budget(mac, Method::GET, "0", None), LONG_BUDGET);
        assert_eq!(budget("davfs2/1.6", Method::PUT, "1", None), BUDGET);
        assert_eq!(budget(mac, Method::PUT, "1", Some(BUDGET)), BUDGET);
    }
}
