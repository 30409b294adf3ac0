//! Listings, as endpoints may send them.

use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::ListPage;
use super::listing::{Entry, ShadowFilter, merged};
use crate::object::{ETag, Key, ListedObject, ObjectMeta};
use crate::testing::config;

/// Keys that sort near one another, and near folders of the same names.
fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[ab!/-]{1,6}", "a{0,3}[!/0é]{0,2}[ab]{0,2}"].prop_filter("a key", |key| !key.is_empty())
}

fn object(key: &str) -> ListedObject {
    let meta = ObjectMeta {
        size: 0,
        etag: ETag::new("e"),
        last_modified: UNIX_EPOCH,
        content_type: None,
        storage_class: None,
        user: Default::default(),
    };
    ListedObject { key: Key::new(key).unwrap(), meta }
}

/// The page that S3 makes of keys, rolled up at the next slash.
fn page(keys: &BTreeSet<String>) -> ListPage {
    let rolled = |key: &String| key.find('/').map(|slash| key[..=slash].to_owned());
    let prefixes: BTreeSet<String> = keys.iter().filter_map(rolled).collect();
    let objects = keys.iter().filter(|key| rolled(key).is_none()).map(|key| object(key)).collect();
    ListPage { objects, prefixes: prefixes.into_iter().collect(), ..ListPage::default() }
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.name().to_owned()).collect()
}

/// What is shown, and what folders hide.
fn sift(entries: Vec<Entry>) -> (Vec<String>, Vec<String>) {
    let mut filter = ShadowFilter::default();
    let (mut shown, mut shadowed) = (Vec::new(), Vec::new());
    for entry in entries {
        let sifted = filter.push(entry);
        shown.extend(names(&sifted.shown));
        shadowed.extend(sifted.shadowed.into_iter().map(|object| object.key.to_string()));
    }
    shown.extend(names(&filter.finish()));
    (shown, shadowed)
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_page_is_one_sequence_in_order(keys in btree_set(key(), 0..20)) {
        let page = page(&keys);
        let count = page.objects.len() + page.prefixes.len();
        let names = names(&merged(page).collect::<Vec<_>>());
        prop_assert_eq!(names.len(), count);
        prop_assert_eq!(sorted(names.clone()), names);
    }

    #[test]
    fn files_that_folders_hide_are_found(keys in btree_set(key(), 0..20)) {
        let page = page(&keys);
        let is_hidden = |name: &str| page.prefixes.iter().any(|prefix| prefix.strip_suffix('/') == Some(name));
        let own = page.objects.iter().map(|object| object.key.to_string());
        let (hidden, seen): (Vec<String>, Vec<String>) = own.partition(|name| is_hidden(name));
        let seen = sorted(seen.into_iter().chain(page.prefixes.iter().cloned()).collect());
        let (shown, shadowed) = sift(merged(page).collect());
        prop_assert_eq!(sorted(shown), seen);
        prop_assert_eq!(sorted(shadowed), sorted(hidden));
    }

    #[test]
    fn nothing_is_lost_of_a_page_in_any_order(objects in vec(key(), 0..12), prefixes in vec(key(), 0..12)) {
        let all = sorted(objects.iter().chain(&prefixes).cloned().collect());
        let page = ListPage { objects: objects.iter().map(|key| object(key)).collect(), prefixes, ..ListPage::default() };
        let (shown, shadowed) = sift(merged(page).collect());
        prop_assert_eq!(sorted(shown.into_iter().chain(shadowed).collect()), all);
    }
}
