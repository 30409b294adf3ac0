//! What a browser may do with what it is shown.

use http::{HeaderMap, HeaderValue, header};

/// For what lies in a bucket, which is not this server's own word: a page there must not act for it, nor load
/// anything from elsewhere, nor be shown inside another page.
pub(super) fn guard_content(headers: &mut HeaderMap) {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is = |start: &[u8]| kind.get(..start.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(start));
    // A browser would take the parts of the former, and the last of several types, without looking at this.
    let is_deceptive = is(b"multipart/") || kind.contains(&b',');
    let policy = if !is_deceptive && (is(b"video/") || is(b"audio/")) { MEDIA } else { CONTENT };
    if is_deceptive {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_what_it_says_and_acts_for_nobody() {
        let guarded = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            guard_content(&mut headers);
            let text = |name| headers[name].to_str().unwrap().to_owned();
            (text(header::CONTENT_TYPE), text(header::CONTENT_SECURITY_POLICY))
        };
        let unknown = "application/octet-stream";
        for (kind, told, policy) in [
            ("text/html", "text/html", CONTENT),
            ("image/svg+xml", "image/svg+xml", CONTENT),
            ("Video/mp4", "Video/mp4", MEDIA),
            ("audio/wav", "audio/wav", MEDIA),
            ("video/mp4, text/html", unknown, CONTENT),
            ("Multipart/x-mixed-replace;boundary=b", unknown, CONTENT),
            ("text/plain, multipart/x-mixed-replace", unknown, CONTENT),
            ("v", "v", CONTENT),
        ] {
            assert_eq!(guarded(kind), (told.to_owned(), policy.to_owned()), "{kind}");
        }
    }
}
