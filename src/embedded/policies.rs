//! What servers of other ways refuse, and what a policy denies.

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use super::actions::LIST;
use super::quirks::{Listable, Quirks};

/// Status, code and message of an error.
pub(super) type Refusal = (u16, &'static str, &'static str);

/// Why a request is not carried out at all.
pub(super) fn refusal(quirks: &Quirks, operation: &str, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
    if quirks.demands_md5 && operation == "DeleteObjects" && !headers.contains_key("content-md5") {
        let message = "Missing required header for this request: Content-Md5.";
        return Some((400, "MissingContentMD5", message));
    }
    let has_checksum = || headers.keys().any(|name| name == "content-md5" || is_checksum(name.as_str()));
    if quirks.retains && operation == "PutObject" && !has_checksum() {
        let message = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters";
        return Some((400, "InvalidRequest", message));
    }
    let is_denied = is_denied(quirks, operation, uri)
        || quirks.denies_one_of(operation, headers)
        || quirks.objects_below.is_some_and(|prefix| !all_below(prefix, uri, headers));
    is_denied.then_some((403, "AccessDenied", "Access Denied"))
}

fn is_checksum(header: &str) -> bool {
    header.starts_with("x-amz-checksum-") || header == "x-amz-trailer"
}

/// Whether a policy denies it.
fn is_denied(quirks: &Quirks, operation: &str, uri: &Uri) -> bool {
    let key = uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
    match operation {
        "ListObjectsV2" => {
            quirks.listable.as_ref().is_some_and(|rules| !rules.iter().any(|rule| rule.fits(uri)))
        }
        "PutObject" | "CopyObject" | "CreateMultipartUpload" => {
            quirks.writable.as_ref().is_some_and(|all| !all.iter().any(|prefix| key.starts_with(prefix)))
        }
        "DeleteObject" | "DeleteObjects" => quirks.denies_deletes,
        _ => false,
    }
}

/// Whether the object that is named, and the one that is copied, lie there.
fn all_below(prefix: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let source = headers.get("x-amz-copy-source").and_then(|source| source.to_str().ok());
    [Some(uri.path()), source].into_iter().flatten().all(|path| {
        let key = path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
        key.is_empty() || key.starts_with(prefix)
    })
}

/// Whether it is not told to such an operation that something is not there.
pub(super) fn hides_absence(quirks: &Quirks, operation: &str) -> bool {
    matches!(operation, "HeadObject" | "GetObject") && (quirks.listable.is_some() || quirks.denies(LIST))
}

impl Listable {
    fn fits(&self, uri: &Uri) -> bool {
        let (prefix, delimiter) = (parameter(uri, "prefix"), parameter(uri, "delimiter"));
        let has_prefix = prefix.is_some_and(|prefix| match self.prefix.strip_suffix('*') {
            Some(start) => prefix.starts_with(start),
            None => prefix == self.prefix,
        });
        has_prefix && self.delimiter.is_none_or(|wanted| delimiter.as_deref() == Some(wanted))
    }
}

/// The value of a request's parameter.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let value = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}
