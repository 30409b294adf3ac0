//! What servers of other ways refuse, and what a policy denies.

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use super::quirks::{Listable, Quirks};

/// Status, code and message of an error.
pub(super) type Refusal = (u16, &'static str, &'static str);

/// Why a request is not carried out at all.
pub(super) fn refusal(quirks: &Quirks, operation: &str, uri: &Uri, headers: &HeaderMap) -> Option<Refusal> {
    if quirks.demands_md5 && operation == "DeleteObjects" && !headers.contains_key("content-md5") {
        let message = "Missing required header for this request: Content-Md5.";
        return Some((400, "MissingContentMD5", message));
    }
    let is_denied = operation == "ListObjectsV2"
        && quirks.listable.as_ref().is_some_and(|rules| !rules.iter().any(|rule| rule.fits(uri)));
    is_denied.then_some((403, "AccessDenied", "Access Denied"))
}

/// Whether it is not told to such an operation that something is not there.
pub(super) fn hides_absence(quirks: &Quirks, operation: &str) -> bool {
    matches!(operation, "HeadObject" | "GetObject") && quirks.listable.is_some()
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
