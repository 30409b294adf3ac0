//! A folder for a browser.

use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};

use super::href::{child_href, href};
use super::{Body, full};
use crate::fs::{Failure, FileSystem, RequestContext, Resource};
use crate::page::{self, Entry, Listing, Order};

/// Answers a GET of a folder of `source`.
pub(super) async fn answer(
    fs: &dyn FileSystem,
    context: &RequestContext,
    source: &str,
    order: Order,
) -> Result<Response<Body>, Failure> {
    let (folder, mut children) = fs.list(&context.path).await?;
    if !folder.is_folder {
        return Err(Failure::NotFound);
    }
    let path = &context.path;
    // Relative, as far as whoever asked takes it so.
    let base = if path.has_trailing_slash() {
        String::new()
    } else {
        format!("{}{}", context.prefix.text(), href(path, true))
    };
    let mut entries = Vec::new();
    let mut is_cut = false;
    while let Some(child) = children.next().await {
        is_cut = entries.len() == MAX_ROWS;
        if is_cut {
            break;
        }
        let child = child?;
        if !context.prefix.hides(path, &child.name) {
            entries.push(entry(&base, child));
        }
    }
    let listing = Listing {
        source: source.to_owned(),
        path: path.segments().to_vec(),
        has_slash: path.has_trailing_slash(),
        entries,
        is_cut,
        order,
    };
    let page = tokio::task::spawn_blocking(|| listing.page()).await?;
    let mut answer = Response::new(full(page));
    page::mark(answer.headers_mut());
    Ok(answer)
}

fn entry(base: &str, child: Resource) -> Entry {
    Entry {
        href: child_href(base, &child),
        name: child.name,
        is_folder: child.is_folder,
        size: child.size,
        modified: Some(child.modified).filter(|_| child.is_date_stored),
        content_type: child.content_type,
    }
}

/// The address that a browser needs for a folder that it asked for without the slash: at the other one it
/// would take relative links of the page for links of the folder above. It is relative itself, so that it is right
/// behind a proxy that shows this server below a path.
pub(super) fn with_slash(context: &RequestContext, uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    if context.path.has_trailing_slash() || !page::is_wanted(headers) {
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

/// Sends a browser there. It must not remember that: the folder may be a file tomorrow.
pub(super) fn moved(location: HeaderValue) -> Response<Body> {
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    answer.headers_mut().insert(header::LOCATION, location);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A page that a browser still shows with ease; it is made as a whole. More is not asked for, so it is cut in the
/// store's order, which the page says.
const MAX_ROWS: usize = 10_000;
