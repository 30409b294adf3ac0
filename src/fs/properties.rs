//! Request paths.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode_byte, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::resource_path::{MAX_NAME_BYTES, MAX_SEGMENTS, ResourcePath, is_icon, is_showable_key};
use crate::object::MAX_KEY_BYTES;
use crate::testing::{any_text, config, near_text};

/// Names that a path can have.
pub(crate) fn name() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[a-zA-Z0-9._~ -]{1,12}",
        "[^\\p{Cc}/]{1,12}",
        Just("cafe\u{301}".to_owned()),
        Just("100%".to_owned()),
        Just("...".to_owned()),
        Just("n".repeat(MAX_NAME_BYTES)),
    ];
    name.prop_filter("not these", |name| name != "." && name != "..")
}

/// A path, percent-encoded as clients do it or throughout, and its names.
pub(crate) fn path() -> impl Strategy<Value = (String, Vec<String>)> {
    (vec((name(), any::<bool>()), 0..6), any::<bool>()).prop_filter_map("too long", |(names, slash)| {
        let mut path = String::new();
        for (name, throughout) in &names {
            path.push('/');
            if *throughout {
                path.extend(name.bytes().map(percent_encode_byte));
            } else {
                path.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
            }
        }
        if slash || names.is_empty() {
            path.push('/');
        }
        let names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        (names.join("/").len() < MAX_KEY_BYTES).then_some((path, names))
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_path_of_possible_names_is_read((text, names) in path()) {
        let path = ResourcePath::parse(&text).unwrap();
        prop_assert_eq!(path.segments(), names.as_slice());
        prop_assert_eq!(path.has_trailing_slash(), text.ends_with('/'));
        prop_assert!(path.is_root() || path.is_reserved() || is_showable_key(&path.key()));
    }

    #[test]
    fn whatever_is_read_keeps_within_bounds(text in prop_oneof![any_text(), near_text(path().prop_map(|(text, _)| text))]) {
        let Ok(path) = ResourcePath::parse(&text) else { return Ok(()) };
        prop_assert!(path.key().len() < MAX_KEY_BYTES && path.segments().len() <= MAX_SEGMENTS);
        for name in path.segments() {
            prop_assert!(!matches!(name.as_str(), "" | "." | "..") && name.len() <= MAX_NAME_BYTES);
            prop_assert!(!name.contains('/') && (!name.contains(char::is_control) || is_icon(name)));
        }
        let parent = path.parent();
        prop_assert!(parent.overlaps(&path) && path.overlaps(&parent));
        prop_assert!(path.path_key().is_within(&parent.path_key()));
        prop_assert_eq!(path.is_root(), path.name().is_empty());
    }

    #[test]
    fn one_path_holds_another_by_whole_names((a, _) in path(), (b, _) in path()) {
        let (a, b) = (ResourcePath::parse(&a).unwrap(), ResourcePath::parse(&b).unwrap());
        let below = |a: &ResourcePath, b: &ResourcePath| {
            a.is_root() || format!("{}/", b.key()).starts_with(&format!("{}/", a.key()))
        };
        prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        prop_assert_eq!(a.overlaps(&b), below(&a, &b) || below(&b, &a));
    }

    #[test]
    fn spellings_of_one_name_are_one(names in vec(name(), 1..3)) {
        use unicode_normalization::UnicodeNormalization;
        let path = |names: Vec<String>| ResourcePath::default().with_segments(names);
        let composed = path(names.iter().map(|name| name.nfc().collect()).collect());
        let decomposed = path(names.iter().map(|name| name.nfd().collect()).collect());
        prop_assert_eq!(composed.path_key(), decomposed.path_key());
        prop_assert_eq!(path(names).path_key(), composed.path_key());
    }
}
