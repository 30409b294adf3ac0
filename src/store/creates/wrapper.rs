//! The store with the empty objects that are held before it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use unicode_normalization::UnicodeNormalization;

use super::rows::Row;
use super::{Creates, meta};
use crate::logging::with_causes;
use crate::object::{
    Attributes, Condition, DeleteTarget, ETag, Key, ObjectMeta, ReadCondition, Spelling, Stat, Written,
};
use crate::path_key::PathKey;
use crate::state::{CreateRow, Left};
use crate::store::cached::Cached;
use crate::store::overlay::{PageEnds, steady};
use crate::store::{
    CompleteUpload, Content, CopyObject, CopySource, GetObject, ListPage, ListRequest, MultipartStore,
    ObjectStore, Payload, PutObject, StoreError, StoreResult, existing,
};

/// See the module above.
#[derive(Debug)]
pub struct WithCreates {
    inner: Arc<Cached>,
    creates: Creates,
    ends: PageEnds,
}

impl WithCreates {
    /// Wraps `inner`, the store that `creates` go to.
    pub fn new(inner: Arc<Cached>, creates: Creates) -> Self {
        Self { inner, creates, ends: PageEnds::default() }
    }

    fn row(&self, key: &Key) -> Option<Arc<Row>> {
        self.creates.0.rows.get(key)
    }

    /// What is told of `key`, unless the store may know better.
    fn told(&self, key: &Key) -> Option<ObjectMeta> {
        self.row(key).filter(|row| !row.attempted()).map(|row| meta(&row.create))
    }

    /// What is told of `key` when the store knows of none: the write of its content failed, after all.
    fn held_after_all(&self, key: &Key) -> Option<ObjectMeta> {
        self.row(key).map(|row| meta(&row.create))
    }

    /// The condition as the store knows the object: an empty one has another ETag where it is encrypted.
    fn current(&self, key: &Key, condition: &Condition) -> Condition {
        match condition {
            Condition::IfMatch(etag) if *etag == ETag::of_nothing() => {
                let stored = self.creates.0.stored_as.get(key);
                Condition::IfMatch(stored.unwrap_or_else(ETag::of_nothing))
            }
            other => other.clone(),
        }
    }

    /// The same of what is written, where a client may have been told the ETag in an earlier life.
    async fn current_of_old(&self, key: &Key, condition: &Condition) -> StoreResult<Condition> {
        let current = self.current(key, condition);
        if current != Condition::IfMatch(ETag::of_nothing()) {
            return Ok(current);
        }
        let there = existing(self.inner.head(key).await)?;
        let empty = there.filter(|meta| meta.size == 0).map(|meta| meta.etag);
        Ok(empty.map_or(current, Condition::IfMatch))
    }

    /// Writes an object by `write`, as the content that a held one waited for if there is one.
    async fn write<F: Future<Output = StoreResult<Written>>>(
        &self,
        key: &Key,
        condition: &Condition,
        write: impl FnOnce(Condition) -> F,
    ) -> StoreResult<Written> {
        if let Some(row) = self.row(key) {
            let _turn = row.turn.lock().await;
            if self.is_held(key, &row).await? {
                let condition = match condition {
                    Condition::IfMatch(etag) if *etag == ETag::of_nothing() => Condition::IfAbsent,
                    Condition::None => Condition::None,
                    _ => return Err(StoreError::ConditionFailed),
                };
                let written = write(condition).await;
                match &written {
                    Ok(_) => self.creates.end(key, Left::Content).await,
                    // Somebody else made one: that is the object.
                    Err(StoreError::ConditionFailed) => self.creates.end(key, Left::Nothing).await,
                    Err(error) if error.may_have_been_applied() => row.set_attempted(),
                    Err(_) => {}
                }
                return written;
            }
        }
        write(self.current_of_old(key, condition).await?).await
    }

    /// Whether the store has no such object, and the row stands for it. Where a write had no answer the store is
    /// asked. The row's turn is held.
    async fn is_held(&self, key: &Key, row: &Row) -> StoreResult<bool> {
        if !self.creates.0.rows.has(key, row) {
            return Ok(false);
        }
        let there = if row.attempted() { existing(self.inner.head(key).await)? } else { None };
        let Some(meta) = there else { return Ok(true) };
        self.creates.found(key, &meta).await;
        Ok(false)
    }

