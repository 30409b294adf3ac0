//! Servers that answer ListObjectsV2 as its first version, which they know alone: they ignore what tells them to go
//! on. How their pages go on is a marker, the name behind which the next one begins.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::list_objects::ListObjectsOutput;
use aws_sdk_s3::operation::list_objects::builders::ListObjectsFluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::EncodingType;

use crate::store::{ListPage, ListRequest};

/// Whether it is such an answer. The second version always counts.
pub(super) fn is_one(output: &ListObjectsV2Output) -> bool {
    output.key_count().is_none() && output.next_continuation_token().is_none()
}

/// The marker that a page of ours has told to go on from.
pub(super) fn marker(request: &ListRequest) -> Option<&str> {
    request.continuation.as_deref()?.strip_prefix(MARKER)
}

/// What goes on from the last name of a page.
pub(super) fn continuation(page: &ListPage) -> Option<String> {
    let objects = page.objects.iter().map(|object| object.key.as_str());
    let last = objects.chain(page.prefixes.iter().map(String::as_str)).max()?;
    Some(format!("{MARKER}{last}"))
}

/// A listing's request that such a server understands, but for the bucket.
pub(super) fn request(client: Client, request: &ListRequest, marker: &str) -> ListObjectsFluentBuilder {
    client
        .list_objects()
        .prefix(&request.prefix)
        .set_delimiter(request.delimited.then(|| "/".to_owned()))
        .max_keys(i32::try_from(request.max_keys).unwrap_or(i32::MAX))
        .marker(marker)
        .encoding_type(EncodingType::Url)
}

/// Its answer as the second version would have it.
pub(super) fn output(output: ListObjectsOutput) -> ListObjectsV2Output {
    ListObjectsV2Output::builder()
        .set_name(output.name)
        .set_is_truncated(output.is_truncated)
        .set_encoding_type(output.encoding_type)
        .set_contents(output.contents)
        .set_common_prefixes(output.common_prefixes)
        .build()
}

/// No server's own token begins so.
const MARKER: &str = "\0marker:";
