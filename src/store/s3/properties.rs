//! What an endpoint's answers may hold.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{CommonPrefix, EncodingType, Object};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::convert::{content_range, date, list_page};
use super::errors::is_region;
use super::text::harmless;
use crate::store::ListRequest;
use crate::testing::{any_text, config, near_text};

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z/+% é-]{1,12}", any_text()]
}

fn encoded(key: &str) -> String {
    // A blank may be a plus.
    utf8_percent_encode(key, NON_ALPHANUMERIC).to_string().replace("%20", "+")
}

/// A page of these keys and prefixes.
fn answer(keys: &[String], prefixes: &[String], is_encoded: bool, count: i32) -> ListObjectsV2Output {
    let text = |text: &String| if is_encoded { encoded(text) } else { text.clone() };
    let object = |key: &String| {
        let date = DateTime::from_secs(1_700_000_000);
        Object::builder().key(text(key)).size(1).e_tag("\"e\"").last_modified(date).build()
    };
    ListObjectsV2Output::builder()
        .name("b")
        .is_truncated(false)
        .key_count(count)
        .set_encoding_type(is_encoded.then_some(EncodingType::Url))
        .set_contents(Some(keys.iter().map(object).collect()))
        .set_common_prefixes(Some(
            prefixes.iter().map(|prefix| CommonPrefix::builder().prefix(text(prefix)).build()).collect(),
        ))
        .build()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_page_holds_what_was_listed_below_its_prefix(
        prefix in prop_oneof![Just(String::new()), "[a-zé +]{1,4}/"],
        names in vec("[a-z/+% é-]{1,12}", 0..8),
        folders in vec("[a-z+% é-]{1,8}/", 0..4),
        is_encoded in any::<bool>(),
    ) {
        let below = |names: Vec<String>| -> Vec<String> { names.iter().map(|name| format!("{prefix}{name}")).collect() };
        let (keys, prefixes) = (below(names), below(folders));
        let count = (keys.len() + prefixes.len()) as i32;
        let page = list_page(&ListRequest::children(&prefix), answer(&keys, &prefixes, is_encoded, count)).unwrap();
        let read: Vec<String> = page.objects.iter().map(|object| object.key.to_string()).collect();
        prop_assert_eq!((read, page.prefixes), (keys, prefixes));
    }

    #[test]
    fn a_page_of_anything_holds_nothing_else(
        prefix in prop_oneof![Just(String::new()), Just("a/".to_owned())],
        keys in vec(key(), 0..4),
        prefixes in vec(key(), 0..4),
        is_encoded in any::<bool>(),
        (missing, token, asked) in (0..3_i32, option::of(any_text()), option::of(any_text())),
    ) {
        let count = (keys.len() + prefixes.len()) as i32;
        let mut output = answer(&keys, &prefixes, is_encoded, count - missing / 2);
        output.is_truncated = Some(token.is_some());
        output.next_continuation_token = token.clone();
        let request = ListRequest { continuation: asked.clone(), ..ListRequest::children(&prefix) };
        if let Ok(page) = list_page(&request, output) {
            let names = page.objects.iter().map(|object| object.key.as_str()).chain(page.prefixes.iter().map(String::as_str));
            prop_assert!(names.clone().all(|name| name.starts_with(&prefix)));
            prop_assert_eq!(names.count() as i32, count);
            prop_assert!(page.continuation.is_none() || page.continuation != asked);
            prop_assert_eq!(page.continuation, token);
        }
    }

    #[test]
    fn a_range_lies_within_its_object(
        text in prop_oneof![
            any_text(),
            near_text((0..30_u64, 0..30_u64, 0..30_u64).prop_map(|(a, b, c)| format!("bytes {a}-{b}/{c}"))),
        ],
    ) {
        if let Ok((first, size)) = content_range(&text) {
            prop_assert!(first < size, "{text:?}");
        }
    }

    #[test]
    fn dates_are_those_that_can_be_written(seconds in any::<i64>(), nanos in 0..1_000_000_000_u32) {
        let read = date(Some(&DateTime::from_secs_and_nanos(seconds, nanos))).unwrap();
        prop_assert_eq!(httpdate::fmt_http_date(read).len(), 29);
    }

    #[test]
    fn a_text_is_one_line_that_does_nothing(text in near_text(any_text())) {
        let shown = harmless(&text);
        let acts = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        prop_assert!(!shown.contains(acts), "{shown:?}");
        prop_assert!(text.contains(acts) || shown == text);
    }

    #[test]
    fn a_region_is_a_part_of_a_hosts_name(text in prop_oneof![any_text(), near_text(Just("eu-central-1".to_owned()))]) {
        if is_region(&text) {
            let host = format!("bucket.s3.{text}.amazonaws.com");
            let uri: http::Uri = format!("https://{host}/key").parse().unwrap();
            prop_assert_eq!(uri.host(), Some(host.as_str()));
            prop_assert_eq!(uri.path(), "/key");
        }
    }
}
