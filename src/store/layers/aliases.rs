//! Listings that tell other ETags than the objects have: some servers do. A condition on such a one is never met,
//! which is no conflict; so after a refusal the object is looked at, and the request made once more with its own.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key, Written};
use crate::store::comparing::own_etag;
use crate::store::{
    CompleteUpload, CopyObject, CopyPart, CopySource, MultipartStore, ObjectStore, Part, PutObject,
    StoreError, StoreResult,
};

/// See the module.
#[derive(Debug)]
pub struct Aliases {
    inner: Arc<dyn MultipartStore>,
}

impl Aliases {
    /// Wraps the store of an endpoint that may do so.
    pub fn new(inner: Arc<dyn MultipartStore>) -> Self {
        Self { inner }
    }

    /// The condition that was meant, if it is another.
    async fn meant(&self, key: &Key, condition: &Condition) -> Option<Condition> {
        let Condition::IfMatch(listed) = condition else { return None };
        own_etag(&*self.inner, key, listed).await.map(Condition::IfMatch)
    }

    /// The source that was meant, if it is another.
    async fn meant_source(&self, source: &CopySource) -> Option<CopySource> {
        let etag = own_etag(&*self.inner, &source.key, source.etag.as_ref()?).await?;
        Some(CopySource { etag: Some(etag), ..source.clone() })
    }

    /// Deletes an object that was not deleted for its ETag; the reason where it is left.
    async fn delete_meant(&self, object: &DeleteTarget) -> Option<(Key, StoreError)> {
        let deleted = match self.meant(&object.key, &object.condition()).await {
            Some(meant) => self.inner.delete(&object.key, &meant).await,
            None => Err(StoreError::ConditionFailed),
        };
        match deleted {
            Ok(()) | Err(StoreError::NotFound) => None,
            Err(error) => Some((object.key.clone(), error)),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Aliases {
    forward!(inner: head, get, list, address, foresee);

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let written = self.inner.put(request.clone()).await;
        if matches!(written, Err(StoreError::ConditionFailed))
            && let Some(meant) = self.meant(request.key, request.condition).await
        {
            return self.inner.put(PutObject { condition: &meant, ..request }).await;
        }
        written
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let written = self.inner.copy(request).await;
        if !matches!(written, Err(StoreError::ConditionFailed)) {
            return written;
        }
        let CopyObject { source, to, condition } = request;
        let (other, meant) = (self.meant_source(source).await, self.meant(to, condition).await);
        if other.is_none() && meant.is_none() {
            return written;
        }
        let (source, condition) = (other.as_ref().unwrap_or(source), meant.as_ref().unwrap_or(condition));
        self.inner.copy(CopyObject { source, to, condition }).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let deleted = self.inner.delete(key, condition).await;
        if matches!(deleted, Err(StoreError::ConditionFailed))
            && let Some(meant) = self.meant(key, condition).await
        {
            return self.inner.delete(key, &meant).await;
        }
        deleted
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let (refused, mut failed): (Vec<_>, Vec<_>) = self
            .inner
            .delete_many(objects)
            .await?
            .into_iter()
            .partition(|(_, error)| matches!(error, StoreError::ConditionFailed));
        let refused: HashSet<Key> = refused.into_iter().map(|(key, _)| key).collect();
        let meant = objects.iter().filter(|object| refused.contains(&object.key));
        let meant: Vec<_> = meant.map(|object| self.delete_meant(object)).collect();
        let left: Vec<_> = stream::iter(meant).buffer_unordered(PARALLEL_LOOKS).collect().await;
        failed.extend(left.into_iter().flatten());
        Ok(failed)
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        let attributes = self.inner.attributes(key, version).await;
        if matches!(attributes, Err(StoreError::ConditionFailed))
            && let Some(own) = own_etag(&*self.inner, key, version).await
        {
            return self.inner.attributes(key, &own).await;
        }
        attributes
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for Aliases {
    forward!(inner: create_upload, upload_part, abort_upload, list_uploads, list_parts);

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        let part = self.inner.copy_part(request).await;
        if matches!(part, Err(StoreError::ConditionFailed))
            && let Some(meant) = self.meant_source(request.source).await
        {
            return self.inner.copy_part(CopyPart { source: &meant, ..request }).await;
        }
        part
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let written = self.inner.complete_upload(request).await;
        if matches!(written, Err(StoreError::ConditionFailed))
            && let Some(meant) = self.meant(&request.upload.key, request.condition).await
        {
            return self.inner.complete_upload(CompleteUpload { condition: &meant, ..request }).await;
        }
        written
    }
}

/// Objects that are looked at at once.
const PARALLEL_LOOKS: usize = 16;
