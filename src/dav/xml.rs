//! XML, as far as WebDAV needs it: checking what clients send, writing what they get.

use std::borrow::Cow;

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, Reader};

use crate::state::PropertyName;

/// Refuses what the engine's parser must not see: anything that is not well-formed UTF-8, document
/// types (entities that multiply), depths that overflow its stack, and namespaces that it would copy without
/// end.
pub fn check(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "the XML is not UTF-8".to_owned())?;
    if !text.chars().all(is_char) {
        return Err("the XML holds a character that XML does not have".to_owned());
    }
    let mut reader = Reader::from_reader(body);
    reader.config_mut().check_end_names = true;
    let mut seen = Seen::default();
    loop {
        match reader.read_event().map_err(|error| format!("the XML is not well-formed: {error}"))? {
            Event::Start(element) => seen.begin(&element)?,
            Event::Empty(element) => {
                seen.begin(&element)?;
                seen.end();
            }
            Event::End(_) => seen.end(),
            Event::DocType(_) => return Err("the XML has a document type".to_owned()),
            Event::PI(_) => return Err("the XML has a processing instruction".to_owned()),
            Event::GeneralRef(name) if !is_predefined(name.as_ref()) => {
                return Err("the XML refers to an entity".to_owned());
            }
            Event::Eof if !seen.open.is_empty() => return Err("the XML ends early".to_owned()),
            Event::Eof if seen.elements == 0 => return Err("the XML has no element".to_owned()),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// What has been seen of a document so far.
#[derive(Default)]
struct Seen {
    elements: usize,
    /// The elements that are open, and what each declares.
    open: Vec<Declared>,
    /// What is declared by all of them together.
    in_scope: Declared,
    /// Bytes that the engine's parser copies: it gives each element a table of all namespaces in scope.
    copied: usize,
}

/// Namespace declarations.
#[derive(Clone, Copy, Default)]
struct Declared {
    count: usize,
    /// In that table.
    bytes: usize,
}

impl Seen {
    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let declared = declared(element)?;
        self.in_scope.count += declared.count;
        self.in_scope.bytes += declared.bytes;
        self.open.push(declared);
        self.elements += 1;
        self.copied += self.in_scope.bytes;
        if self.open.len() > MAX_DEPTH || self.elements > MAX_ELEMENTS {
            return Err("the XML is nested too deeply, or has too many elements".to_owned());
        }
        if self.in_scope.count > MAX_DECLARATIONS || self.copied > MAX_COPIED {
            return Err("the XML declares too many namespaces".to_owned());
        }
        Ok(())
    }

    fn end(&mut self) {
        let declared = self.open.pop().unwrap_or_default();
        self.in_scope.count -= declared.count;
        self.in_scope.bytes -= declared.bytes;
    }
}

/// The declarations among an element's attributes, which are looked through.
fn declared(element: &BytesStart<'_>) -> Result<Declared, String> {
    let mut declared = Declared::default();
    let is_short = |text: &str| {
        if text.len() > MAX_NAME { Err("the XML has a name that is too long".to_owned()) } else { Ok(()) }
    };
    is_short(element.name().as_ref())?;
    for (count, attribute) in element.attributes().enumerate() {
        let attribute = attribute.map_err(|error| format!("the XML is not well-formed: {error}"))?;
        if count == MAX_ATTRIBUTES {
            return Err("the XML has an element with too many attributes".to_owned());
        }
        let name = attribute.key.as_ref();
        is_short(name)?;
        if name == "xmlns" || name.starts_with("xmlns:") {
            is_short(&attribute.value)?;
            declared.count += 1;
            declared.bytes += name.len() + attribute.value.len() + TABLE_ENTRY;
        }
    }
    Ok(declared)
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

/// Whether XML 1.0 can hold it.
fn is_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}') || matches!(c, '\t' | '\n' | '\r')
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
            let text = text.map_err(|error| format!("the XML is not well-formed: {error}"))?;
            if !text.chars().all(is_char) {
                return Err("the XML has an invalid namespace".to_owned());
            }
            text.into_owned()
        }
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err("the XML uses a prefix that it does not declare".to_owned()),
    };
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.') || !c.is_ascii();
    if !local.as_ref().chars().all(is_name) {
        return Err("the XML has an element with an invalid name".to_owned());
    }
    Ok(PropertyName { namespace, local: local.as_ref().to_owned() })
}

/// No client nests deeper than 6; the parser behind overflows its stack at some thousands.
const MAX_DEPTH: usize = 64;
/// A resource has at most 256 properties; some have elements of their own.
const MAX_ELEMENTS: usize = 800;
/// Namespaces in scope at once; clients use up to three.
const MAX_DECLARATIONS: usize = 64;
/// Of an element; clients use up to three.
const MAX_ATTRIBUTES: usize = 64;
/// Bytes of an element's or attribute's name, or of a namespace.
const MAX_NAME: usize = 1 << 10;
/// Bytes; a request of 256 properties in three namespaces takes 128 KiB. Twice as many, stored, would cost more than
/// five times a body that says nothing.
const MAX_COPIED: usize = 192 << 10;
/// Bytes of an entry in a table of namespaces besides its texts, about.
const TABLE_ENTRY: usize = 100;

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
            "<a>\u{1}</a>",
            "<a b='\0'/>",
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
    fn namespaces_are_bounded() {
        let declarations =
            |count: usize| (0..count).map(|n| format!(" xmlns:n{n}=\"urn:{n}\"")).collect::<String>();
        let of = |count, elements: usize| {
            format!("<a{}>{}</a>", declarations(count), "<b/>".repeat(elements)).into_bytes()
        };
        assert!(check(&of(MAX_DECLARATIONS, 1)).is_ok());
        assert!(check(&of(MAX_DECLARATIONS + 1, 1)).is_err());
        assert!(check(&of(3, 500)).is_ok());
        assert!(check(&of(MAX_DECLARATIONS, 500)).is_err(), "each element has a table of all of them");
        let each = format!("<a>{}</a>", format!("<b{}/>", declarations(2)).repeat(500));
        assert!(check(each.as_bytes()).is_ok(), "what is no longer in scope costs nothing");
        for long in ["<a xmlns='@'/>", "<a xmlns:x='@'/>", "<@/>", "<a @='1'/>", "<a xmlns:@='1'/>"] {
            assert!(check(long.replace('@', &"n".repeat(100)).as_bytes()).is_ok(), "{long}");
            assert!(check(long.replace('@', &"n".repeat(MAX_NAME + 1)).as_bytes()).is_err(), "{long}");
        }
        let attributes = |count: usize| (0..count).map(|n| format!(" a{n}=\"\"")).collect::<String>();
        assert!(check(format!("<a{}/>", attributes(MAX_ATTRIBUTES)).as_bytes()).is_ok());
        assert!(check(format!("<a{}/>", attributes(MAX_ATTRIBUTES + 1)).as_bytes()).is_err());
        assert!(check(b"<a b='1' b='2'/>").is_err());
    }

    #[test]
    fn escapes_leave_no_markup() {
        assert_eq!(escape("a&b<c>\"'\u{1}\n"), "a&amp;b&lt;c&gt;&quot;&#39;\u{fffd}&#10;");
    }
}
