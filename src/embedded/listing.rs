//! ListObjects in both versions: byte order, delimiters, pages.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::quirks::Quirks;
use super::storage::{self, Bucket};

/// One page, as a server with these quirks has it.
pub(super) fn version_2(
    bucket: &mut Bucket,
    mut input: ListObjectsV2Input,
    quirks: &Quirks,
) -> S3Result<ListObjectsV2Output> {
    if quirks.lists_as_v1 {
        // What it does not know of a request of the second version.
        (input.continuation_token, input.start_after) = (None, None);
    }
    let Bucket { objects, listed, .. } = bucket;
    let objects = if quirks.lists_late { listed.get_or_insert_with(|| objects.clone()) } else { objects };
    let mut page = list(objects, input)?;
    if quirks.counts_objects_only {
        page.key_count = page.contents.as_ref().map(|objects| objects.len() as i32);
    }
    Ok(page)
}

fn list(objects: &Objects, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
    let max_keys = match input.max_keys {
        None => PAGE,
        Some(max) => usize::try_from(max).map_err(|_| s3_error!(InvalidArgument))?.min(PAGE),
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().filter(|delimiter| !delimiter.is_empty());
    let token = match &input.continuation_token {
        Some(token) => Some(
            hex::decode(token)
                .ok()
                .and_then(|t| String::from_utf8(t).ok())
                .ok_or_else(|| s3_error!(InvalidArgument))?,
        ),
        None => None,
    };
    let after = token.or_else(|| input.start_after.clone());
    let page = collect(objects, &prefix, delimiter.as_deref(), after.as_deref(), max_keys);
    let encoded = input.encoding_type.is_some();
    let text = |text: &str| {
        if encoded {
            utf8_percent_encode(text, ESCAPED).to_string().replace("%20", "+")
        } else {
            text.to_owned()
        }
    };
    let contents = page.objects.iter().map(|(key, object)| listed(text(key), object)).collect();
    let prefixes = page.prefixes.iter().map(|p| CommonPrefix { prefix: Some(text(p)) }).collect();
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(text(&prefix)),
        delimiter: delimiter.map(|delimiter| text(&delimiter)),
        max_keys: Some(max_keys as i32),
        key_count: Some((page.objects.len() + page.prefixes.len()) as i32),
        is_truncated: Some(page.next.is_some()),
        continuation_token: input.continuation_token,
        next_continuation_token: page.next.map(hex::encode),
        start_after: input.start_after,
        encoding_type: input.encoding_type,
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        ..Default::default()
    })
}

/// One page, as the first version has it.
pub(super) fn version_1(bucket: &Bucket, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
    let page = list(
        &bucket.objects,
        ListObjectsV2Input {
            bucket: input.bucket,
            prefix: input.prefix,
            delimiter: input.delimiter,
            max_keys: input.max_keys,
            encoding_type: input.encoding_type,
            start_after: input.marker.clone(),
            ..Default::default()
        },
    )?;
    Ok(ListObjectsOutput {
        name: page.name,
        prefix: page.prefix,
        marker: input.marker,
        delimiter: page.delimiter,
        max_keys: page.max_keys,
        is_truncated: page.is_truncated,
        encoding_type: page.encoding_type,
        contents: page.contents,
        common_prefixes: page.common_prefixes,
        ..Default::default()
    })
}

type Objects = BTreeMap<String, Arc<storage::Object>>;

#[derive(Default)]
struct Page<'a> {
    objects: Vec<(&'a str, &'a storage::Object)>,
    prefixes: Vec<String>,
    /// The last name on this page, if there are more.
    next: Option<String>,
}

fn collect<'a>(
    objects: &'a Objects,
    prefix: &str,
    delimiter: Option<&str>,
    after: Option<&str>,
    max_keys: usize,
) -> Page<'a> {
    let mut page = Page::default();
    let mut last: Option<String> = None;
    let mut start = match after {
        Some(after) if after >= prefix => Bound::Excluded(after.to_owned()),
        _ => Bound::Included(prefix.to_owned()),
    };
    // A rolled-up prefix is left behind in one step, however many keys it has.
    if let (Some(delimiter), Some(after)) = (delimiter, after)
        && after.len() > prefix.len()
        && after.ends_with(delimiter)
    {
        start = Bound::Excluded(format!("{after}{HIGHEST}"));
    }
    while let Some((key, object)) = objects.range((start.clone(), Bound::Unbounded)).next() {
        let Some(rest) = key.strip_prefix(prefix) else { break };
        if page.objects.len() + page.prefixes.len() == max_keys {
            page.next = last.or_else(|| after.map(str::to_owned)).or_else(|| Some(String::new()));
            break;
        }
        let rolled = delimiter.and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len()));
        match rolled {
            Some(end) => {
                let common = format!("{prefix}{}", &rest[..end]);
                start = Bound::Excluded(format!("{common}{HIGHEST}"));
                last = Some(common.clone());
                page.prefixes.push(common);
            }
            None => {
                start = Bound::Excluded(key.clone());
                last = Some(key.clone());
                page.objects.push((key, object));
            }
        }
    }
    page
}

fn listed(key: String, object: &storage::Object) -> Object {
    let class = object.headers.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned());
    Object {
        key: Some(key),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(object.last_modified.into()),
        size: Some(object.content.len() as i64),
        storage_class: Some(class.into()),
        ..Default::default()
    }
}

const PAGE: usize = 1000;
/// Sorts behind every other character.
const HIGHEST: char = char::MAX;
/// What `encoding-type=url` leaves as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');
