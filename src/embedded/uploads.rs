//! Multipart uploads.

use std::ops::Bound;
use std::time::SystemTime;

use md5::{Digest, Md5};
use s3s::dto::*;
use s3s::{S3Result, s3_error};
use uuid::Uuid;

use super::blob::Blob;
use super::rules::{Conditions, check_key, check_metadata, internal, streaming};
use super::service::Service;
use super::storage::{self, Headers, Upload};
use crate::checksum::Crc32c;

pub(super) fn create(
    service: &Service,
    input: CreateMultipartUploadInput,
) -> S3Result<CreateMultipartUploadOutput> {
    check_key(&input.key)?;
    let headers = Headers {
        content_type: input.content_type,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_encoding: input.content_encoding,
        content_language: input.content_language,
        storage_class: input.storage_class.map(|class| class.as_str().to_owned()),
        tagging: input.tagging,
        metadata: check_metadata(input.metadata)?,
        crc32c: None,
    };
    let id = Uuid::new_v4().simple().to_string();
    let upload =
        Upload { key: input.key.clone(), headers, initiated: SystemTime::now(), parts: Default::default() };
    service.bucket(&input.bucket, |bucket| Ok(bucket.uploads.insert(id.clone(), upload)))?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        ..Default::default()
    })
}

pub(super) async fn part(service: &Service, input: UploadPartInput) -> S3Result<UploadPartOutput> {
    check_number(input.part_number)?;
    let received = service.receive(&input.bucket, input.body).await?;
    received.verify(input.checksum_crc32c.as_deref(), input.content_md5.as_deref())?;
    let target = (input.bucket.as_str(), input.key.as_str(), input.upload_id.as_str());
    let etag = service.etag(received.md5);
    let crc32c = input.checksum_crc32c.map(|_| received.crc32c);
    let part = storage::Part { etag: etag.clone(), crc32c, content: received.content };
    add_part(service, target, input.part_number, part).await?;
    let checksum_crc32c = crc32c.map(Crc32c::base64);
    Ok(UploadPartOutput { e_tag: Some(ETag::Strong(etag)), checksum_crc32c, ..Default::default() })
}

pub(super) async fn part_copy(
    service: &Service,
    input: UploadPartCopyInput,
) -> S3Result<UploadPartCopyOutput> {
    check_number(input.part_number)?;
    let source = service.source(&input.copy_source, input.copy_source_if_match.as_ref())?;
    let size = source.content.len();
    let range = match &input.copy_source_range {
        Some(range) => Range::parse(range)
            .ok()
            .and_then(|range| range.check(size).ok())
            .ok_or_else(|| s3_error!(InvalidArgument))?,
        None => 0..size,
    };
    let body = source.content.read(range).await.map_err(internal)?;
    let received = service.receive(&input.bucket, Some(streaming(body))).await?;
    let target = (input.bucket.as_str(), input.key.as_str(), input.upload_id.as_str());
    let etag = service.etag(received.md5);
    let part = storage::Part { etag: etag.clone(), crc32c: Some(received.crc32c), content: received.content };
    add_part(service, target, input.part_number, part).await?;
    let result = CopyPartResult {
        e_tag: Some(ETag::Strong(etag)),
        last_modified: Some(SystemTime::now().into()),
        ..Default::default()
    };
    Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() })
}

async fn add_part(
    service: &Service,
    (bucket, key, id): (&str, &str, &str),
    number: i32,
    part: storage::Part,
) -> S3Result<()> {
    let replaced = service.bucket(bucket, |bucket| {
        let upload = bucket.uploads.get_mut(id).filter(|upload| upload.key == key);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(upload.parts.insert(number, part))
    })?;
    if let Some(old) = replaced {
        old.content.remove().await;
    }
    Ok(())
}

pub(super) async fn complete(
    service: &Service,
    input: CompleteMultipartUploadInput,
) -> S3Result<CompleteMultipartUploadOutput> {
    let wanted = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let (mut headers, parts) = service.bucket(&input.bucket, |bucket| {
        let upload = bucket.uploads.get(&input.upload_id).filter(|upload| upload.key == input.key);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok((upload.headers.clone(), chosen_parts(upload, &wanted)?))
    })?;
    let mut digests = Md5::new();
    parts.iter().for_each(|part| digests.update(hex::decode(&part.etag).unwrap_or_default()));
    let etag = format!("{}-{}", service.etag(hex::encode(digests.finalize())), parts.len());
    headers.crc32c = whole(&parts);
    let content = Blob::concat(parts.into_iter().map(|part| part.content));
    let crc32c = headers.crc32c.map(Crc32c::base64);
    if input.checksum_crc32c.is_some_and(|sent| Some(sent) != crc32c) {
        return Err(s3_error!(BadDigest));
    }
    if input.mpu_object_size.is_some_and(|size| size != content.len() as i64) {
        return Err(s3_error!(InvalidRequest, "The provided x-amz-mp-object-size does not match"));
    }
    let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
    let conditions = service.heeded("CompleteMultipartUpload", conditions);
    service.bucket(&input.bucket, |bucket| conditions.check(bucket.objects.get(&input.key).map(|o| &**o)))?;
    // Taken out first: of two completions at once only one can find it.
    let taken = service.bucket(&input.bucket, |bucket| Ok(bucket.uploads.remove(&input.upload_id)))?;
    taken.ok_or_else(|| s3_error!(NoSuchUpload))?;
    let target = (input.bucket.as_str(), input.key.as_str());
    let object = service.store(target, content, etag, headers, conditions).await?;
    Ok(CompleteMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        checksum_crc32c: crc32c,
        ..Default::default()
    })
}

