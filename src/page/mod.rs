//! Pages for people: a folder, and why something was not shown.
//!
//! They are written by templates, which escape whatever comes from a bucket, and need nothing from elsewhere: no
//! script, no picture, no font. All links are relative, so that they are right behind a proxy that shows this server
//! below a path. Nothing here knows a store or a client; it is told what to show.

mod kind;
mod listing;
mod local;
mod order;
mod problem;
mod size;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

pub use listing::{Entry, Listing};
pub use order::Order;
pub use problem::Problem;

/// Whether a person will look at the answer to a request with these headers.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.to_ascii_lowercase().contains(word))
    };
    says(header::ACCEPT, "text/html") || says(HeaderName::from_static("sec-fetch-dest"), "document")
}

/// Says of an answer that it is one of these pages, and what a browser may do with it: show it in its own style.
pub fn mark(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    // The page is a browser's answer alone, and of this moment.
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'"
    );
    // Base64 is ASCII.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// Of all pages, as it stands between the tags.
const STYLE: &str = include_str!("style.css");

/// The relative address of a folder `levels` above the one that the page's address is in.
fn above(levels: usize) -> String {
    if levels == 0 { "./".to_owned() } else { "../".repeat(levels) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_the_style_alone() {
        let mut headers = HeaderMap::new();
        mark(&mut headers);
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
    }

    #[test]
    fn people_are_known_by_what_they_accept() {
        let wanted = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            is_wanted(&headers)
        };
        assert!(wanted("accept", "text/html,*/*;q=0.8") && wanted("accept", "Text/HTML"));
        assert!(wanted("sec-fetch-dest", "document"));
        assert!(
            !wanted("accept", "*/*")
                && !wanted("sec-fetch-dest", "image")
                && !wanted("user-agent", "text/html")
        );
    }
}
