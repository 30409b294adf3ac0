//! The XML that clients send.

use http::Request;
use http_body_util::BodyExt;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::propfind::PropertyRequest;
use super::proppatch::lost_changes;
use super::xml::{check, escape};
use super::{answer_in_memory, full};
use crate::state::{PropertyChange, PropertyName};
use crate::testing::{any_text, config, near, near_text};

/// An element, which may declare a default namespace.
#[derive(Debug, Clone)]
struct Node {
    name: String,
    namespace: Option<String>,
    attributes: Vec<String>,
    text: String,
    children: Vec<Node>,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,12}", "\\PC{0,8}"]
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![Just("DAV:".to_owned()), "urn:[a-z]{1,6}", "http://[a-z]{1,6}/\\?a=b&c='d'"]
}

fn node() -> impl Strategy<Value = Node> {
    let own = || ("[a-z_][a-z0-9_.-]{0,9}", option::of(namespace()), vec(text(), 0..3), text());
    let of =
        |(name, namespace, attributes, text), children| Node { name, namespace, attributes, text, children };
    let leaf = own().prop_map(move |own| of(own, Vec::new()));
    leaf.prop_recursive(6, 40, 6, move |inner| {
        (own(), vec(inner, 0..6)).prop_map(move |(own, children)| of(own, children))
    })
}

impl Node {
    fn write(&self, to: &mut String) {
        to.push_str(&format!("<{}", self.name));
        if let Some(namespace) = &self.namespace {
            to.push_str(&format!(" xmlns=\"{}\"", escape(namespace)));
        }
        for (index, value) in self.attributes.iter().enumerate() {
            to.push_str(&format!(" a{index}='{}'", escape(value)));
        }
        if self.text.is_empty() && self.children.is_empty() {
            to.push_str("/>");
            return;
        }
        to.push_str(&format!(">{}", escape(&self.text)));
        self.children.iter().for_each(|child| child.write(to));
        to.push_str(&format!("</{}>", self.name));
    }

    fn document(&self) -> String {
        let mut text = "<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_owned();
        self.write(&mut text);
        text
    }

    fn count(&self) -> usize {
        1 + self.children.iter().map(Node::count).sum::<usize>()
    }
}

/// Elements, and how deep they lie in one another.
fn size(element: &xmltree::Element) -> (usize, usize) {
    let below = element.children.iter().filter_map(xmltree::XMLNode::as_element).map(size);
    below.fold((1, 1), |(count, depth), (more, deep)| (count + more, depth.max(deep + 1)))
}

fn property() -> impl Strategy<Value = PropertyName> {
    let known = ["displayname", "getcontentlanguage", "getetag", "resourcetype"].map(str::to_owned).to_vec();
    let local = prop_oneof![select(known), "[a-z_][a-z0-9_.-]{0,9}"];
    let namespace = prop_oneof![3 => Just("DAV:".to_owned()), 2 => namespace(), 1 => Just(String::new())];
    (namespace, local).prop_map(|(namespace, local)| PropertyName { namespace, local })
}

fn element(name: &PropertyName) -> String {
    format!("<{} xmlns=\"{}\"/>", name.local, escape(&name.namespace))
}

fn elements(names: &[PropertyName]) -> String {
    names.iter().map(element).collect()
}

/// A propfind of properties; `include` beside all of them.
fn propfind(names: &[PropertyName], include: bool) -> String {
    let inner = if include {
        format!("<D:allprop/><D:include>{}</D:include>", elements(names))
    } else {
        format!("<D:prop>{}</D:prop>", elements(names))
    };
    format!("<D:propfind xmlns:D=\"DAV:\">{inner}</D:propfind>")
}

/// A propertyupdate of parts, each of which sets properties or removes them.
fn update(parts: &[(bool, Vec<PropertyName>)]) -> String {
    let parts: String = parts
        .iter()
        .map(|(removes, names)| {
            let kind = if *removes { "remove" } else { "set" };
            format!("<D:{kind}><D:prop>{}</D:prop></D:{kind}>", elements(names))
        })
        .collect();
    format!("<D:propertyupdate xmlns:D=\"DAV:\">{parts}</D:propertyupdate>")
}

