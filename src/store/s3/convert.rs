//! Between S3's forms and ours. What an S3 server always sends is demanded here: a page of a
//! captive portal passes the SDK's own checks.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{EncodingType, MultipartUpload, Object};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::version_1;
use crate::object::{Attributes, Condition, ETag, Key, ListedObject, ObjectAddress, ObjectMeta};
use crate::store::{ListPage, ListRequest, StoreError, StoreResult, Upload};

/// A listing's request, but for the bucket. Keys are asked for percent-encoded: a key with a
/// control character would otherwise break the whole page.
pub(super) fn list_request(client: Client, request: &ListRequest) -> ListObjectsV2FluentBuilder {
    client
        .list_objects_v2()
        // Also an empty one: a policy's condition on the prefix holds for no request without one.
        .prefix(&request.prefix)
        .set_delimiter(request.delimited.then(|| "/".to_owned()))
        .max_keys(i32::try_from(request.max_keys).unwrap_or(i32::MAX))
        .set_continuation_token(request.continuation.clone())
        .set_start_after(request.start_after.clone())
        .encoding_type(EncodingType::Url)
}

/// The uploads to `key` of a listing.
pub(super) fn uploads(key: &Key, output: ListMultipartUploadsOutput) -> Vec<Upload> {
    let is_encoded = output.encoding_type() == Some(&EncodingType::Url);
    let is_here = |name: &str| {
        let decoded = if is_encoded { decode(name) } else { name.as_bytes().to_vec() };
        decoded == key.as_str().as_bytes()
    };
    let upload = |upload: &MultipartUpload| {
        let (id, begun) = (upload.upload_id()?.to_owned(), date(upload.initiated()).ok()?);
        let is_here = upload.key().is_some_and(is_here);
        is_here.then(|| Upload { key: key.clone(), id, begun, may_have_twin: false })
    };
    output.uploads().iter().filter_map(upload).collect()
}

/// A listing's answer. A page that was cut short parses, so it must show that it is whole; and what is not below
/// the prefix that was asked for is refused, for whole trees are deleted by what this says.
pub(super) fn list_page(request: &ListRequest, output: ListObjectsV2Output) -> StoreResult<ListPage> {
    let (Some(truncated), Some(_)) = (output.is_truncated(), output.name()) else {
        return Err(invalid("a listing that does not say whether it is complete"));
    };
    let continuation = output.next_continuation_token().filter(|token| truncated && !token.is_empty());
    let by_marker = truncated && version_1::is_one(&output);
    if truncated && continuation.is_none() && !by_marker {
        return Err(invalid("a listing that goes on but does not say how"));
    }
    if continuation.is_some() && continuation == request.continuation.as_deref() {
        return Err(invalid("a listing that goes on where it was"));
    }
    let objects = output.contents().len();
    let count = objects + output.common_prefixes().len();
    // Some servers count objects only.
    let is_told = |told: i32| [objects, count].iter().any(|count| i32::try_from(*count) == Ok(told));
    if output.key_count().is_some_and(|told| !is_told(told)) {
        return Err(invalid("a listing that was cut short"));
    }
    let encoded = output.encoding_type() == Some(&EncodingType::Url);
    let text = |text: &str| -> StoreResult<Option<String>> {
        let bytes = if encoded { decode(text) } else { text.as_bytes().to_vec() };
        let is_asked_for = bytes.starts_with(request.prefix.as_bytes());
        let asked_for = is_asked_for.then_some(bytes);
        let asked_for = asked_for.ok_or_else(|| invalid("a listing with a key outside its prefix"))?;
        Ok(String::from_utf8(asked_for).ok())
    };
    let mut page = ListPage { continuation: continuation.map(str::to_owned), ..ListPage::default() };
    for object in output.contents() {
        match text(object.key().ok_or_else(|| invalid("a listed object without a key"))?)? {
            Some(key) => page.objects.push(ListedObject { key: Key::new(key)?, meta: listed(object)? }),
            None => page.unreadable += 1,
        }
    }
    for prefix in output.common_prefixes() {
        match text(prefix.prefix().ok_or_else(|| invalid("a common prefix without a name"))?)? {
            Some(prefix) => page.prefixes.push(prefix),
            None => page.unreadable += 1,
        }
    }
    if by_marker {
        page.continuation = Some(
            version_1::continuation(&page)
                .ok_or_else(|| invalid("a listing that goes on but does not say how"))?,
        );
    }
    Ok(page)
}

