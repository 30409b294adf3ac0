//! What a browser is told of what it is shown, and may do with it.

use http::{HeaderMap, HeaderValue, header};

/// For what lies in a bucket, which is not this server's own word: a page there must not act for it, nor load
/// anything from elsewhere, nor be shown inside another page.
pub(super) fn guard_content(headers: &mut HeaderMap) {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is = |start: &[u8]| kind.get(..start.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(start));
    // A browser would take the parts of the former, and the last of several types, without looking at this.
    let is_deceptive = is(b"multipart/") || kind.contains(&b',');
    let policy = if !is_deceptive && (is(b"video/") || is(b"audio/")) { MEDIA } else { CONTENT };
    let told = if is_deceptive {
        Some(HeaderValue::from_static("application/octet-stream"))
    } else {
        with_charset(kind)
    };
    if let Some(told) = told {
        headers.insert(header::CONTENT_TYPE, told);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
}

/// The type of a text with the charset that it lacks, which a browser would take for windows-1252. Nearly all texts are
/// UTF-8; nobody looks into this one, so that HEAD, a part and the whole are told the same.
fn with_charset(kind: &[u8]) -> Option<HeaderValue> {
    let kind = std::str::from_utf8(kind).ok()?.trim_end_matches([';', ' ', '\t']);
    let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
    let bare = parts.next()?;
    // These say at their beginning what they are written in.
    let says_it = bare == "text/html" || bare.ends_with("xml");
    let is_text = (bare.starts_with("text/") && !says_it) || SCRIPTS.contains(&&*bare);
    if !is_text || parts.any(|parameter| parameter.starts_with("charset")) {
        return None;
    }
    HeaderValue::try_from(format!("{kind}; charset=utf-8")).ok()
}

/// Texts by another class.
const SCRIPTS: &[&str] = &["application/javascript", "application/x-javascript", "application/ecmascript"];

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

    #[test]
    fn a_text_that_does_not_say_its_charset_is_utf_8() {
        let told = |kind: &str| {
            with_charset(kind.as_bytes()).map(|told| told.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        for (kind, expected) in [
            ("text/plain", "text/plain; charset=utf-8"),
            ("Text/Markdown", "Text/Markdown; charset=utf-8"),
            ("text/csv; header=present;", "text/csv; header=present; charset=utf-8"),
            ("application/javascript", "application/javascript; charset=utf-8"),
            // As it was stored.
            ("text/plain; charset=iso-8859-1", ""),
            ("text/plain;format=flowed;CHARSET=\"utf-16\"", ""),
            // These say it themselves, or are no texts.
            ("text/xml", ""),
            ("text/html", ""),
            ("application/json", ""),
            ("image/svg+xml", ""),
            ("application/octet-stream", ""),
            ("text", ""),
            ("", ""),
        ] {
            assert_eq!(told(kind), expected, "{kind}");
        }
        assert_eq!(with_charset(b"text/plain; title=caf\xe9"), None);
    }
}
