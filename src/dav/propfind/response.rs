//! Writing a multistatus: one `response` a resource, its href first and the only one but in
//! `lockdiscovery`, since some clients take every href for a resource.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::PropertyRequest;
use crate::dav::locks::RequestLocks;
use crate::dav::xml::escape;
use crate::fs::{Resource, ResourcePath};
use crate::state::{PropertyName, StoredProperty};

pub(super) const HEAD: &str =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">\n";
pub(super) const TAIL: &str = "</D:multistatus>\n";

/// The live properties that `allprop` gives, in this order.
const LIVE: [&str; 9] = [
    "resourcetype",
    "getcontentlength",
    "getlastmodified",
    "creationdate",
    "getetag",
    "getcontenttype",
    "displayname",
    "supportedlock",
    "lockdiscovery",
];
/// Namespace of the gateway's own live properties.
const OWN: &str = "urn:s3dav";
/// In [`OWN`]: the modification time that a client asked to keep.
const MTIME: &str = "mtime";

/// Writes the properties that were asked for.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    wanted: PropertyRequest,
    locks: RequestLocks,
    /// Leave out what is not there.
    minimal: bool,
    /// What `allprop` asks for.
    all: Vec<PropertyName>,
}

impl Writer {
    pub(super) fn new(wanted: PropertyRequest, locks: RequestLocks, minimal: bool) -> Self {
        Self { wanted, locks, minimal, all: all_names() }
    }

    /// Adds a resource's `response`.
    pub(super) async fn write(
        &self,
        text: &mut String,
        href: &str,
        resource: &Resource,
        dead: &[StoredProperty],
    ) {
        text.push_str("<D:response><D:href>");
        text.push_str(href);
        text.push_str("</D:href>");
        let (found, missing) = match &self.wanted {
            PropertyRequest::Some(names) => self.some(names, href, resource, dead),
            PropertyRequest::All { include } => {
                let (mut found, _) = self.some(&self.all, href, resource, dead);
                let shown = |p: &&StoredProperty| {
                    p.name.namespace != "DAV:" || !LIVE.contains(&p.name.local.as_str())
                };
                dead.iter().filter(shown).for_each(|p| found.push_str(&String::from_utf8_lossy(&p.xml)));
                let (more, missing) = self.some(include, href, resource, &[]);
                (found + &more, missing)
            }
            PropertyRequest::Names => (self.names(href, resource, dead), String::new()),
        };
        propstat(text, &found, "200 OK");
        if !missing.is_empty() && !self.minimal {
            propstat(text, &missing, "404 Not Found");
        }
        if found.is_empty() && (missing.is_empty() || self.minimal) {
            // A response must hold at least one propstat.
            text.push_str("<D:propstat><D:prop/><D:status>HTTP/1.1 200 OK</D:status></D:propstat>");
        }
        text.push_str("</D:response>\n");
    }

    fn some(
        &self,
        names: &[PropertyName],
        href: &str,
        resource: &Resource,
        dead: &[StoredProperty],
    ) -> (String, String) {
        let (mut found, mut missing) = (String::with_capacity(EXPECTED), String::new());
        for name in names {
            match dead.iter().find(|property| property.name == *name) {
                Some(property) => found.push_str(&String::from_utf8_lossy(&property.xml)),
                None => match self.live(name, href, resource) {
                    Some(element) => found.push_str(&element),
                    None => missing.push_str(&empty_element(name)),
                },
            }
        }
        (found, missing)
    }

    fn names(&self, href: &str, resource: &Resource, dead: &[StoredProperty]) -> String {
        let live = self.all.iter().filter(|name| self.live(name, href, resource).is_some());
        live.chain(dead.iter().map(|property| &property.name)).map(empty_element).collect()
    }

    /// A live property's element; `None` where the resource has no such.
    fn live(&self, name: &PropertyName, href: &str, resource: &Resource) -> Option<String> {
        if name.namespace == OWN && name.local == MTIME {
            let mtime = escape(resource.kept_mtime.as_deref()?);
            return Some(format!("<o:{MTIME} xmlns:o=\"{OWN}\">{mtime}</o:{MTIME}>"));
        }
        if name.namespace != "DAV:" {
            return None;
        }
        let content = match name.local.as_str() {
            "resourcetype" if resource.is_folder => "<D:collection/>".to_owned(),
            "resourcetype" => String::new(),
            "getcontentlength" if !resource.is_folder => resource.size.to_string(),
            "getlastmodified" => httpdate::fmt_http_date(resource.modified),
            "creationdate" => rfc3339(resource.modified)?,
            "getetag" => escape_etag(resource.etag.as_ref()?.quoted()),
            "getcontenttype" => escape(resource.content_type.as_deref()?),
            "displayname" if !resource.name.is_empty() => escape(&resource.name),
            "supportedlock" => SUPPORTED_LOCK.to_owned(),
            "lockdiscovery" => self.locks.discovery(href),
            _ => return None,
        };
        Some(format!("<D:{0}>{content}</D:{0}>", name.local))
    }
}

/// Bytes that a resource's properties mostly take.
const EXPECTED: usize = 1024;

/// Quotes need no escape in content, and clients compare the text.
fn escape_etag(etag: &str) -> String {
    escape(etag).replace("&quot;", "\"")
}

fn all_names() -> Vec<PropertyName> {
    LIVE.iter()
        .map(|local| PropertyName { namespace: "DAV:".to_owned(), local: (*local).to_owned() })
        .collect()
}

fn propstat(text: &mut String, properties: &str, status: &str) {
    if properties.is_empty() {
        return;
    }
    text.push_str("<D:propstat><D:prop>");
    text.push_str(properties);
    text.push_str("</D:prop><D:status>HTTP/1.1 ");
    text.push_str(status);
    text.push_str("</D:status></D:propstat>");
}

fn empty_element(name: &PropertyName) -> String {
    match name.namespace.as_str() {
        "DAV:" => format!("<D:{}/>", name.local),
        "" => format!("<{} xmlns=\"\"/>", name.local),
        namespace => format!("<x:{} xmlns:x=\"{}\"/>", name.local, escape(namespace)),
    }
}

fn rfc3339(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()?.format(&Rfc3339).ok()
}

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

/// A child's href, below its folder's.
pub(in crate::dav) fn child_href(base: &str, child: &Resource) -> String {
    let name = utf8_percent_encode(&child.name, HREF);
    match child.is_folder {
        true => format!("{base}{name}/"),
        false => format!("{base}{name}"),
    }
}

/// Everything but RFC 3986's unreserved characters.
const HREF: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const SUPPORTED_LOCK: &str = "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope>\
    <D:locktype><D:write/></D:locktype></D:lockentry>\
    <D:lockentry><D:lockscope><D:shared/></D:lockscope>\
    <D:locktype><D:write/></D:locktype></D:lockentry>";
