//! What a browser may do with what it is shown.

use http::{HeaderMap, HeaderValue, header};

/// For what lies in a bucket, which is not this server's own word: a page there must not act for it, nor load
/// anything from elsewhere, nor be shown inside another page.
pub(super) fn guard_content(headers: &mut HeaderMap) {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    let kind = kind.unwrap_or_default();
    // A browser would take the parts of the former, and the last of several types, without looking at this.
    if kind.starts_with(b"multipart/") || kind.contains(&b',') {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    let is_media = (kind.starts_with(b"video/") || kind.starts_with(b"audio/")) && !kind.contains(&b',');
    let policy = if is_media { MEDIA } else { CONTENT };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
}

/// For this server's own pages.
pub(super) fn guard_page(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE));
}

/// For every answer: its type is the one that is told, other origins' pages get nothing of it, and none shows
/// it inside itself.
pub fn guard(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        guard_page(headers);
    }
}

const CONTENT: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";
/// A browser plays these in a page of its own making, which asks for the same address once more; in a sandbox it
/// may not. They are never read as a page: see [`guard`].
const MEDIA: &str = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; \
     base-uri 'none'; form-action 'none'";
const PAGE: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \
     form-action 'none'";
