//! What the property tests share: the same cases at every run, and texts near those that are right.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed};

/// The cases of a property test: the same at every run. `S3DAV_PROPERTY_CASES` asks for more of them.
pub(crate) fn config() -> Config {
    let cases = std::env::var("S3DAV_PROPERTY_CASES").ok().and_then(|cases| cases.parse().ok());
    Config {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..Config::default()
    }
}

/// What `right` gives, and the same with pieces left out, put in, doubled or cut off.
pub(crate) fn near(right: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (0..5_u8, any::<Index>(), any::<Index>(), select(PIECES));
    (right, vec(change, 0..4)).prop_map(|(mut bytes, changes)| {
        for (kind, from, to, piece) in changes {
            let (a, b) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
            let (start, end) = (a.min(b), a.max(b).min(a.min(b) + LONGEST_CHANGE));
            match kind {
                0 => drop(bytes.drain(start..end)),
                1 => drop(bytes.splice(start..start, piece.iter().copied())),
                2 => drop(bytes.splice(start..end, piece.iter().copied())),
                3 => bytes.extend_from_within(start..end),
                _ => bytes.truncate(bytes.len().saturating_sub(end - start)),
            }
        }
        bytes
    })
}

/// The same for texts.
pub(crate) fn near_text(right: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    near(right.prop_map(String::into_bytes)).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Texts of any kind.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,64}", vec(any::<char>(), 0..64).prop_map(|chars| chars.into_iter().collect())]
}

/// Of each test; all together take some seconds.
const CASES: u32 = 256;
/// Bytes that one change takes out or doubles.
const LONGEST_CHANGE: usize = 16;
/// What means something in one grammar or another.
const PIECES: &[&[u8]] = &[
    b"",
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"\0",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b"\xe2\x80\xae",
    b"\"",
    b"'",
    b"%",
    b"%2",
    b"%00",
    b"%2e",
    b"%2F",
    b"%ff",
    b"/",
    b"//",
    b"..",
    b".",
    b"#",
    b"?",
    b"\\",
    b"\\134",
    b"<",
    b">",
    b"</",
    b"/>",
    b"&",
    b"&amp;",
    b"&#0;",
    b"<!--",
    b"<![CDATA[",
    b"<?",
    b"<!DOCTYPE a>",
    b":",
    b"xmlns=\"\"",
    b",",
    b";",
    b"-",
    b"=",
    b"(",
    b")",
    b"[",
    b"]",
    b"*",
    b"{",
    b"}",
    b"W/",
    b"Not ",
    b" on ",
    b" - ",
    b"0",
    b"-1",
    b"00",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775808",
    b"4294967296",
    b"1e9",
    b"NaN",
];
