//! The store that keeps conditions, or makes up for them.

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Conditional, Kind, in_time};
use crate::object::{Condition, DeleteTarget, Key, ObjectMeta, Written};
use crate::store::{
    CompleteUpload, Content, CopyObject, CopyPart, Foreseen, GetObject, MultipartStore, ObjectStore, Part,
    PutObject, StoreError, StoreResult,
};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Conditional {
    forward!(inner: list, attributes, address);

    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        let asked = Instant::now();
        let meta = self.inner.head(key).await;
        match &meta {
            Ok(meta) => self.seen.note(key, Some(meta.etag.clone()), asked),
            Err(StoreError::NotFound) => self.seen.note(key, None, asked),
            Err(_) => {}
        }
        meta
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        let asked = Instant::now();
        let content = self.inner.get(request).await?;
        self.seen.note(request.key, Some(content.meta.etag.clone()), asked);
        Ok(content)
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let send = |condition| {
            let request = request.clone();
            async move { self.inner.put(PutObject { condition: &condition, ..request }).await }
        };
        let written = self.write(Kind::Put, request.key, request.condition, send).await;
        self.note(request.key, &written, |written| Some(written.etag.clone()));
        written
    }

    async fn foresee(&self, copies: &[Foreseen]) {
        if copies.len() > 1
            && let Err(error) = self.prepare(copies).await
        {
            tracing::debug!(%error, "each name is looked at by itself");
        }
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let CopyObject { source, to, condition } = request;
        let send = |condition: Condition| async move {
            let condition = &condition;
            let copy =
                |source| async move { self.inner.copy(CopyObject { source: &source, to, condition }).await };
            self.copied(source, copy).await
        };
        let written = in_time(|| self.write(Kind::CopyDestination, to, condition, &send)).await;
        self.note(to, &written, |written| Some(written.etag.clone()));
        written
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let send = |condition| async move { self.inner.delete(key, &condition).await };
        let deleted = self.write(Kind::Delete, key, condition, send).await;
        self.note(key, &deleted, |()| None);
        deleted
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        objects.iter().for_each(|object| self.seen.forget(&object.key));
        let is_conditional = objects.iter().any(|object| object.etag.is_some());
        if is_conditional && !self.keeps(Kind::DeleteMany).await? {
            return self.delete_looked_at(objects).await;
        }
        let _writing = self.looks.writing(objects.iter().map(|object| &object.key).collect());
        self.inner.delete_many(objects).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for Conditional {
    forward!(inner: create_upload, upload_part, abort_upload, list_uploads, list_parts);

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        let copy =
            |source| async move { self.inner.copy_part(CopyPart { source: &source, ..request }).await };
        in_time(|| self.copied(request.source, copy)).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let key = &request.upload.key;
        let send = |condition| async move {
            self.inner.complete_upload(CompleteUpload { condition: &condition, ..request }).await
        };
        let written = self.write(Kind::Complete, key, request.condition, send).await;
        self.note(key, &written, |written| Some(written.etag.clone()));
        written
    }
}
