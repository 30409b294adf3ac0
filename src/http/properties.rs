//! The headers that clients send.

use std::ops::Bound::{Included, Unbounded};

use headers::HeaderMapExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::guard::{RequestMeta, admit};
use super::hosts::Hosts;
use super::range;
use super::refused::Refused;
use crate::dav::href::href;
use crate::dav::locks::NEGATED;
use crate::dav::{Body, answer_in_memory, full};
use crate::fs::properties::{name, path};
use crate::fs::{RequestContext, ResourcePath};
use crate::object::ByteRange;
use crate::testing::{any_text, config, near_text};

/// What becomes of a request's head, and of its headers.
fn admitted(
    method: &str,
    target: &str,
    mut headers: HeaderMap,
) -> Option<Result<(RequestContext, HeaderMap), Refused>> {
    let target: Uri = target.parse().ok()?;
    let address = "127.0.0.1".parse().unwrap();
    let facts = RequestMeta { principal: None, peer: address, budget: None, local: address };
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let context = admit(&method, &target, &mut headers, &Hosts::default(), facts);
    Some(context.map(|context| (context, headers)))
}

/// These headers, if they can come over HTTP at all.
fn headers(given: &[(&str, String)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(headers)
}

fn one(name: &str, value: impl Into<String>) -> HeaderMap {
    headers(&[(name, value.into())]).unwrap()
}

const METHODS: &[&str] =
    &["GET", "HEAD", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK"];

/// Numbers as they may be written, about a file of some bytes and far beyond.
fn digits() -> impl Strategy<Value = u128> {
    prop_oneof![0..40_u128, any::<u64>().prop_map(u128::from), any::<u64>().prop_map(|n| u128::from(n) << 40)]
}

fn range_text() -> impl Strategy<Value = (Option<u128>, Option<u128>)> {
    (option::of(digits()), option::of(digits()))
}

fn range_header((first, last): (Option<u128>, Option<u128>)) -> String {
    let text = |number: Option<u128>| number.map(|number| number.to_string()).unwrap_or_default();
    format!("bytes={}-{}", text(first), text(last))
}

/// What a range of a file is: the whole, nothing that there is, or these bytes.
#[derive(Debug, PartialEq)]
enum Part {
    Whole,
    Nothing,
    Bytes(u128, u128),
}

/// RFC 9110, section 14.
fn right(range: (Option<u128>, Option<u128>), size: u128) -> Part {
    match range {
        (None, None) => Part::Whole,
        (None, Some(0)) => Part::Nothing,
        (None, Some(_)) if size == 0 => Part::Whole,
        (None, Some(count)) => Part::Bytes(size.saturating_sub(count), size - 1),
        (Some(first), Some(last)) if last < first => Part::Whole,
        (Some(first), _) if first >= size => Part::Nothing,
        (Some(first), last) => Part::Bytes(first, last.unwrap_or(size).min(size - 1)),
    }
}

/// What the engine makes of the header: its own computation, which must not overflow.
fn of_engine(headers: &HeaderMap, size: u64) -> Part {
    let Some(range) = headers.typed_get::<headers::Range>() else { return Part::Whole };
    let Some(bounds) = range.satisfiable_ranges(size).next() else {
        // Only an end that is longer than the file; see `dav::engine`.
        return if size == 0 { Part::Whole } else { Part::Bytes(0, u128::from(size) - 1) };
    };
    let (start, count) = match bounds {
        (Included(start), Included(end)) if end >= start => (start, (end - start).checked_add(1).unwrap()),
        (Included(start), Unbounded) if start <= size => (start, size - start),
        _ => return Part::Nothing,
    };
    if start >= size {
        return Part::Nothing;
    }
    let end = start.checked_add(count).unwrap().min(size);
    Part::Bytes(start.into(), u128::from(end) - 1)
}

/// Entity tags as S3 makes them.
fn etag() -> impl Strategy<Value = String> {
    (any::<bool>(), "[!#-'*+./0-9:;=?A-Z^-~-]{0,20}")
        .prop_map(|(weak, tag)| format!("{}\"{tag}\"", if weak { "W/" } else { "" }))
}

fn etags() -> impl Strategy<Value = Vec<String>> {
    vec(etag(), 1..5)
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        "urn:uuid:[0-9a-f]{8}",
        Just("DAV:no-lock".to_owned()),
        "opaquelocktoken:[A-Za-z0-9/?%.-]{1,12}"
    ]
}

/// Lists of `If`, each with its condition's negation, state token or entity tag.
fn if_lists() -> impl Strategy<Value = (String, Vec<String>)> {
    let condition = (any::<bool>(), prop_oneof![token().prop_map(Ok), etag().prop_map(Err)]);
    let list = (option::of(path()), vec(condition, 1..4));
    (any::<bool>(), vec(list, 1..4)).prop_map(|(is_tagged, lists)| {
        let (mut text, mut tokens) = (String::new(), Vec::new());
        for (index, (tag, conditions)) in lists.into_iter().enumerate() {
            if is_tagged && (tag.is_some() || index == 0) {
                text.push_str(&format!("<{}> ", tag.map_or_else(|| "/".to_owned(), |(path, _)| path)));
            }
            text.push('(');
            for (is_negated, condition) in conditions {
                text.push_str(if is_negated { " Not " } else { " " });
                match condition {
                    Ok(token) => {
                        text.push_str(&format!("<{token}>"));
                        tokens.push(token);
                    }
                    Err(tag) => text.push_str(&format!("[{tag}]")),
                }
            }
            text.push(')');
        }
        (text, tokens)
    })
}

fn timeout() -> impl Strategy<Value = String> {
    let choice = prop_oneof![
        Just("Infinite".to_owned()),
        any::<u64>().prop_map(|seconds| format!("Second-{seconds}")),
        Just(format!("Second-{}", "9".repeat(40))),
    ];
    vec(choice, 1..4).prop_map(|choices| choices.join(", "))
}

fn destination() -> impl Strategy<Value = String> {
    (select(&["", "http://localhost", "http://127.0.0.1", "http://[::1]"][..]), path())
        .prop_map(|(host, (path, _))| format!("{host}{path}"))
}

/// Headers that are right, or nearly, or anything.
fn some_headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let odd = |right: BoxedStrategy<String>| {
        prop_oneof![5 => right.clone(), 4 => near_text(right), 1 => any_text()].boxed()
    };
    let header = prop_oneof![
        odd(select(&["0", "1", "infinity", "Infinity"][..]).prop_map(str::to_owned).boxed())
            .prop_map(|value| ("depth", value)),
        odd(select(&["T", "F", "t"][..]).prop_map(str::to_owned).boxed())
            .prop_map(|value| ("overwrite", value)),
        odd(timeout().boxed()).prop_map(|value| ("timeout", value)),
        odd(destination().boxed()).prop_map(|value| ("destination", value)),
        odd(range_text().prop_map(range_header).boxed()).prop_map(|value| ("range", value)),
        odd(etags().prop_map(|tags| tags.join(",")).boxed()).prop_map(|value| ("if-match", value)),
        odd(etags().prop_map(|tags| tags.join(", ")).boxed()).prop_map(|value| ("if-none-match", value)),
        odd(etag().boxed()).prop_map(|value| ("if-range", value)),
        odd(if_lists().prop_map(|(text, _)| text).boxed()).prop_map(|value| ("if", value)),
        odd(Just("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()).boxed())
            .prop_map(|value| ("if-unmodified-since", value)),
        odd(token().prop_map(|token| format!("<{token}>")).boxed()).prop_map(|value| ("lock-token", value)),
        odd(Just("1700000000.5".to_owned()).boxed()).prop_map(|value| ("x-oc-mtime", value)),
        odd(Just("1B2M2Y8AsgTpgAmY7PhCfg==".to_owned()).boxed()).prop_map(|value| ("content-md5", value)),
        odd(Just("100-continue".to_owned()).boxed()).prop_map(|value| ("expect", value)),
        odd(Just("chunked".to_owned()).boxed()).prop_map(|value| ("transfer-encoding", value)),
        any::<u64>().prop_map(|length| ("x-expected-entity-length", length.to_string())),
    ];
    vec(header, 0..6)
}

fn target() -> impl Strategy<Value = String> {
    prop_oneof![path().prop_map(|(path, _)| path), Just("/file".to_owned()), Just("/dir/".to_owned())]
}

/// What of a context must be the same when the headers that are left are read again.
fn essence(context: &RequestContext) -> impl PartialEq + std::fmt::Debug + use<> {
    let tokens: Vec<String> = context.tokens.iter().map(|token| token.replace(NEGATED, "")).collect();
    (
        (context.path.clone(), context.destination.clone(), context.depth, context.overwrite),
        (context.range, context.if_match.clone(), context.has_own_condition, context.is_conditional),
        (tokens, context.mtime.clone(), context.content_md5.clone()),
    )
}

/// What makes a file and a folder in a file system that is empty.
fn made() -> impl Iterator<Item = Request<Body>> {
    [("PUT", "/file", "0123456789"), ("MKCOL", "/dir", ""), ("PUT", "/dir/x", "x")]
        .into_iter()
        .map(|(method, path, body)| Request::builder().method(method).uri(path).body(full(body)).unwrap())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_sends_the_range_that_is_right(range in range_text(), size in prop_oneof![0..40_u64, 0..1_u64 << 62]) {
        let mut headers = one("range", range_header(range));
        range::read(&mut headers);
        prop_assert_eq!(of_engine(&headers, size), right(range, size.into()));
    }

    #[test]
    fn whatever_is_left_of_a_range_is_one(text in prop_oneof![any_text(), near_text(range_text().prop_map(range_header))]) {
        let Some(mut headers) = headers(&[("range", text)]) else { return Ok(()) };
        let read = range::read(&mut headers);
        let left = headers.clone();
        prop_assert_eq!(range::read(&mut headers), read);
        prop_assert_eq!(&headers, &left);
        if let Some(ByteRange { first, last }) = read {
            prop_assert!(last.is_none_or(|last| first <= last && last < 1 << 62) && first <= 1 << 62);
        }
    }

    #[test]
    fn entity_tags_are_taken(tags in etags(), name in select(&["if-match", "if-none-match"][..])) {
        let (context, _) = admitted("PUT", "/file", one(name, tags.join(", "))).unwrap().unwrap();
        prop_assert!(context.has_own_condition);
        let is_one = name == "if-match" && tags.len() == 1 && tags[0].starts_with('"');
        prop_assert_eq!(context.if_match.map(|tag| tag.quoted().to_owned()), is_one.then(|| tags[0].clone()));
    }

    #[test]
    fn the_lists_of_an_if_are_taken((text, tokens) in if_lists()) {
        let (context, headers) = admitted("DELETE", "/file", one("if", &text)).unwrap().unwrap();
        prop_assert_eq!(context.tokens, tokens);
        let canonical = headers["if"].to_str().unwrap();
        prop_assert_eq!(canonical.matches('(').count(), text.matches('(').count());
        prop_assert_eq!(canonical.matches("Not ").count(), text.matches("Not ").count());
    }

    #[test]
    fn a_timeout_is_its_first_choice(text in timeout()) {
        let (_, headers) = admitted("LOCK", "/file", one("timeout", &text)).unwrap().unwrap();
        let first = text.split(',').next().unwrap();
        let seconds = first.strip_prefix("Second-").map(|n| n.parse().unwrap_or(u128::MAX).min(u32::MAX.into()));
        let right = seconds.map_or_else(|| "Infinite".to_owned(), |seconds| format!("Second-{seconds}"));
        prop_assert_eq!(headers["timeout"].to_str().unwrap(), right);
    }

    #[test]
    fn a_destination_is_the_path_that_it_names((from, _) in path(), (to, names) in path(), host in select(&["", "http://localhost"][..])) {
        let Some(answer) = admitted("MOVE", &from, one("destination", format!("{host}{to}"))) else { return Ok(()) };
        let (source, target) = (ResourcePath::parse(&from).unwrap(), ResourcePath::parse(&to).unwrap());
        let is_possible = !source.overlaps(&target) && !target.is_reserved();
        prop_assert_eq!(answer.is_ok(), is_possible);
        if let Ok((context, headers)) = answer {
            let destination = context.destination.unwrap();
            prop_assert_eq!(destination.segments(), names.as_slice());
            prop_assert!(headers["destination"].as_bytes().starts_with(b"/"));
        }
    }

    #[test]
    fn a_path_is_written_as_it_is_read(names in vec(name(), 0..4), is_folder in any::<bool>()) {
        let path = ResourcePath::default().with_segments(names);
        if let Ok(read) = ResourcePath::parse(&href(&path, is_folder)) {
            prop_assert_eq!(read.segments(), path.segments());
            prop_assert_eq!(read.has_trailing_slash(), is_folder || path.is_root());
        } else {
            prop_assert!(path.key().len() >= crate::object::MAX_KEY_BYTES);
        }
    }

    #[test]
    fn headers_that_were_read_are_read_the_same_again(
        method in select(METHODS),
        target in prop_oneof![target(), near_text(target())],
        given in some_headers(),
    ) {
        let Some(headers) = headers(&given) else { return Ok(()) };
        let Some(Ok((context, left))) = admitted(method, &target, headers) else { return Ok(()) };
        let again = admitted(method, &target, left.clone()).unwrap();
        let (again, same) = again.map_err(|refused| TestCaseError::fail(format!("{refused:?}")))?;
        prop_assert_eq!(essence(&again), essence(&context));
        for name in left.keys().filter(|name| *name != "if") {
            prop_assert_eq!(left.get(name), same.get(name));
        }
    }

    #[test]
    fn what_is_let_through_does_the_engine_no_harm(
        method in select(METHODS),
        // The file system in memory has no answer to a DELETE of its root.
        target in target().prop_filter("the root", |target| target != "/"),
        given in some_headers(),
    ) {
        let Some(headers) = headers(&given) else { return Ok(()) };
        let Some(Ok((context, headers))) = admitted(method, &target, headers) else { return Ok(()) };
        let target = href(&context.path, context.path.has_trailing_slash());
        let mut request = Request::builder().method(method).uri(target).body(full("")).unwrap();
        *request.headers_mut() = headers;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let status = runtime.block_on(async {
            let answer = answer_in_memory(made().chain([request])).await;
            // A body is made while it is read.
            let body = http_body_util::BodyExt::collect(answer.into_body());
            body.await.map(|_| ())
        });
        prop_assert!(status.is_ok());
    }
}
