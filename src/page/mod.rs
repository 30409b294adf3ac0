//! Pages for people: a folder, and why something was not shown.
//!
//! They are written by templates, which escape whatever comes from a bucket, and need nothing from elsewhere: no
//! script, no picture, no font. All links are relative, so that they are right behind a proxy that shows this server
//! below a path. Nothing here knows a store or a client; it is told what to show.

mod entry;
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

pub use entry::Entry;
pub use listing::Listing;
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

    /// The colours that a theme of the style names.
    fn colours(theme: &str) -> Vec<(&str, [f64; 3])> {
        let pairs = theme.split_once('{').unwrap().1.trim_start_matches(":root{").split([';', '}']);
        let named = pairs.filter_map(|pair| pair.strip_prefix("--")?.split_once(":#"));
        named
            .map(|(name, digits)| {
                // `#fff` or `#ffffff`.
                let wide = digits.len() == 6;
                let part = |at: usize| if wide { &digits[2 * at..2 * at + 2] } else { &digits[at..=at] };
                let value = |at| {
                    let value = u8::from_str_radix(part(at), 16).unwrap();
                    f64::from(value) / if wide { 255.0 } else { 15.0 }
                };
                (name, [value(0), value(1), value(2)])
            })
            .collect()
    }

    /// As WCAG counts it.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        let light = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
        (light(a) / light(b)).max(light(b) / light(a))
    }

    #[test]
    fn icons_and_texts_stand_out_from_what_is_behind_them() {
        let icons = include_str!("icons.html");
        assert!(!icons.contains("fill=\"#") && !icons.contains("stroke=\"#"), "a colour that no theme names");
        let mut themes = STYLE.lines().take(2);
        for theme in ["light", "dark"] {
            let colours = colours(themes.next().unwrap());
            let of = |wanted: &str| colours.iter().find(|(name, _)| *name == wanted).unwrap().1;
            for behind in ["back", "hover", "sheet"] {
                for icon in ["edge", "folder", "tab", "blue", "green", "red", "pink", "brown", "violet"] {
                    assert!(icons.contains(&format!("var(--{icon})")), "{icon}");
                    let told = contrast(of(icon), of(behind));
                    assert!(told >= 3.0, "{theme}: {icon} on {behind}: {told:.2}");
                }
                for text in ["text", "faint", "link"] {
                    let told = contrast(of(text), of(behind));
                    assert!(told >= 4.5, "{theme}: {text} on {behind}: {told:.2}");
                }
            }
            let is_glaring = theme == "dark" && contrast(of("sheet"), of("back")) > 3.0;
            assert!(!is_glaring, "a sheet in the dark is no lamp");
        }
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
