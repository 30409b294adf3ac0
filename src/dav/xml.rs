//! XML, as far as WebDAV needs it: checking what clients send, writing what they get.

use std::borrow::Cow;

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, Reader};

use crate::state::PropertyName;

/// Refuses what the engine's parser must not see: anything that is not well-formed UTF-8, document
/// types (entities that multiply), and depths that overflow its stack.
pub fn check(body: &[u8]) -> Result<(), String> {
    let mut reader = Reader::from_reader(body);
    reader.config_mut().check_end_names = true;
    let mut depth = 0_usize;
    let mut elements = 0_usize;
    if std::str::from_utf8(body).is_err() {
        return Err("the XML is not UTF-8".to_owned());
    }
    loop {
        match reader.read_event().map_err(|error| format!("the XML is not well-formed: {error}"))? {
            Event::Start(_) => {
                depth += 1;
                elements += 1;
            }
            Event::Empty(_) => elements += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) => return Err("the XML has a document type".to_owned()),
            Event::PI(_) => return Err("the XML has a processing instruction".to_owned()),
            Event::GeneralRef(name) if !is_predefined(name.as_ref()) => {
                return Err("the XML refers to an entity".to_owned());
            }
            Event::Eof if depth > 0 => return Err("the XML ends early".to_owned()),
            Event::Eof if elements == 0 => return Err("the XML has no element".to_owned()),
            Event::Eof => return Ok(()),
            _ => {}
        }
        if depth > MAX_DEPTH || elements > MAX_ELEMENTS {
            return Err("the XML is nested too deeply, or has too many elements".to_owned());
        }
    }
}

fn is_predefined(name: &str) -> bool {
    matches!(name, "amp" | "lt" | "gt" | "quot" | "apos") || name.starts_with('#')
}

/// Text as element content or attribute value. Characters that XML 1.0 has no way to write are
/// replaced.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", c as u32)),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a byte stands for itself, in markup too: most names have no other.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'')
}

/// An element's qualified name.
pub(super) fn element_name(
    reader: &NsReader<&[u8]>,
    element: &BytesStart<'_>,
) -> Result<PropertyName, String> {
    let (namespace, local) = reader.resolver().resolve_element(element.name());
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => {
            // As it stands in the attribute, escapes and all.
            let text = quick_xml::escape::unescape(namespace.as_ref());
            text.map_err(|error| format!("the XML is not well-formed: {error}"))?.into_owned()
        }
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err("the XML uses a prefix that it does not declare".to_owned()),
    };
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.') || !c.is_ascii();
    if !local.as_ref().chars().all(is_name) {
        return Err("the XML has an element whose name is none".to_owned());
    }
    Ok(PropertyName { namespace, local: local.as_ref().to_owned() })
}

/// No client nests deeper than 6; the parser behind overflows its stack at some thousands.
const MAX_DEPTH: usize = 64;
/// A PROPPATCH of the largest body that is accepted could hold more; none does.
const MAX_ELEMENTS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_bodies_pass() {
        assert!(
            check(b"<?xml version=\"1.0\"?><D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind>").is_ok()
        );
        assert!(check(b"<a>&amp;&#233;</a>").is_ok());
    }

    #[test]
    fn dangerous_bodies_do_not() {
        let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
        for body in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a><b></a></b>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a>&x;</a>",
            "<?evil?><a/>",
            &deep,
        ] {
            assert!(check(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(check(b"<a>\xff</a>").is_err());
        assert!(
            check("<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice()).is_err()
        );
    }

    #[test]
    fn escapes_leave_no_markup() {
        assert_eq!(escape("a&b<c>\"'\u{1}\n"), "a&amp;b&lt;c&gt;&quot;&#39;\u{fffd}&#10;");
    }
}