fn listed(object: &Object) -> StoreResult<ObjectMeta> {
    Ok(ObjectMeta {
        size: length(object.size())?,
        etag: etag(object.e_tag())?,
        last_modified: date(object.last_modified())?,
        content_type: None,
        storage_class: object
            .storage_class()
            .map(|class| class.as_str().to_owned())
            .filter(|class| !class.is_empty()),
        user: Default::default(),
    })
}

/// Undoes S3's url encoding, in which a blank may be a plus.
fn decode(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

/// A copy's source as the header wants it; the SDK sends it as it is.
pub(super) fn copy_source(source: &ObjectAddress) -> String {
    let key = utf8_percent_encode(source.key.as_str(), ESCAPED);
    if source.bucket.starts_with("arn:") {
        format!("{}/object/{key}", source.bucket)
    } else {
        format!("{}/{key}", source.bucket)
    }
}

/// The first byte and the object's size out of `bytes 0-9/100`.
pub(super) fn content_range(range: &str) -> StoreResult<(u64, u64)> {
    let parsed = range.strip_prefix("bytes ").and_then(|range| {
        let (first, rest) = range.split_once('-')?;
        let (last, size) = rest.split_once('/')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
    });
    let possible = parsed.filter(|(first, last, size)| first <= last && last < size);
    possible.map(|(first, _, size)| (first, size)).ok_or_else(|| invalid("a range that cannot be read"))
}

pub(super) fn length(length: Option<i64>) -> StoreResult<u64> {
    length.and_then(|length| u64::try_from(length).ok()).ok_or_else(|| invalid("an object without a length"))
}

pub(super) fn etag(etag: Option<&str>) -> StoreResult<ETag> {
    // A proxy that may change an object's form makes its ETag weak. What it holds is the object's still, and
    // conditions take no weak ones.
    let etag = etag.map(|etag| etag.strip_prefix("W/").unwrap_or(etag));
    etag.map(ETag::new).ok_or_else(|| invalid("an object without an ETag"))
}

pub(super) fn date(date: Option<&DateTime>) -> StoreResult<SystemTime> {
    let date = date.ok_or_else(|| invalid("an object without a date"))?;
    // HTTP cannot write other years; some servers send the year 1 for want of a date.
    let seconds = date.secs().clamp(0, LAST_HTTP_SECOND);
    Ok(SystemTime::UNIX_EPOCH + Duration::new(seconds as u64, date.subsec_nanos()))
}

pub(super) fn invalid(what: &str) -> StoreError {
    StoreError::InvalidAnswer(what.to_owned())
}

pub(super) fn if_none_match(condition: &Condition) -> Option<String> {
    (*condition == Condition::IfAbsent).then(|| "*".to_owned())
}

pub(super) fn if_match(condition: &Condition) -> Option<String> {
    match condition {
        Condition::IfMatch(etag) => Some(etag.quoted().to_owned()),
        _ => None,
    }
}

pub(super) fn metadata(attributes: &Attributes) -> Option<std::collections::HashMap<String, String>> {
    let user = &attributes.user;
    (!user.is_empty()).then(|| user.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Whether XML 1.0 cannot hold the key.
pub(super) fn has_control(key: &Key) -> bool {
    key.as_str().chars().any(|c| c.is_control() && !matches!(c, '\t') || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// The end of the year 9999.
const LAST_HTTP_SECOND: i64 = 253_402_300_799;
/// Everything but the unreserved characters and the slash.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_sources_are_encoded() {
        let address =
            |bucket: &str, key: &str| ObjectAddress { bucket: bucket.into(), key: Key::new(key).unwrap() };
        assert_eq!(copy_source(&address("b", "a b/ü+?#.txt")), "b/a%20b/%C3%BC%2B%3F%23.txt");
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
        assert_eq!(copy_source(&address(arn, "k")), format!("{arn}/object/k"));
    }

    #[test]
    fn listed_keys_are_decoded() {
        assert_eq!(decode("a+b%2Bc%01"), b"a b+c\x01");
        assert_eq!(decode("%ff"), b"\xff");
    }

    #[test]
    fn pages_that_do_not_end_are_refused() {
        let read = |page| list_page(&ListRequest::tree(""), page);
        let page = ListObjectsV2Output::builder().name("b").build();
        assert!(matches!(read(page), Err(StoreError::InvalidAnswer(_))));
        let page = ListObjectsV2Output::builder().name("b").is_truncated(true).build();
        assert!(matches!(read(page), Err(StoreError::InvalidAnswer(_))));
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/100").unwrap(), (5, 100));
        for impossible in ["bytes */100", "bytes 9-5/100", "bytes 5-9/9", "bytes 5-9/*", "bytes -9/100"] {
            assert!(content_range(impossible).is_err(), "{impossible}");
        }
    }
}
