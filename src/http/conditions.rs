//! The grammar of `If`, `If-Match` and their kin. The engine's own parsers panic on some malformed
//! values and take others, also legal ones, for "no condition": the former are refused here, the
//! latter written in the one form that it reads.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::dav::href::href;
use crate::dav::locks::NEGATED;
use crate::fs::UrlPrefix;
use crate::object::ETag;

/// Checks the conditional headers; returns the lock tokens of `If`. What the caller would lose by being
/// misunderstood is refused; what can match nothing is taken as that.
pub(super) fn check(
    method: &Method,
    headers: &mut HeaderMap,
    prefix: &UrlPrefix,
) -> Result<Vec<String>, String> {
    if let Some(value) = single(headers, &header::IF_MATCH)?
        && value.trim() != "*"
    {
        etags(value).ok_or_else(|| "if-match is malformed".to_owned())?;
    }
    check_none_match(method, headers)?;
    check_range(headers);
    let name = HeaderName::from_static("if");
    let Some(value) = single(headers, &name)? else { return Ok(Vec::new()) };
    let lists = lists(value, prefix).ok_or_else(|| "if is malformed".to_owned())?;
    let canonical = HeaderValue::try_from(lists.canonical).map_err(|_| "if is malformed".to_owned())?;
    headers.insert(name, canonical);
    Ok(lists.tokens)
}

/// A value of `If-None-Match` that is none matches nothing: Joplin sends words. Only where it may have been meant to
/// keep a write from replacing anything it is refused.
fn check_none_match(method: &Method, headers: &mut HeaderMap) -> Result<(), String> {
    let name = header::IF_NONE_MATCH;
    let is_read = single(headers, &name)
        .is_ok_and(|value| value.is_none_or(|value| value.trim() == "*" || etags(value).is_some()));
    if is_read {
        return Ok(());
    }
    let means_all = headers.get_all(&name).iter().any(|value| value.as_bytes().contains(&b'*'));
    if means_all && !matches!(*method, Method::GET | Method::HEAD) {
        return Err(format!("{name} is malformed"));
    }
    headers.remove(name);
    Ok(())
}

/// A version that cannot be read is none that there is: the whole is answered.
fn check_range(headers: &mut HeaderMap) {
    let is_version = |value: &str| {
        etags(value).is_some_and(|tags| tags.len() == 1) || httpdate::parse_http_date(value).is_ok()
    };
    if !single(headers, &header::IF_RANGE).is_ok_and(|value| value.is_none_or(is_version)) {
        headers.remove(header::IF_RANGE);
        headers.remove(header::RANGE);
    }
}

/// Whether any condition is set.
pub(super) fn any(headers: &HeaderMap) -> bool {
    let names = [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
    ];
    headers.contains_key("if") || names.iter().any(|name| headers.contains_key(name))
}

/// Whether a condition is set that a write's target must meet; a lock token is none.
pub(super) fn on_target(headers: &HeaderMap) -> bool {
    let names = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE];
    let has_etag = headers.get("if").is_some_and(|value| value.as_bytes().contains(&b'['));
    has_etag || names.iter().any(|name| headers.contains_key(name))
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
    let value = one(headers, name)?.map(HeaderValue::to_str).transpose();
    value.map_err(|_| format!("{name} is not plain text"))
}

/// A header's value, which must be there at most once.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, String> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(format!("{name} is given twice")) } else { Ok(first) }
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
    // The engine splits lists at any comma, and `If` at any blank; S3's tags have neither.
    if opened.get(..length)?.contains([',', ' ', '[', ']', '(', ')', '<', '>']) {
        return None;
    }
    Some((text.get(..end)?.to_owned(), text.get(end..)?))
}

/// An `If` header that was read.
#[derive(Debug, Default, PartialEq)]
struct Lists {
    /// Its state tokens.
    tokens: Vec<String>,
    /// The same header, every list with its own tag, spelled as the engine reads it.
    canonical: String,
}

/// Reads the lists of an `If` header (RFC 4918, section 10.4).
fn lists(value: &str, prefix: &UrlPrefix) -> Option<Lists> {
    let mut lists = Lists::default();
    let mut rest = value.trim();
    let tagged = rest.starts_with('<');
    let mut tag = String::new();
    while !rest.is_empty() {
        if let Some(opened) = rest.strip_prefix('<') {
            // Once a list is tagged, all are; the tag names a resource of this server.
            if !tagged {
                return None;
            }
            let (resource, after) = opened.split_once('>')?;
            tag = resource_tag(resource, prefix)?;
            rest = after.trim_start();
        }
        lists.canonical.push_str(&tag);
        rest = list(rest, &mut lists)?;
    }
    (!lists.canonical.is_empty()).then_some(lists)
}

