//! Writing a multistatus: one `response` a resource, its href first and the only one but in
//! `lockdiscovery`, since some clients take every href for a resource.

use super::PropertyRequest;
use super::live::Live;
use crate::dav::locks::RequestLocks;
use crate::dav::xml::escape;
use crate::fs::Resource;
use crate::state::{PropertyName, StoredProperty};

pub(super) const TAIL: &str = "</D:multistatus>\n";

/// Writes the properties that were asked for.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    wanted: Wanted,
    /// Those of the names that were asked for: each is written once, however many resources lack it.
    namespaces: Vec<String>,
    locks: RequestLocks,
    /// Leave out what is not there.
    minimal: bool,
}

/// A [`PropertyRequest`] whose names are looked up once, not for each resource.
#[derive(Debug, Clone)]
enum Wanted {
    All { include: Vec<Property> },
    Names,
    Some(Vec<Property>),
}

/// A property that was asked for.
#[derive(Debug, Clone)]
struct Property {
    name: PropertyName,
    live: Option<Live>,
    /// Its element where it is not there.
    empty: String,
}

/// The `propstat` of what is there, under way, and the names of what is not.
struct Answer<'a> {
    text: &'a mut String,
    missing: String,
}

impl Writer {
    pub(super) fn new(wanted: PropertyRequest, locks: RequestLocks, minimal: bool) -> Self {
        let mut namespaces = Vec::new();
        let mut known = |names: Vec<PropertyName>| {
            let known = |name| Property {
                live: Live::named(&name),
                empty: prefixed_element(&name, &mut namespaces),
                name,
            };
            names.into_iter().map(known).collect()
        };
        let wanted = match wanted {
            PropertyRequest::All { include } => Wanted::All { include: known(include) },
            PropertyRequest::Names => Wanted::Names,
            PropertyRequest::Some(names) => Wanted::Some(known(names)),
        };
        Self { wanted, namespaces, locks, minimal }
    }

    /// Whether a property is asked for that costs a question of its own.
    pub(super) fn wants_export(&self) -> bool {
        let (Wanted::Some(named) | Wanted::All { include: named }) = &self.wanted else { return false };
        named.iter().any(|property| property.live.is_some_and(Live::is_of_export))
    }

    /// The beginning of the answer.
    pub(super) fn head(&self) -> String {
        let mut head =
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\"".to_owned();
        for (number, namespace) in self.namespaces.iter().enumerate() {
            head.push_str(&format!(" xmlns:n{number}=\"{}\"", escape(namespace)));
        }
        head.push_str(">\n");
        head
    }

    /// Adds a resource's `response`.
    pub(super) fn write(&self, text: &mut String, href: &str, resource: &Resource, dead: &[StoredProperty]) {
        text.push_str("<D:response><D:href>");
        text.push_str(href);
        text.push_str("</D:href>");
        let before = text.len();
        text.push_str(PROPSTAT);
        let begun = text.len();
        let mut answer = Answer { text, missing: String::new() };
        self.properties(&mut answer, href, resource, dead);
        let Answer { text, missing } = answer;
        let nothing_missing = missing.is_empty() || self.minimal;
        if text.len() > begun || nothing_missing {
            // A response must hold at least one propstat, be it empty.
            end_propstat(text, "200 OK");
        } else {
            text.truncate(before);
        }
        if !nothing_missing {
            text.push_str(PROPSTAT);
            text.push_str(&missing);
            end_propstat(text, "404 Not Found");
        }
        text.push_str("</D:response>\n");
    }

    fn properties(&self, answer: &mut Answer<'_>, href: &str, resource: &Resource, dead: &[StoredProperty]) {
        let stored = |name: &PropertyName| dead.iter().find(|property| property.name == *name);
        let write = |text: &mut String, live: Live| live.write(text, href, resource, &self.locks);
        let has = |live: Live| live.is_of(resource);
        let one = |answer: &mut Answer<'_>, property: &Property| match (stored(&property.name), property.live)
        {
            (Some(dead), _) => answer.dead(dead),
            (None, Some(live)) if has(live) => write(answer.text, live),
            _ => answer.missing.push_str(&property.empty),
        };
        match &self.wanted {
            Wanted::Some(properties) => properties.iter().for_each(|property| one(answer, property)),
            Wanted::All { include } => {
                // What a client stored under a live property's name stands in its place.
                let is_live = |live: &Live| has(*live) && (dead.is_empty() || stored(&live.name()).is_none());
                Live::OF_DAV.into_iter().filter(is_live).for_each(|live| write(answer.text, live));
                dead.iter().for_each(|property| answer.dead(property));
                let is_shown = |property: &&Property| {
                    let is_live = property.live.is_some_and(|live| Live::OF_DAV.contains(&live) && has(live));
                    is_live || stored(&property.name).is_some()
                };
                include.iter().filter(|p| !is_shown(p)).for_each(|property| one(answer, property));
            }
            Wanted::Names => {
                let live = Live::OF_DAV.into_iter().filter(|live| has(*live)).map(Live::name);
                live.for_each(|name| answer.text.push_str(&empty_element(&name)));
                dead.iter().for_each(|property| answer.text.push_str(&empty_element(&property.name)));
            }
        }
    }
}

impl Answer<'_> {
    fn dead(&mut self, property: &StoredProperty) {
        self.text.push_str(&String::from_utf8_lossy(&property.xml));
    }
}

const PROPSTAT: &str = "<D:propstat><D:prop>";

fn end_propstat(text: &mut String, status: &str) {
    text.push_str("</D:prop><D:status>HTTP/1.1 ");
    text.push_str(status);
    text.push_str("</D:status></D:propstat>");
}

/// The same, by the prefix that [`Writer::head`] gives the namespace.
fn prefixed_element(name: &PropertyName, namespaces: &mut Vec<String>) -> String {
    if matches!(name.namespace.as_str(), "DAV:" | "") {
        return empty_element(name);
    }
    let known = namespaces.iter().position(|namespace| *namespace == name.namespace);
    let number = known.unwrap_or_else(|| {
        namespaces.push(name.namespace.clone());
        namespaces.len() - 1
    });
    format!("<n{number}:{}/>", name.local)
}

fn empty_element(name: &PropertyName) -> String {
    match name.namespace.as_str() {
        "DAV:" => format!("<D:{}/>", name.local),
        "" => format!("<{} xmlns=\"\"/>", name.local),
        namespace => format!("<x:{} xmlns:x=\"{}\"/>", name.local, escape(namespace)),
    }
}
