//! What a PROPFIND asks for.

use quick_xml::NsReader;
use quick_xml::events::Event;

use crate::dav::xml::element_name;
use crate::state::PropertyName;

/// See RFC 4918, section 14.20.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyRequest {
    /// All dead and the RFC's live properties, and these.
    All { include: Vec<PropertyName> },
    /// The names alone.
    Names,
    /// Just these.
    Some(Vec<PropertyName>),
}

impl PropertyRequest {
    /// Reads the body; an empty one asks for all.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        if body.is_empty() {
            return Ok(Self::All { include: Vec::new() });
        }
        let broken = |error: quick_xml::Error| format!("the XML is not well-formed: {error}");
        let mut reader = NsReader::from_reader(body);
        reader.config_mut().expand_empty_elements = true;
        let mut parents: Vec<PropertyName> = Vec::new();
        let mut found = Found::default();
        loop {
            match reader.read_event().map_err(broken)? {
                Event::Start(element) => {
                    let name = element_name(&reader, &element)?;
                    found.element(&parents, &name);
                    found.check()?;
                    parents.push(name);
                }
                Event::End(_) => drop(parents.pop()),
                Event::Eof => return found.finish(),
                _ => {}
            }
        }
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Found {
    is_propfind: bool,
    all: bool,
    names: bool,
    props: Option<Vec<PropertyName>>,
    include: Vec<PropertyName>,
    /// Of both.
    count: usize,
    /// Of their names.
    bytes: usize,
}

impl Found {
    fn element(&mut self, parents: &[PropertyName], name: &PropertyName) {
        let path: Vec<&str> = parents.iter().map(dav_name).collect();
        match (path.as_slice(), dav_name(name)) {
            ([], "propfind") => self.is_propfind = true,
            (["propfind"], "allprop") => self.all = true,
            (["propfind"], "propname") => self.names = true,
            (["propfind"], "prop") => drop(self.props.get_or_insert_default()),
            (["propfind", "prop"], _) => self.props.get_or_insert_default().push(name.clone()),
            (["propfind", "include"], _) => self.include.push(name.clone()),
            _ => return,
        }
        if parents.len() == 2 {
            self.count += 1;
            self.bytes += name.local.len();
        }
    }

    /// Every resource's part of the answer names all that it lacks.
    fn check(&self) -> Result<(), String> {
        if self.count > MAX_PROPERTIES {
            return Err(format!("more than {MAX_PROPERTIES} properties are asked for"));
        }
        if self.bytes > MAX_NAME_BYTES {
            return Err(format!("the names of the properties are over {MAX_NAME_BYTES} bytes"));
        }
        Ok(())
    }

    fn finish(self) -> Result<PropertyRequest, String> {
        let kinds = usize::from(self.all) + usize::from(self.names) + usize::from(self.props.is_some());
        if !self.is_propfind || kinds != 1 {
            return Err("the body is not one propfind of allprop, propname or prop".to_owned());
        }
        Ok(match self.props {
            Some(props) => PropertyRequest::Some(props),
            None if self.names => PropertyRequest::Names,
            None => PropertyRequest::All { include: self.include },
        })
    }
}

/// In one request: all that a resource may have, and more. Clients ask for up to twenty.
const MAX_PROPERTIES: usize = 300;
/// Bytes of all names, without their namespaces.
const MAX_NAME_BYTES: usize = 8 << 10;

/// The local name if it is WebDAV's own.
fn dav_name(name: &PropertyName) -> &str {
    match name.namespace.as_str() {
        "DAV:" => &name.local,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dav(local: &str) -> PropertyName {
        PropertyName { namespace: "DAV:".into(), local: local.into() }
    }

    #[test]
    fn the_three_kinds_are_told_apart() {
        let parse = |inner: &str| {
            PropertyRequest::parse(format!("<D:propfind xmlns:D=\"DAV:\">{inner}</D:propfind>").as_bytes())
        };
        assert_eq!(PropertyRequest::parse(b""), Ok(PropertyRequest::All { include: vec![] }));
        assert_eq!(parse("<D:propname/>"), Ok(PropertyRequest::Names));
        let some = parse("<D:prop><D:getetag/><x xmlns=\"urn:y\"/><z/></D:prop>").unwrap();
        let names = [
            dav("getetag"),
            PropertyName { namespace: "urn:y".into(), local: "x".into() },
            PropertyName { namespace: String::new(), local: "z".into() },
        ];
        assert_eq!(some, PropertyRequest::Some(names.to_vec()));
        let all = parse("<D:allprop/><D:include><D:acl/></D:include>").unwrap();
        assert_eq!(all, PropertyRequest::All { include: vec![dav("acl")] });
    }

    #[test]
    fn a_request_asks_for_so_many() {
        let of = |count: usize| {
            let names = "<x/>".repeat(count);
            PropertyRequest::parse(
                format!("<propfind xmlns=\"DAV:\"><prop>{names}</prop></propfind>").as_bytes(),
            )
        };
        assert!(of(MAX_PROPERTIES).is_ok() && of(MAX_PROPERTIES + 1).is_err());
        let long = |bytes: usize| {
            let name = "x".repeat(bytes);
            PropertyRequest::parse(
                format!("<propfind xmlns=\"DAV:\"><prop><{name}/></prop></propfind>").as_bytes(),
            )
        };
        assert!(long(MAX_NAME_BYTES).is_ok() && long(MAX_NAME_BYTES + 1).is_err());
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "<propfind/>",
            "<D:propfind xmlns:D=\"DAV:\"/>",
            "<D:x xmlns:D=\"DAV:\"/>",
            "<D:propfind xmlns:D=\"DAV:\"><D:allprop/><D:propname/></D:propfind>",
            "<D:propfind xmlns:D=\"DAV:\"><D:prop><q:a/></D:prop></D:propfind>",
        ] {
            assert!(PropertyRequest::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
