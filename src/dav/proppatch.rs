//! PROPPATCH: the engine's, and what it forgets.
//!
//! The engine says 200 to the removal of `displayname` and `getcontentlanguage`, and to Windows' dates and attributes
//! of a file, and does not pass them on. Such changes are carried out here, after the engine has accepted the whole
//! request.

use quick_xml::NsReader;
use quick_xml::events::Event;

use super::xml::{element_name, escape};
use crate::state::{PropertyChange, PropertyName, StoredProperty};

/// The changes in a `propertyupdate` that the engine would lose. `body` has passed the check.
pub(super) fn lost_changes(body: &[u8]) -> Vec<PropertyChange> {
    let mut reader = NsReader::from_reader(body);
    reader.config_mut().expand_empty_elements = true;
    let mut found = Found::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                let Ok(name) = element_name(&reader, &element) else { return found.lost };
                found.begin(name);
            }
            Ok(Event::End(_)) => found.end(),
            Ok(Event::Text(text)) => found.text(&escape(&text.xml10_content())),
            Ok(Event::CData(text)) => found.text(&escape(&text.xml10_content())),
            Ok(Event::GeneralRef(name)) => found.text(&format!("&{};", name.as_ref())),
            Ok(Event::Eof) | Err(_) => return found.lost,
            Ok(_) => {}
        }
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Found {
    parents: Vec<String>,
    lost: Vec<PropertyChange>,
    /// A property that is being set, and its value as XML.
    setting: Option<(PropertyName, String)>,
}

impl Found {
    fn begin(&mut self, name: PropertyName) {
        let parents: Vec<&str> = self.parents.iter().map(String::as_str).collect();
        let local = name.local.clone();
        match parents.as_slice() {
            ["propertyupdate", "remove", "prop"] if is_one(&name, "DAV:", &LOST_REMOVALS) => {
                self.lost.push(PropertyChange::Remove(name));
            }
            ["propertyupdate", "set", "prop"] if is_one(&name, WINDOWS, &LOST_SETS) => {
                self.setting = Some((name, String::new()));
            }
            _ => {}
        }
        self.parents.push(local);
    }

    fn end(&mut self) {
        self.parents.pop();
        if self.parents.len() == DEPTH_OF_PROP {
            let set = self.setting.take().map(|(name, value)| PropertyChange::Set(stored(name, &value)));
            self.lost.extend(set);
        }
    }

    fn text(&mut self, xml: &str) {
        if let Some((_, value)) = &mut self.setting {
            value.push_str(xml);
        }
    }
}

fn is_one(name: &PropertyName, namespace: &str, locals: &[&str]) -> bool {
    name.namespace == namespace && locals.contains(&name.local.as_str())
}

fn stored(name: PropertyName, value: &str) -> StoredProperty {
    let (local, namespace) = (&name.local, escape(&name.namespace));
    let xml = format!("<x:{local} xmlns:x=\"{namespace}\">{value}</x:{local}>");
    StoredProperty { name, xml: xml.into_bytes() }
}

/// Whether a multistatus reports nothing but success.
pub(super) fn all_succeeded(multistatus: &[u8]) -> bool {
    let text = String::from_utf8_lossy(multistatus);
    text.matches("HTTP/1.1 ").count() == text.matches("HTTP/1.1 200 ").count()
}

/// A multistatus of one resource with another href, made by whether the resource is a folder.
pub(super) fn with_href(multistatus: &[u8], href: impl Fn(bool) -> String) -> String {
    let text = String::from_utf8_lossy(multistatus);
    let Some((head, rest)) = text.split_once(HREF) else { return text.into_owned() };
    let Some((own, tail)) = rest.split_once("</") else { return text.into_owned() };
    format!("{head}{HREF}{}</{tail}", href(own.ends_with('/')))
}

/// The beginning of an href, as the engine writes it.
const HREF: &str = "<D:href>";
/// Its namespace.
const WINDOWS: &str = "urn:schemas-microsoft-com:";
const LOST_REMOVALS: [&str; 2] = ["displayname", "getcontentlanguage"];
const LOST_SETS: [&str; 4] =
    ["Win32CreationTime", "Win32LastAccessTime", "Win32LastModifiedTime", "Win32FileAttributes"];
/// `propertyupdate`, `set` or `remove`, `prop`.
const DEPTH_OF_PROP: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_engine_forgets_is_found() {
        let body = b"<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set>\
            <D:remove><D:prop><D:getcontentlanguage/><x xmlns=\"urn:x\"/></D:prop></D:remove></D:propertyupdate>";
        let name = PropertyName { namespace: "DAV:".into(), local: "getcontentlanguage".into() };
        assert_eq!(lost_changes(body), [PropertyChange::Remove(name)]);
        let body = b"<D:propertyupdate xmlns:D=\"DAV:\" xmlns:Z=\"urn:schemas-microsoft-com:\"><D:set><D:prop>\
            <Z:Win32FileAttributes>0&lt;2</Z:Win32FileAttributes><Z:x>1</Z:x></D:prop></D:set></D:propertyupdate>";
        let name = PropertyName { namespace: WINDOWS.into(), local: "Win32FileAttributes".into() };
        let xml =
            b"<x:Win32FileAttributes xmlns:x=\"urn:schemas-microsoft-com:\">0&lt;2</x:Win32FileAttributes>";
        assert_eq!(lost_changes(body), [PropertyChange::Set(StoredProperty { name, xml: xml.to_vec() })]);
    }
}