    /// Deletes a held object, or says that none is held.
    async fn delete_held(&self, object: &DeleteTarget) -> StoreResult<Option<()>> {
        let Some(row) = self.row(&object.key) else { return Ok(None) };
        let _turn = row.turn.lock().await;
        if !self.is_held(&object.key, &row).await? {
            return Ok(None);
        }
        if object.etag.as_ref().is_some_and(|etag| *etag != ETag::of_nothing()) {
            return Err(StoreError::ConditionFailed);
        }
        self.creates.end(&object.key, Left::Nothing).await;
        Ok(Some(()))
    }
}

impl WithCreates {
    pub async fn stat(&self, name: &Key) -> StoreResult<Stat> {
        match self.told(name) {
            Some(meta) => Ok(Stat { object: Some(meta), is_prefix: false }),
            None => {
                let is_prefix = self.has_held_below(&format!("{name}/"));
                let stat = self.inner.stat(name).await?;
                let object = stat.object.or_else(|| self.held_after_all(name));
                Ok(Stat { is_prefix: stat.is_prefix || is_prefix, object })
            }
        }
    }

    pub async fn stat_tree(&self, name: &Key) -> StoreResult<(Stat, Option<ListPage>)> {
        if let Some(meta) = self.told(name) {
            return Ok((Stat { object: Some(meta), is_prefix: false }, None));
        }
        let request = ListRequest::tree(&format!("{name}/"));
        let (mut stat, mut page) = self.listed(&request.prefix, || self.inner.stat_tree(name)).await?;
        stat.object = stat.object.or_else(|| self.held_after_all(name));
        if let Some(page) = &mut page {
            self.lay(page, &request);
        }
        stat.is_prefix |= self.has_held_below(&request.prefix);
        Ok((stat, page))
    }

    /// What is held of `name`, where the store has nothing of it.
    pub fn held_stat(&self, name: &Key) -> Stat {
        Stat { object: self.held_after_all(name), is_prefix: self.has_held_below(&format!("{name}/")) }
    }

    /// The same of a listing.
    pub fn held_page(&self, request: &ListRequest) -> ListPage {
        let mut page = ListPage::default();
        self.lay(&mut page, request);
        page
    }

    /// Whether any is held below a prefix.
    pub fn has_held_below(&self, prefix: &str) -> bool {
        !self.creates.0.rows.below(prefix).is_empty()
    }

    pub async fn is_prefix(&self, prefix: &str) -> StoreResult<bool> {
        if self.has_held_below(prefix) { Ok(true) } else { self.inner.is_prefix(prefix).await }
    }

    pub fn find_normalized(&self, prefix: &str, name: &str) -> Spelling {
        let stored = self.inner.find_normalized(prefix, name);
        if matches!(stored, Spelling::Stored(_)) {
            return stored;
        }
        let names = self.creates.0.rows.below(prefix).into_iter();
        let mut names = names.map(|(key, _)| key.as_str()[prefix.len()..].to_owned());
        names.find(|held| held.nfc().eq(name.nfc())).map_or(stored, Spelling::Stored)
    }

    pub async fn create(&self, key: &Key, attributes: &Attributes) -> StoreResult<Written> {
        if self.row(key).is_some() {
            return Err(StoreError::ConditionFailed);
        }
        if self.creates.count() < MOST_HELD {
            match self.creates.hold(key, attributes).await {
                Err(error @ StoreError::State(_)) => {
                    tracing::warn!(
                        %key,
                        error = with_causes(&error),
                        "an empty file cannot be held; it is stored in S3 at once"
                    );
                }
                held => return held,
            }
        }
        let (body, condition) = (Payload::default(), &Condition::IfAbsent);
        self.inner.put(PutObject { key, body, attributes, condition }).await
    }

    /// What stands for a held object until its content was accepted; see [`Creates::hand_over`].
    pub fn hand_over(&self, key: &Key, condition: &Condition) -> Option<CreateRow> {
        if *condition == Condition::IfMatch(ETag::of_nothing()) { self.creates.hand_over(key) } else { None }
    }

    pub async fn take_back(&self, key: &Key, create: CreateRow) {
        self.creates.take_back(key, create).await;
    }

