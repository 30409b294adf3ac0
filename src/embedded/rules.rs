//! What S3 demands of keys, metadata, checksums and conditions.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use md5::{Digest, Md5};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::blob::Blob;
use super::storage::Object;
use crate::checksum::Crc32c;

/// A body that was taken in.
pub(super) struct Received {
    pub(super) content: Blob,
    /// Hex.
    pub(super) md5: String,
    pub(super) crc32c: Crc32c,
}

impl Received {
    /// Refuses a body that is not the one the client computed a checksum of.
    pub(super) fn verify(&self, crc32c: Option<&str>, md5: Option<&str>) -> S3Result<()> {
        let expected = hex::decode(&self.md5).map(|md5| base64(&md5)).unwrap_or_default();
        if crc32c.is_some_and(|sent| sent != self.crc32c.base64()) || md5.is_some_and(|sent| sent != expected)
        {
            return Err(s3_error!(BadDigest));
        }
        Ok(())
    }
}

/// The conditions of a write.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl Conditions {
    /// CopyObject has conditions on its destination that `s3s` does not parse.
    pub(super) fn of_headers(headers: &http::HeaderMap) -> Self {
        let read =
            |name: &str| headers.get(name).and_then(|v| ETagCondition::parse_http_header(v.as_bytes()).ok());
        Self { if_match: read("if-match"), if_none_match: read("if-none-match") }
    }

    pub(super) fn check(&self, current: Option<&Object>) -> S3Result<()> {
        match (&self.if_match, current) {
            (Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(object)) if !matches(condition, object) => {
                return Err(s3_error!(PreconditionFailed));
            }
            _ => {}
        }
        match (&self.if_none_match, current) {
            (Some(condition), Some(object)) if matches(condition, object) => {
                Err(s3_error!(PreconditionFailed))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition.as_etag() {
        Some(etag) => etag.value() == object.etag,
        None => true,
    }
}

pub(super) fn read_conditions(
    object: &Object,
    if_match: &Option<ETagCondition>,
    if_none_match: &Option<ETagCondition>,
) -> S3Result<()> {
    if if_match.as_ref().is_some_and(|condition| !matches(condition, object)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if if_none_match.as_ref().is_some_and(|condition| matches(condition, object)) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

pub(super) fn check_key(key: &str) -> S3Result<()> {
    match key.len() {
        1..=1024 => Ok(()),
        _ => Err(s3_error!(KeyTooLongError)),
    }
}

/// S3 takes 2 KB of names and values together.
pub(super) fn check_metadata(metadata: Option<Metadata>) -> S3Result<BTreeMap<String, String>> {
    let metadata = metadata.unwrap_or_default();
    match metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() {
        0..=2048 => Ok(metadata.into_iter().collect()),
        _ => Err(s3_error!(MetadataTooLarge)),
    }
}

/// Tags out of the URL query in which they are set.
pub(super) fn tags(query: &str) -> Vec<Tag> {
    let text = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| Tag { key: Some(text(key)), value: Some(text(value)) }).collect()
}

/// A stream as the protocol layer takes it.
pub(super) fn streaming(bytes: BoxStream<'static, std::io::Result<Bytes>>) -> StreamingBlob {
    let frames = bytes.map_ok(hyper::body::Frame::data).map_err(s3s::StdError::from);
    StreamingBlob::from(s3s::Body::http_body_unsync(http_body_util::StreamBody::new(frames)))
}

pub(super) async fn md5_of(content: &Blob) -> std::io::Result<String> {
    let mut md5 = Md5::new();
    let mut bytes = content.read(0..content.len()).await?;
    while let Some(chunk) = bytes.next().await {
        md5.update(&chunk?);
    }
    Ok(hex::encode(md5.finalize()))
}

pub(super) fn internal(error: std::io::Error) -> s3s::S3Error {
    tracing::warn!(%error, "the embedded server cannot keep its data");
    s3s::S3Error::internal_error(error)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What S3 says of objects that were stored without a type.
pub(super) const DEFAULT_TYPE: &str = "binary/octet-stream";