/// A tag as an absolute URL; the engine looks at its path alone.
fn resource_tag(resource: &str, prefix: &UrlPrefix) -> Option<String> {
    let path = if resource.starts_with('/') {
        resource
    } else {
        let rest = resource.strip_prefix("http://").or_else(|| resource.strip_prefix("https://"))?;
        &rest[rest.find('/')?..]
    };
    let path = prefix.path(path).ok()?;
    Some(format!("<http://localhost{}{}>", prefix.text(), href(&path, path.has_trailing_slash())))
}

/// One parenthesised list at the start of `text`; returns what follows.
fn list<'a>(text: &'a str, lists: &mut Lists) -> Option<&'a str> {
    let mut rest = text.strip_prefix('(')?.trim_start();
    let mut conditions = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(')') {
            lists.canonical.push_str(&format!("({})", conditions.join(" ")));
            return (!conditions.is_empty()).then_some(after.trim_start());
        }
        let mut condition = String::new();
        if rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("not")) {
            rest = rest.get(3..)?.trim_start();
            condition.push_str("Not ");
        }
        if let Some(after) = rest.strip_prefix('<') {
            let (token, after) = after.split_once('>')?;
            if !token.contains(':') || token.chars().any(|c| c.is_whitespace() || "<\"[]()".contains(c)) {
                return None;
            }
            lists.tokens.push(token.to_owned());
            // The lock system is lenient with tokens that nobody knows, but not where they are negated.
            let mark = if condition.is_empty() { "" } else { NEGATED };
            condition.push_str(&format!("<{mark}{token}>"));
            rest = after.trim_start();
        } else {
            let (tag, after) = etag(rest.strip_prefix('[')?)?;
            condition.push_str(&format!("[{tag}]"));
            rest = after.strip_prefix(']')?.trim_start();
        }
        conditions.push(condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_headers_are_read() {
        let read = lists("(<urn:uuid:1> [\"e\"]) (not <DAV:no-lock>)", &UrlPrefix::default()).unwrap();
        assert_eq!(read.tokens, ["urn:uuid:1", "DAV:no-lock"]);
        assert_eq!(read.canonical, "(<urn:uuid:1> [\"e\"])(Not <urn:x-s3dav-negated:DAV:no-lock>)");
        let read =
            lists("</a%20b> (<t:1>) ([\"e\"]) <http://h/b/> ([W/\"x\"] not <u:2>)", &UrlPrefix::default())
                .unwrap();
        let tag = "<http://localhost/a%20b>";
        let expected = format!(
            "{tag}(<t:1>){tag}([\"e\"])<http://localhost/b/>([W/\"x\"] Not <urn:x-s3dav-negated:u:2>)"
        );
        assert_eq!(read.canonical, expected);
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
            "(<no-colon>)",
            "(<urn:a\"b>)",
            "([\"a b\"])",
        ] {
            assert!(lists(value, &UrlPrefix::default()).is_none(), "{value:?}");
        }
    }

    #[test]
    fn etag_lists_are_read() {
        assert_eq!(etags("\"a\", W/\"b\""), Some(vec!["\"a\"".into(), "W/\"b\"".into()]));
        for value in ["\"", "W/\"", "\",\"", "a", "\"a\" \"b\"", "", "\"a"] {
            assert!(etags(value).is_none(), "{value:?}");
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    /// What the check says, and what is left of the headers.
    fn checked(method: &Method, given: &[(&'static str, &str)]) -> (Result<Vec<String>, String>, HeaderMap) {
        let mut headers = headers(given);
        (check(method, &mut headers, &UrlPrefix::default()), headers)
    }

    fn refused(method: &Method, given: &[(&'static str, &str)]) -> String {
        checked(method, given).0.unwrap_err()
    }

    #[test]
    fn what_is_right_stays_as_it_is() {
        for given in [
            &[][..],
            &[("if-match", "*")],
            &[("if-match", " * ")],
            &[("if-match", "\"a\", \"b\"")],
            &[("if-none-match", "*")],
            &[("if-none-match", " * ")],
            &[("if-none-match", "\"a\", W/\"b\"")],
            &[("range", "bytes=0-1")],
            &[("range", "bytes=0-1"), ("if-range", "\"a\"")],
            &[("range", "bytes=0-1"), ("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")],
        ] {
            for method in [Method::GET, Method::PUT] {
                assert_eq!(checked(&method, given), (Ok(Vec::new()), headers(given)), "{given:?}");
            }
        }
    }

    #[test]
    fn a_version_to_be_met_that_cannot_be_read_is_refused() {
        for method in [Method::GET, Method::PUT] {
            for value in ["", "a", "*, \"a\"", "\"a\" \"b\"", "\"a b\""] {
                assert_eq!(refused(&method, &[("if-match", value)]), "if-match is malformed", "{value}");
            }
            let twice = [("if-match", "\"a\""), ("if-match", "\"b\"")];
            assert_eq!(refused(&method, &twice), "if-match is given twice");
            assert_eq!(refused(&method, &[("if-match", "\"\u{e9}\"")]), "if-match is not plain text");
        }
    }

    #[test]
    fn versions_to_be_avoided_that_cannot_be_read_match_nothing() {
        let words = [("if-none-match", "JoplinIgnore-1")];
        let stars = [("if-none-match", "words*")];
        let twice = [("if-none-match", "\"a\""), ("if-none-match", "*")];
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE] {
            assert_eq!(checked(&method, &words), (Ok(Vec::new()), HeaderMap::new()), "{method}");
            for given in [&stars[..], &twice] {
                if matches!(method, Method::GET | Method::HEAD) {
                    assert_eq!(checked(&method, given), (Ok(Vec::new()), HeaderMap::new()), "{method}");
                } else {
                    assert_eq!(refused(&method, given), "if-none-match is malformed", "{method}");
                }
            }
        }
    }

    #[test]
    fn of_a_version_that_cannot_be_read_the_whole_is_answered() {
        for version in ["", "a", "*", "\"a\", \"b\"", "yesterday", "\u{e9}"] {
            let given = [("range", "bytes=0-1"), ("if-range", version), ("accept", "x")];
            assert_eq!(
                checked(&Method::GET, &given),
                (Ok(Vec::new()), headers(&[("accept", "x")])),
                "{version}"
            );
        }
        let twice = [("range", "bytes=0-1"), ("if-range", "\"a\""), ("if-range", "\"a\"")];
        assert_eq!(checked(&Method::GET, &twice), (Ok(Vec::new()), HeaderMap::new()));
    }

    #[test]
    fn an_if_header_is_written_as_the_engine_reads_it() {
        let given = [("if", " (<urn:uuid:1>)  (Not <DAV:no-lock> [\"e\"]) ")];
        let (tokens, left) = checked(&Method::PUT, &given);
        assert_eq!(tokens.unwrap(), ["urn:uuid:1", "DAV:no-lock"]);
        assert_eq!(left["if"], "(<urn:uuid:1>)(Not <urn:x-s3dav-negated:DAV:no-lock> [\"e\"])");
        assert_eq!(refused(&Method::PUT, &[("if", "urn:uuid:1")]), "if is malformed");
        assert_eq!(refused(&Method::PUT, &[("if", "(<t:1>)"), ("if", "(<t:2>)")]), "if is given twice");
    }

    #[test]
    fn a_tag_names_a_resource_of_this_server() {
        let prefix: UrlPrefix = "/proxy/".parse().unwrap();
        let read = |tag: &str| lists(&format!("<{tag}> (<t:1>)"), &prefix).map(|lists| lists.canonical);
        for tag in ["/a%20b/", "/proxy/a%20b/", "http://host:1/a%20b/", "https://host/proxy/a%20b/"] {
            let expected = "<http://localhost/proxy/a%20b/>(<t:1>)";
            assert_eq!(read(tag).as_deref(), Some(expected), "{tag}");
        }
        for other in ["ftp://host/a", "http://host", "a", "", "/a/../b", "/%zz"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_condition_is_any_of_six_headers() {
        let names = [
            ("if", true, false),
            ("if-match", true, true),
            ("if-none-match", true, true),
            ("if-modified-since", true, false),
            ("if-unmodified-since", true, true),
            ("if-range", true, false),
            ("range", false, false),
        ];
        for (name, is_any, is_of_target) in names {
            let headers = headers(&[(name, "(<t:1>)")]);
            assert_eq!((any(&headers), on_target(&headers)), (is_any, is_of_target), "{name}");
        }
        assert!(on_target(&headers(&[("if", "([\"e\"])")])), "it holds an ETag");
        assert!(!any(&HeaderMap::new()) && !on_target(&HeaderMap::new()));
    }

    #[test]
    fn the_one_version_that_is_meant_is_a_strong_one() {
        let version = |value: &str| if_match(&headers(&[("if-match", value)]));
        assert_eq!(version(" \"a\" "), Some(ETag::new("a")));
        for none in ["W/\"a\"", "\"a\", \"b\"", "*", "a", ""] {
            assert_eq!(version(none), None, "{none}");
        }
        assert_eq!(if_match(&HeaderMap::new()), None);
    }

    #[test]
    fn a_tag_ends_with_its_quote() {
        assert_eq!(etag("\"a\" x"), Some(("\"a\"".to_owned(), " x")));
        assert_eq!(etag("W/\"abc\","), Some(("W/\"abc\"".to_owned(), ",")));
        assert_eq!(etag("\"\""), Some(("\"\"".to_owned(), "")));
        assert_eq!(etags("\"a\",").unwrap(), ["\"a\""], "a comma at the end does no harm");
    }
}
