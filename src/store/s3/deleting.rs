//! Deletes of many objects at once.

use std::sync::atomic::Ordering;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::class::Class;
use super::convert::has_control;
use super::operations::{SERVER_SIDE_WORK, once, within};
use super::{S3Store, StoreError, StoreResult, errors};
use crate::object::{DeleteTarget, Key};
use crate::store::tree::delete_one;

impl S3Store {
    /// DeleteObjects, unless it is known that the endpoint does not have it.
    pub(super) async fn delete_objects(
        &self,
        objects: &[DeleteTarget],
    ) -> StoreResult<Vec<(Key, StoreError)>> {
        if self.deletes_singly.load(Ordering::Relaxed) {
            return Err(StoreError::Unsupported("deletes of many objects at once".to_owned()));
        }
        let deleted = self.delete_together(objects).await;
        if let Err(error @ (StoreError::Unsupported(_) | StoreError::ChecksumDemanded(_))) = &deleted
            && !self.deletes_singly.swap(true, Ordering::Relaxed)
        {
            tracing::info!(bucket = %self.bucket, %error, "objects are deleted one by one from now on");
        }
        deleted
    }

    async fn delete_together(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        // Such keys cannot be written in XML 1.0, so they go one by one.
        let (single, batch): (Vec<&DeleteTarget>, Vec<&DeleteTarget>) =
            objects.iter().partition(|o| has_control(&o.key));
        let mut failed = Vec::new();
        for object in single {
            if let Err(error) = delete_one(self, object).await {
                failed.push((object.key.clone(), error));
            }
        }
        if batch.is_empty() {
            return Ok(failed);
        }
        let identifier = |object: &&DeleteTarget| {
            let etag = object.etag.as_ref().map(|etag| etag.quoted().to_owned());
            ObjectIdentifier::builder().key(object.key.as_str()).set_e_tag(etag).build()
        };
        let identifiers: Result<Vec<_>, _> = batch.iter().map(identifier).collect();
        let delete = identifiers.and_then(|ids| Delete::builder().set_objects(Some(ids)).quiet(true).build());
        let delete = delete.map_err(|e| StoreError::Rejected(e.into()))?;
        let output = self
            .call(Class::Write, |client| {
                client
                    .delete_objects()
                    .bucket(&self.bucket)
                    .delete(delete.clone())
                    .set_request_payer(self.payer())
                    .set_expected_bucket_owner(self.owner())
                    .customize()
                    .config_override(once(within(SERVER_SIDE_WORK)))
                    .mutate_request(add_md5)
                    .send()
            })
            .await?;
        for error in output.errors() {
            match errors::of_key(error) {
                StoreError::NotFound => {}
                reason => failed.push((Key::new(error.key().unwrap_or_default())?, reason)),
            }
        }
        Ok(failed)
    }
}

/// Adds `Content-MD5` to a request: many servers demand it, and do not take the SDK's checksum for it.
fn add_md5(request: &mut HttpRequest) {
    if let Some(body) = request.body().bytes() {
        let md5 = STANDARD.encode(Md5::digest(body));
        request.headers_mut().insert("content-md5", md5);
    }
}
