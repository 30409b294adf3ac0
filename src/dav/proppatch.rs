//! PROPPATCH: the engine's, and what it forgets.
//!
//! The engine says 200 to the removal of `displayname` and `getcontentlanguage` and does not pass it
//! on, so that once set they could never be removed. Such removals are carried out here, after the
//! engine has accepted the whole request.

use quick_xml::NsReader;
use quick_xml::events::Event;

use super::xml::element_name;
use crate::state::PropertyName;

/// The removals in a `propertyupdate` that the engine would lose. `body` has passed the check.
pub(super) fn lost_removals(body: &[u8]) -> Vec<PropertyName> {
    let mut reader = NsReader::from_reader(body);
    reader.config_mut().expand_empty_elements = true;
    let mut parents: Vec<String> = Vec::new();
    let mut lost = Vec::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => {
                let Ok(name) = element_name(&reader, &element) else { return lost };
                let is_removal = parents == ["propertyupdate", "remove", "prop"];
                parents.push(name.local.clone());
                if is_removal && name.namespace == "DAV:" && LOST.contains(&name.local.as_str()) {
                    lost.push(name);
                }
            }
            Ok(Event::End(_)) => drop(parents.pop()),
            Ok(Event::Eof) | Err(_) => return lost,
            Ok(_) => {}
        }
    }
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
const LOST: [&str; 2] = ["displayname", "getcontentlanguage"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_removals_of_the_two_are_found() {
        let body = b"<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><D:displayname>x</D:displayname></D:prop></D:set>\
            <D:remove><D:prop><D:getcontentlanguage/><x xmlns=\"urn:x\"/></D:prop></D:remove></D:propertyupdate>";
        let found: Vec<String> = lost_removals(body).into_iter().map(|name| name.local).collect();
        assert_eq!(found, ["getcontentlanguage"]);
    }
}
