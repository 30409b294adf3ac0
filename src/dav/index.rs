//! A folder for a browser: a plain HTML listing.

use std::fmt::Write;
use std::time::SystemTime;

use futures_util::StreamExt;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use time::OffsetDateTime;
use time::macros::format_description;

use super::policy::guard_page;
use super::propfind::{child_href, href};
use super::xml::escape;
use super::{Body, full};
use crate::fs::{Failure, RequestContext, Resource, View};

/// Answers a GET of a folder: folders first, by name.
pub(super) async fn answer(view: &dyn View, context: &RequestContext) -> Result<Response<Body>, Failure> {
    let (folder, mut children) = view.list(&context.path).await?;
    if !folder.is_folder {
        return Err(Failure::NotFound);
    }
    let mut shown = Vec::new();
    let mut is_cut = false;
    while let Some(child) = children.next().await {
        is_cut = shown.len() == MAX_ROWS;
        if is_cut {
            break;
        }
        let child = child?;
        if !context.prefix.hides(&context.path, &child.name) {
            shown.push(child);
        }
    }
    shown.sort_by(|a, b| b.is_folder.cmp(&a.is_folder).then_with(|| a.name.cmp(&b.name)));
    let mut answer = Response::new(full(page(context, &shown, is_cut)));
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    guard_page(headers);
    Ok(answer)
}

/// The address that a browser needs for a folder that it asked for without the slash: at the other one it
/// would take relative links of the page for links of the folder above. It is relative itself, so that it is right
/// behind a proxy that shows this server below a path.
pub(super) fn with_slash(context: &RequestContext, uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    if context.path.has_trailing_slash() || !is_browser(headers) {
        return None;
    }
    let whole = format!("{}{}", context.prefix.text(), href(&context.path, true));
    let mut location = format!("{}/", whole.trim_end_matches('/').rsplit('/').next()?);
    if let Some(query) = uri.query() {
        location.push('?');
        location.push_str(query);
    }
    HeaderValue::try_from(location).ok()
}

/// Whether a person will look at the answer.
fn is_browser(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.to_ascii_lowercase().contains(word))
    };
    says(header::ACCEPT, "text/html") || says(HeaderName::from_static("sec-fetch-dest"), "document")
}

/// Sends a browser there. It must not remember that: the folder may be a file tomorrow.
pub(super) fn moved(location: HeaderValue) -> Response<Body> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    answer.headers_mut().insert(header::LOCATION, location);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn page(context: &RequestContext, children: &[Resource], is_cut: bool) -> String {
    let path = &context.path;
    // Relative, as far as whoever asked takes it so.
    let (base, above) = match path.has_trailing_slash() {
        true => (String::new(), "../"),
        false => (format!("{}{}", context.prefix.text(), href(path, true)), "./"),
    };
    let title = path.to_string();
    let title = escape(&title);
    let mut page = format!("{HEAD}<title>{title}</title></head><body><h1>{title}</h1>\n<table>\n");
    if !path.is_root() {
        page.push_str(&format!("<tr><td><a href=\"{above}\">..</a></td><td></td><td></td></tr>\n"));
    }
    children.iter().for_each(|child| page.push_str(&row(&base, child)));
    page.push_str("</table>\n");
    match children.len() {
        0 => page.push_str("<p>This folder is empty.</p>\n"),
        shown if is_cut => {
            // A `String` takes all.
            let _ = writeln!(page, "<p>The first {shown} are shown; there are more.</p>");
        }
        _ => {}
    }
    page.push_str("</body></html>\n");
    page
}

fn row(base: &str, child: &Resource) -> String {
    let (link, name, date) = (child_href(base, child), escape(&child.name), date(child.modified));
    match child.is_folder {
        true => format!("<tr><td><a href=\"{link}\">{name}/</a></td><td></td><td>{date}</td></tr>\n"),
        false => format!(
            "<tr><td><a href=\"{link}\">{name}</a></td><td title=\"{} bytes\">{}</td><td>{date}</td></tr>\n",
            child.size,
            size(child.size)
        ),
    }
}

/// `1.5 MB`, as Finder counts: by thousands.
fn size(bytes: u64) -> String {
    let units = ["bytes", "KB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 999.5 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    match size < 9.95 && unit > 0 {
        true => format!("{size:.1} {}", units[unit]),
        false => format!("{size:.0} {}", units[unit]),
    }
}

/// In UTC.
fn date(time: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    // This format has no part that could fail.
    OffsetDateTime::from(time).format(&format).unwrap_or_default()
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\">\
    <style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;\
    max-width:60em;padding:0 1em}h1{font-size:1.3em;overflow-wrap:anywhere}table{border-collapse:collapse;\
    width:100%}td{padding:.2em 0;border-bottom:1px solid #8883;overflow-wrap:anywhere}\
    td+td{text-align:right;white-space:nowrap;padding-left:2em;opacity:.65;\
    font-variant-numeric:tabular-nums}a{text-decoration:none}a:hover{text-decoration:underline}</style>";

/// A page that a browser still shows with ease; it is made as a whole.
const MAX_ROWS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_or_three_digits() {
        let cases = [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 KB"),
            (12_345, "12 KB"),
            (999_499, "999 KB"),
            (999_500, "1.0 MB"),
            (5_400_000_000, "5.4 GB"),
            (48_000_000_000_000_000, "48000 TB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }
}
