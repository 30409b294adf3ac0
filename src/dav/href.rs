//! Paths as they stand in answers: fully escaped, so that no client reads them otherwise.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};

use crate::fs::{RequestContext, Resource, ResourcePath};

/// A request path as an href: the client's own spelling, fully escaped, a folder's with a slash.
pub fn href(path: &ResourcePath, is_folder: bool) -> String {
    let mut href = String::new();
    for segment in path.segments() {
        href.push('/');
        href.extend(utf8_percent_encode(segment, HREF));
    }
    if is_folder || path.is_root() {
        href.push('/');
    }
    href
}

/// The path of a request, which could be read, as an href with all its slashes.
pub fn href_as_spelled(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let name: Vec<u8> = percent_decode_str(segment).collect();
        percent_encode(&name, HREF).to_string()
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The href of what a request is about, as its client spelled it.
pub(super) fn own_href(context: &RequestContext, is_folder: bool) -> String {
    let Some(spelling) = &context.spelling else {
        return format!("{}{}", context.prefix.text(), href(&context.path, is_folder));
    };
    match (is_folder, spelling.ends_with('/')) {
        (true, false) => format!("{spelling}/"),
        (true, true) => spelling.clone(),
        (false, _) => spelling.trim_end_matches('/').to_owned(),
    }
}

/// A child's href, below its folder's.
pub(super) fn child_href(base: &str, child: &Resource) -> String {
    let name = utf8_percent_encode(&child.name, HREF);
    if child.is_folder { format!("{base}{name}/") } else { format!("{base}{name}") }
}

/// Everything but RFC 3986's unreserved characters.
const HREF: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
