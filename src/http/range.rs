//! The `Range` header. The engine computes with its numbers as they come, beyond what they can hold, and takes
//! what is no range for one that cannot be satisfied: it gets a single range in one form, or none.

use std::fmt;

use http::{HeaderMap, HeaderValue, header};

use crate::object::ByteRange;

/// The bytes that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    From(ByteRange),
    /// So many at the end.
    Last(u64),
}

/// A single range that has a beginning and will apply; leaves the engine what it may see of the header.
///
/// What is no range is ignored, and so are several, as RFC 9110 allows: the engine marks them off by a fixed
/// boundary, which a file may hold.
pub(super) fn read(headers: &mut HeaderMap) -> Option<ByteRange> {
    let range = single(headers);
    let canonical = range.and_then(|range| HeaderValue::try_from(range.to_string()).ok());
    match canonical {
        Some(value) => headers.insert(header::RANGE, value),
        None => headers.remove(header::RANGE),
    };
    match range {
        Some(Range::From(range)) if !headers.contains_key(header::IF_RANGE) => Some(range),
        _ => None,
    }
}

fn single(headers: &HeaderMap) -> Option<Range> {
    let mut values = headers.get_all(header::RANGE).iter();
    let first = values.next()?.to_str().ok()?;
    if values.next().is_none() { parse(first) } else { None }
}

/// Reads `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT` (RFC 9110, section 14.1.2).
fn parse(value: &str) -> Option<Range> {
    let (unit, range) = value.trim().split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !unit.eq_ignore_ascii_case("bytes") || !is_number(first) || !is_number(last) {
        return None;
    }
    match (first, last) {
        ("", "") => None,
        ("", count) => Some(Range::Last(number(count))),
        (first, "") => Some(Range::From(ByteRange { first: number(first), last: None })),
        _ if magnitude(last) < magnitude(first) => None,
        _ => {
            let last = Some(number(last)).filter(|last| *last < BEYOND);
            Some(Range::From(ByteRange { first: number(first), last }))
        }
    }
}

fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(BEYOND).min(BEYOND)
}

/// Numbers of any length are compared by this.
fn magnitude(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(range) => range.fmt(f),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// No file reaches it, and what is added to it still fits 64 bits.
const BEYOND: u64 = 1 << 62;