    pub async fn release(&self, path: &PathKey) -> StoreResult<()> {
        self.creates.release(path).await
    }

    pub fn files_after(&self, key: &Key, most: usize) -> Vec<(Key, bool)> {
        self.inner.files_after(key, most)
    }

    pub fn cached_content(&self, key: &Key) -> Option<(ObjectMeta, Bytes)> {
        match self.row(key) {
            Some(_) => None,
            None => self.inner.cached_content(key),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for WithCreates {
    forward!(inner: foresee, attributes, address);

    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        match self.told(key) {
            Some(meta) => Ok(meta),
            None => match self.inner.head(key).await {
                Err(StoreError::NotFound) => self.held_after_all(key).ok_or(StoreError::NotFound),
                found => found,
            },
        }
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        let GetObject { key, range, condition } = request;
        let meta = match self.told(key) {
            Some(meta) => meta,
            None => match (self.inner.get(request).await, self.held_after_all(key)) {
                (Err(StoreError::NotFound), Some(meta)) => meta,
                (got, _) => return got,
            },
        };
        match condition {
            ReadCondition::IfMatch(etag) if *etag != meta.etag => Err(StoreError::ConditionFailed),
            ReadCondition::IfNoneMatch(etag) if *etag == meta.etag => Err(StoreError::NotModified),
            _ => Content::of_memory(meta, &Bytes::new(), range),
        }
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let mut page = self.listed(&request.prefix, || self.inner.list(request)).await?;
        if self.creates.count() == 0 && page.continuation.is_none() {
            return Ok(page);
        }
        self.lay(&mut page, request);
        Ok(page)
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let (key, condition) = (request.key, request.condition);
        let write =
            |condition| async move { self.inner.put(PutObject { condition: &condition, ..request }).await };
        self.write(key, condition, write).await
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let CopyObject { source, to, condition } = request;
        for key in [&source.key, to] {
            self.creates.settle(key).await?;
        }
        let version = source.etag.clone().map_or(Condition::None, Condition::IfMatch);
        let etag = self.current(&source.key, &version).etag().cloned();
        let source = &CopySource { etag, ..source.clone() };
        let condition = &self.current_of_old(to, condition).await?;
        self.inner.copy(CopyObject { source, to, condition }).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let etag = condition.etag().cloned();
        match self.delete_held(&DeleteTarget { key: key.clone(), etag }).await? {
            Some(()) => Ok(()),
            None => {
                self.creates.forget_filled(key).await;
                self.inner.delete(key, &self.current(key, condition)).await
            }
        }
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let (mut failed, mut others) = (Vec::new(), Vec::new());
        for object in objects {
            match self.delete_held(object).await {
                Ok(Some(())) => {}
                Err(error) => failed.push((object.key.clone(), error)),
                Ok(None) => {
                    self.creates.forget_filled(&object.key).await;
                    let etag = self.current(&object.key, &object.condition()).etag().cloned();
                    others.push(DeleteTarget { key: object.key.clone(), etag });
                }
            }
        }
        if !others.is_empty() {
            failed.extend(self.inner.delete_many(&others).await?);
        }
        Ok(failed)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for WithCreates {
    forward!(inner: create_upload, upload_part, copy_part, abort_upload, list_uploads, list_parts);

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let write = |condition| async move {
            self.inner.complete_upload(CompleteUpload { condition: &condition, ..request }).await
        };
        self.write(&request.upload.key, request.condition, write).await
    }
}

impl WithCreates {
    /// The answer to a listing, made again if what was held below `prefix` has gone to the store meanwhile: it may
    /// be neither on the listing nor held any more.
    async fn listed<T, F>(&self, prefix: &str, list: impl Fn() -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        let rows = &self.creates.0.rows;
        let is_held = |held: &Vec<(Key, Arc<Row>)>| held.iter().all(|(key, row)| rows.has(key, row));
        steady(|| rows.below(prefix), is_held, list).await
    }

    /// Shows on a page what is held.
    fn lay(&self, page: &mut ListPage, request: &ListRequest) {
        let bounds = self.ends.of(page, request);
        bounds.lay(self.creates.0.rows.shown_below(&request.prefix), page, request, false);
    }
}

/// Held at once; each is a row on disk. One Finder copies one file at a time.
const MOST_HELD: usize = 1000;
