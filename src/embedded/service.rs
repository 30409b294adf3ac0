//! What the operations of S3 are made of: the storage, and the hooks that change what it does.

use std::sync::Arc;

use futures_util::StreamExt;
use md5::{Digest, Md5};
use s3s::dto::*;
use s3s::{S3Result, s3_error};
use uuid::Uuid;

use super::blob::{Blob, BlobWriter};
use super::hooks::Hooks;
use super::quirks::Quirks;
use super::rules::{Conditions, Received, internal, matches};
use super::storage::{Bucket, Headers, Object, Storage};
use crate::checksum::Crc32cDigest;

/// The service behind the protocol.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) storage: Storage,
    pub(super) hooks: Hooks,
}

impl Service {
    pub(super) fn new(storage: Storage, hooks: Hooks) -> Self {
        Self { storage, hooks }
    }

    pub(super) fn quirks(&self) -> Quirks {
        self.hooks.quirks()
    }

    /// The conditions that count: some servers ignore them, and this one can be told to.
    pub(super) fn heeded(&self, operation: &str, conditions: Conditions) -> Conditions {
        if self.hooks.ignores_conditions_of(operation) { Conditions::default() } else { conditions }
    }

    /// The ETag of a content with this MD5.
    pub(super) fn etag(&self, md5: String) -> String {
        if self.hooks.has_opaque_etags() { Uuid::new_v4().simple().to_string() } else { md5 }
    }

    /// Runs `work` on a bucket in one step.
    pub(super) fn bucket<T>(&self, name: &str, work: impl FnOnce(&mut Bucket) -> S3Result<T>) -> S3Result<T> {
        self.storage.with(name, work).unwrap_or_else(|| Err(s3_error!(NoSuchBucket)))
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> S3Result<Arc<Object>> {
        self.bucket(bucket, |b| b.objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey)))
    }

    pub(super) fn is_folder(&self, bucket: &str, key: &str) -> bool {
        let prefix = format!("{key}/");
        let is_there = |b: &mut Bucket| {
            Ok(b.objects.range(prefix.clone()..).next().is_some_and(|(k, _)| k.starts_with(&prefix)))
        };
        self.bucket(bucket, is_there).unwrap_or_default()
    }

    /// Takes a body in: its content, MD5 and CRC-32C.
    pub(super) async fn receive(&self, bucket: &str, body: Option<StreamingBlob>) -> S3Result<Received> {
        let directory = self.storage.directory(bucket);
        let mut writer = BlobWriter::new(directory.as_deref()).await.map_err(internal)?;
        let (mut md5, mut crc32c) = (Md5::new(), Crc32cDigest::default());
        let mut body = body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| s3_error!(IncompleteBody))?;
            md5.update(&chunk);
            crc32c.update(&chunk);
            writer.write(chunk).await.map_err(internal)?;
        }
        let content = writer.finish().await.map_err(internal)?;
        Ok(Received { content, md5: hex::encode(md5.finalize()), crc32c: crc32c.end() })
    }

    /// Puts an object in place if its conditions hold, in one step.
    pub(super) async fn store(
        &self,
        (bucket, key): (&str, &str),
        content: Blob,
        etag: String,
        headers: Headers,
        conditions: Conditions,
    ) -> S3Result<Arc<Object>> {
        let object = self.storage.prepare(bucket, key, content, etag, headers).map_err(internal)?;
        let stored = Arc::clone(&object);
        let replaced = self.bucket(bucket, |b| {
            conditions.check(b.objects.get(key).map(|o| &**o))?;
            self.hooks.note_write(key, &stored.etag);
            Ok(b.objects.insert(key.to_owned(), stored))
        });
        match replaced {
            Ok(old) => {
                self.storage.discard(bucket, old).await;
                Ok(object)
            }
            Err(error) => {
                self.storage.discard(bucket, Some(object)).await;
                Err(error)
            }
        }
    }

    /// The source of a copy, if it is the version asked for.
    pub(super) fn source(
        &self,
        source: &CopySource,
        if_match: Option<&ETagCondition>,
    ) -> S3Result<Arc<Object>> {
        let CopySource::Bucket { bucket, key, .. } = source else { return Err(s3_error!(NotImplemented)) };
        let object = self.object(bucket, key)?;
        let if_match = if_match.filter(|_| !self.hooks.ignores_conditions_of("CopySource"));
        match if_match {
            Some(condition) if !matches(condition, &object) => Err(s3_error!(PreconditionFailed)),
            _ => Ok(object),
        }
    }
}