/// Documents of all kinds that clients send, or nearly.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let right = prop_oneof![
        node().prop_map(|node| node.document()),
        (vec(property(), 0..8), any::<bool>()).prop_map(|(names, include)| propfind(&names, include)),
        vec((any::<bool>(), vec(property(), 0..4)), 0..4).prop_map(|parts| update(&parts)),
        Just(
            "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope></D:lockinfo>".to_owned()
        ),
    ];
    prop_oneof![5 => near(right.prop_map(String::into_bytes)), 1 => vec(any::<u8>(), 0..64), 1 => any_text().prop_map(String::into_bytes)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_document_within_bounds_passes_and_is_read_whole(node in node()) {
        let document = node.document();
        prop_assert_eq!(check(document.as_bytes()), Ok(()));
        let read = xmltree::Element::parse(document.as_bytes()).unwrap();
        prop_assert_eq!(size(&read).0, node.count());
    }

    #[test]
    fn what_passes_is_small_and_does_no_parser_harm(body in body()) {
        let passed = check(&body);
        // They are asked only where it passed, but must not depend on it.
        let asked = PropertyRequest::parse(&body);
        lost_changes(&body);
        if passed.is_err() {
            return Ok(());
        }
        if let Ok(element) = xmltree::Element::parse(body.as_slice()) {
            let (count, depth) = size(&element);
            prop_assert!(count <= 1024 && depth <= 64);
        }
        if let Ok(PropertyRequest::Some(names)) = asked {
            prop_assert!(names.len() <= 300);
            // What is shown in place of a control character is another one.
            if names.iter().any(|name| name.namespace.contains(char::is_control)) {
                return Ok(());
            }
            let again = PropertyRequest::parse(propfind(&names, false).as_bytes());
            prop_assert_eq!(again, Ok(PropertyRequest::Some(names)));
        }
    }

    #[test]
    fn what_passes_does_the_engine_no_harm(body in body(), method in select(&["PROPPATCH", "LOCK"][..])) {
        if check(&body).is_err() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answered = runtime.block_on(async {
            let request = |method: &str, body: Vec<u8>| {
                Request::builder().method(method).uri("/file").body(full(body)).unwrap()
            };
            let answer = answer_in_memory([request("PUT", b"x".to_vec()), request(method, body)]).await;
            answer.into_body().collect().await.is_ok()
        });
        prop_assert!(answered);
    }

    #[test]
    fn document_types_and_entities_never_pass(
        node in node(),
        harm in select(&["<!DOCTYPE a>", "<!DOCTYPE a [<!ENTITY x \"y\">]>", "<?a b?>"][..]),
        entity in "[b-z]{2,8}",
    ) {
        let document = node.document();
        let (declaration, rest) = document.split_at(document.find("?>").unwrap() + 2);
        let harmful = format!("{declaration}{harm}{rest}");
        prop_assert!(check(harmful.as_bytes()).is_err());
        let named = format!("<a>&{entity};</a>");
        let is_known = matches!(entity.as_str(), "lt" | "gt" | "quot");
        prop_assert_eq!(check(named.as_bytes()).is_ok(), is_known);
    }

    #[test]
    fn the_properties_that_are_asked_for_are_found(names in vec(property(), 0..20), include in any::<bool>()) {
        let read = PropertyRequest::parse(propfind(&names, include).as_bytes());
        let right = if include { PropertyRequest::All { include: names } } else { PropertyRequest::Some(names) };
        prop_assert_eq!(read, Ok(right));
    }

    #[test]
    fn the_removals_that_the_engine_loses_are_found(parts in vec((any::<bool>(), vec(property(), 0..4)), 0..4)) {
        let body = update(&parts);
        prop_assert_eq!(check(body.as_bytes()), Ok(()));
        let is_lost = |name: &&PropertyName| {
            name.namespace == "DAV:" && matches!(name.local.as_str(), "displayname" | "getcontentlanguage")
        };
        let removed = parts.iter().filter(|(removes, _)| *removes).flat_map(|(_, names)| names);
        let right: Vec<PropertyChange> = removed.filter(is_lost).cloned().map(PropertyChange::Remove).collect();
        prop_assert_eq!(lost_changes(body.as_bytes()), right);
    }

    #[test]
    fn what_is_escaped_is_text_and_comes_back(text in near_text(prop_oneof![any_text(), text()])) {
        let document = format!("<a b=\"{0}\">{0}</a>", escape(&text));
        let mut reader = Reader::from_str(&document);
        let (mut elements, mut read) = (0, String::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(element) => {
                    elements += 1;
                    let value = element.attributes().next().unwrap().unwrap();
                    let value = quick_xml::escape::unescape(&value.value).unwrap().into_owned();
                    read.push_str(&value);
                }
                Event::Eof => break,
                Event::End(_) | Event::Text(_) | Event::GeneralRef(_) => {}
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
        let is_lost = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}');
        prop_assert_eq!(elements, 1);
        prop_assert_eq!(read, text.replace(is_lost, "\u{fffd}"));
    }
}
