//! The grammar of `If`, `If-Match` and their kin. The engine's own parsers panic on some malformed
//! values and take others for "no condition", so both are refused here.

use http::{HeaderMap, HeaderName, header};

use crate::object::ETag;

/// Checks the conditional headers; returns the lock tokens of `If`.
pub(super) fn check(headers: &HeaderMap) -> Result<Vec<String>, String> {
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        if let Some(value) = single(headers, &name)? {
            if value.trim() != "*" {
                etags(value).ok_or_else(|| format!("{name} is malformed"))?;
            }
        }
    }
    if let Some(value) = single(headers, &header::IF_RANGE)? {
        let is_etag = etags(value).is_some_and(|tags| tags.len() == 1);
        if !is_etag && httpdate::parse_http_date(value).is_err() {
            return Err("if-range is malformed".to_owned());
        }
    }
    match single(headers, &HeaderName::from_static("if"))? {
        None => Ok(Vec::new()),
        Some(value) => lists(value).ok_or_else(|| "if is malformed".to_owned()),
    }
}

/// The strong ETag of `If-Match`, if it is just one.
pub(super) fn if_match(headers: &HeaderMap) -> Option<ETag> {
    let value = headers.get(header::IF_MATCH)?.to_str().ok()?;
    match etags(value)?.as_slice() {
        [tag] if tag.starts_with('"') => Some(ETag::new(tag)),
        _ => None,
    }
}

/// A header's value, which must be there at most once and be plain text.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("{name} is given twice"));
    }
    first.to_str().map(Some).map_err(|_| format!("{name} is not plain text"))
}

/// A list of entity tags.
fn etags(value: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let (tag, after) = etag(rest)?;
        tags.push(tag);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => break,
            None => return None,
        }
    }
    (!tags.is_empty()).then_some(tags)
}

/// One entity tag at the start of `text`, and what follows.
fn etag(text: &str) -> Option<(String, &str)> {
    let start = if text.starts_with("W/") { 2 } else { 0 };
    let opened = text.get(start..)?.strip_prefix('"')?;
    let length = opened.find('"')?;
    let end = start + 1 + length + 1;
    Some((text.get(..end)?.to_owned(), text.get(end..)?))
}

/// The lists of an `If` header (RFC 4918, section 10.4); returns their state tokens.
fn lists(value: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = value.trim();
    let tagged = rest.starts_with('<');
    let mut any = false;
    while !rest.is_empty() {
        if let Some(tag) = rest.strip_prefix('<') {
            // Once a list is tagged, all are; the tag names a resource of this server.
            if !tagged {
                return None;
            }
            let (resource, after) = tag.split_once('>')?;
            let is_url = resource.starts_with('/')
                || resource.starts_with("http://")
                || resource.starts_with("https://");
            if !is_url || resource.chars().any(char::is_whitespace) {
                return None;
            }
            rest = after.trim_start();
            if !rest.starts_with('(') {
                return None;
            }
        }
        rest = list(rest, &mut tokens)?;
        any = true;
    }
    any.then_some(tokens)
}

/// One parenthesised list at the start of `text`; returns what follows.
fn list<'a>(text: &'a str, tokens: &mut Vec<String>) -> Option<&'a str> {
    let mut rest = text.strip_prefix('(')?.trim_start();
    let mut conditions = 0;
    loop {
        if let Some(after) = rest.strip_prefix(')') {
            return (conditions > 0).then_some(after.trim_start());
        }
        if rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("not")) {
            rest = rest.get(3..)?.trim_start();
        }
        if let Some(after) = rest.strip_prefix('<') {
            let (token, after) = after.split_once('>')?;
            if token.is_empty() || token.chars().any(|c| c.is_whitespace() || c == '<') {
                return None;
            }
            tokens.push(token.to_owned());
            rest = after.trim_start();
        } else {
            let (_, after) = etag(rest.strip_prefix('[')?)?;
            rest = after.strip_prefix(']')?.trim_start();
        }
        conditions += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_headers_are_read() {
        let tokens = lists("(<urn:uuid:1> [\"e\"]) (Not <DAV:no-lock>)").unwrap();
        assert_eq!(tokens, ["urn:uuid:1", "DAV:no-lock"]);
        assert!(lists("<http://h/a> (<t>) <http://h/b> ([W/\"x\"] not <u>)").is_some());
    }

    #[test]
    fn broken_if_headers_are_refused() {
        for value in [
            "",
            "garbage[",
            "(<",
            "([",
            "[\"",
            "(",
            "()",
            "(Not <x>",
            "(Not)",
            "(<t>) x",
            "<a b> (<t>)",
            "<http://h/>",
            "(<t>) <http://h/> (<t>)",
            "([\"e)",
            "([])",
            "(<>)",
        ] {
            assert!(lists(value).is_none(), "{value:?}");
        }
    }

    #[test]
    fn etag_lists_are_read() {
        assert_eq!(etags("\"a\", W/\"b\""), Some(vec!["\"a\"".into(), "W/\"b\"".into()]));
        for value in ["\"", "W/\"", "a", "\"a\" \"b\"", "", "\"a"] {
            assert!(etags(value).is_none(), "{value:?}");
        }
    }
}