/// The checksum of the whole, if each part came with one.
fn whole(parts: &[storage::Part]) -> Option<Crc32c> {
    parts
        .iter()
        .try_fold(Crc32c::default(), |whole, part| Some(whole.followed_by(part.crc32c?, part.content.len())))
}

/// The parts that the client names, which must be the ones it uploaded.
fn chosen_parts(upload: &Upload, wanted: &[CompletedPart]) -> S3Result<Vec<storage::Part>> {
    if wanted.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    let (mut parts, mut last) = (Vec::new(), 0);
    for (index, part) in wanted.iter().enumerate() {
        let number = part.part_number.unwrap_or_default();
        if number <= last {
            return Err(s3_error!(InvalidPartOrder));
        }
        last = number;
        let stored = upload.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
        if part.e_tag.as_ref().is_some_and(|sent| sent.value() != stored.etag) {
            return Err(s3_error!(InvalidPart));
        }
        if index + 1 < wanted.len() && stored.content.len() < SMALLEST_PART {
            return Err(s3_error!(EntityTooSmall));
        }
        parts.push(stored.clone());
    }
    Ok(parts)
}

pub(super) async fn abort(
    service: &Service,
    input: AbortMultipartUploadInput,
) -> S3Result<AbortMultipartUploadOutput> {
    let upload = service.bucket(&input.bucket, |bucket| {
        bucket.uploads.remove(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))
    })?;
    for part in upload.parts.into_values() {
        part.content.remove().await;
    }
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) fn list(
    service: &Service,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let uploads = service.bucket(&input.bucket, |bucket| {
        let of = |(id, upload): (&String, &Upload)| MultipartUpload {
            key: Some(upload.key.clone()),
            upload_id: Some(id.clone()),
            initiated: Some(upload.initiated.into()),
            ..Default::default()
        };
        let mut uploads: Vec<_> =
            bucket.uploads.iter().filter(|(_, u)| u.key.starts_with(&prefix)).map(of).collect();
        uploads.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(uploads)
    })?;
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: input.prefix,
        is_truncated: Some(false),
        uploads: Some(uploads),
        ..Default::default()
    })
}

/// One page, of [`PAGE`] parts at most, behind the part that the client names.
pub(super) fn list_parts(service: &Service, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let after = input.part_number_marker.unwrap_or_default();
    let most = input.max_parts.map_or(Ok(PAGE), usize::try_from);
    let most = most.map_err(|_| s3_error!(InvalidArgument))?.min(PAGE);
    let (parts, is_truncated) = service.bucket(&input.bucket, |bucket| {
        let upload = bucket.uploads.get(&input.upload_id).filter(|upload| upload.key == input.key);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        let of = |(number, part): (&i32, &storage::Part)| Part {
            part_number: Some(*number),
            e_tag: Some(ETag::Strong(part.etag.clone())),
            checksum_crc32c: part.crc32c.map(Crc32c::base64),
            size: Some(part.content.len() as i64),
            ..Default::default()
        };
        let mut left = upload.parts.range((Bound::Excluded(after), Bound::Unbounded));
        let parts: Vec<_> = left.by_ref().take(most).map(of).collect();
        Ok((parts, left.next().is_some()))
    })?;
    let last = parts.last().and_then(|part| part.part_number);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        is_truncated: Some(is_truncated),
        next_part_number_marker: last,
        parts: Some(parts),
        ..Default::default()
    })
}

fn check_number(number: i32) -> S3Result<()> {
    match number {
        1..=10_000 => Ok(()),
        _ => Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000")),
    }
}

/// All parts but the last must have 5 MiB.
const SMALLEST_PART: u64 = 5 << 20;
/// CopyObject's limit: 5 GB.
pub(super) const LARGEST_COPY: u64 = 5_000_000_000;
/// Parts of a page: S3's own limit.
const PAGE: usize = 1000;
