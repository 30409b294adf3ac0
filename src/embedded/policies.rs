//! What servers of other ways refuse, and what a policy denies.

use http::HeaderMap;

use super::quirks::Quirks;

/// Status, code and message of an error.
pub(super) type Refusal = (u16, &'static str, &'static str);

/// Why a request is not carried out at all.
pub(super) fn refusal(quirks: &Quirks, operation: &str, headers: &HeaderMap) -> Option<Refusal> {
    if quirks.demands_md5 && operation == "DeleteObjects" && !headers.contains_key("content-md5") {
        let message = "Missing required header for this request: Content-Md5.";
        return Some((400, "MissingContentMD5", message));
    }
    None
}
