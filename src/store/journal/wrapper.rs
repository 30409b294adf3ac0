//! The store with what was accepted laid over it.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use unicode_normalization::UnicodeNormalization;

use super::{AcceptError, Journal, NewFile, Pending, Writer};
use crate::object::{
    Attributes, Condition, DeleteTarget, ETag, Key, ObjectMeta, ReadCondition, Spelling, Stat, Written,
};
use crate::path_key::PathKey;
use crate::store::creates::WithCreates;
use crate::store::overlay::{PageEnds, steady};
use crate::store::{
    CompleteUpload, Content, CopyObject, CopyPart, CopySource, GetObject, ListPage, ListRequest,
    MultipartStore, ObjectStore, PutObject, StoreError, StoreResult,
};

/// See the module above.
#[derive(Debug)]
pub struct WithJournal {
    pub(super) inner: Arc<WithCreates>,
    pub(super) journal: Journal,
    ends: PageEnds,
}

impl WithJournal {
    /// Wraps `inner`, the store that what is in `journal` goes to.
    pub fn new(inner: Arc<WithCreates>, journal: Journal) -> Self {
        Self { inner, journal, ends: PageEnds::default() }
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Accepts a file; see [`Journal::accept_file`]. Where its name is held empty, nothing of it is in the store.
    pub async fn accept_file(&self, file: NewFile, writer: &Writer) -> Result<Written, AcceptError> {
        if let Some(body) = &file.body {
            // That takes its time; the file is there meanwhile, as it was.
            body.keep().await.map_err(AcceptError::Disk)?;
        }
        let key = file.key.clone();
        let Some(create) = self.inner.hand_over(&key, &file.condition) else {
            return self.journal.accept_file(file, writer).await;
        };
        let accepted =
            self.journal.accept_file(NewFile { condition: Condition::IfAbsent, ..file }, writer).await;
        if accepted.is_err() {
            self.inner.take_back(&key, create).await;
        }
        accepted
    }

    fn shown(&self, key: &Key) -> Option<Arc<Pending>> {
        self.journal.0.chains.lock().shown(key)
    }

    fn is_shown(&self, key: &Key, change: &Arc<Pending>) -> bool {
        self.shown(key).is_some_and(|shown| Arc::ptr_eq(&shown, change))
    }

    /// What is shown of a key, if something is pending: an object, or none.
    fn shown_at(&self, key: &Key) -> Option<Option<ObjectMeta>> {
        self.shown(key).map(|change| change.meta_at(key))
    }

    fn below(&self, prefix: &str) -> Vec<(Key, Arc<Pending>)> {
        self.journal.0.chains.lock().shown_below(prefix)
    }

    /// Whether something is pending below a prefix that is there then.
    fn has_below(&self, prefix: &str) -> bool {
        self.below(prefix).iter().any(|(key, change)| change.meta_at(key).is_some())
    }

    /// Whether a name lies in a folder that nobody has begun to make in the store: nothing of it is there. Of one that may be
    /// `begun` nothing was there, which counts while the store is away.
    fn is_in_new_folder(&self, name: &str, begun: bool) -> bool {
        let chains = self.journal.0.chains.lock();
        let slashes = name.match_indices('/').map(|(at, _)| &name[..=at]);
        slashes.filter_map(|prefix| Key::new(prefix).ok()).any(|marker| chains.is_new(&marker, begun))
    }

    /// Whether a name lies below a file that is pending: nothing has it, whatever the store has there.
    fn is_below_file(&self, name: &str) -> bool {
        let mut above = name.match_indices('/').filter_map(|(at, _)| Key::new(&name[..at]).ok());
        !self.journal.is_empty() && above.any(|file| matches!(self.shown_at(&file), Some(Some(_))))
    }

    fn current(&self, condition: &Condition) -> Condition {
        match condition {
            Condition::IfMatch(etag) => Condition::IfMatch(self.journal.stored(etag)),
            other => other.clone(),
        }
    }

    fn current_source(&self, source: &CopySource) -> CopySource {
        CopySource { etag: source.etag.as_ref().map(|etag| self.journal.stored(etag)), ..source.clone() }
    }

    /// Writes an object by `write`, after what was accepted before. What the store refuses to take gives way to what is
    /// written over it.
    async fn write<F: Future<Output = StoreResult<Written>>>(
        &self,
        key: &Key,
        condition: &Condition,
        write: impl FnOnce(Condition) -> F,
    ) -> StoreResult<Written> {
        let settled = self.journal.settle(key).await;
        if settled.is_ok() {
            return write(self.current(condition)).await;
        }
        // Others may have saved on another basis: that is theirs, and waits.
        let line = self.journal.0.chains.lock().leading_to_shown(key);
        let is_alone = line.iter().all(|change| change.from().is_none());
        let first = line.first().filter(|first| is_alone && first.refusal().is_some());
        let Some((first, shown)) = first.zip(line.last()) else {
            return Err(settled.err().unwrap_or(StoreError::ConditionFailed));
        };
        if *condition != Condition::IfMatch(shown.etag()) {
            return Err(StoreError::ConditionFailed);
        }
        let written = write(first.condition().unwrap_or(Condition::IfAbsent)).await?;
        // It holds the turn of the key, for which whoever waits for this may wait.
        let (journal, by) = (self.journal.clone(), written.clone());
        let superseding = tokio::spawn(async move { journal.superseded(&line, &by).await });
        superseding.await.map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(written)
    }

    /// The answer to a listing, made again if what was pending below `prefix` has gone to the store meanwhile: it may be
    /// neither on the listing nor pending any more.
    async fn listed<T, F>(&self, prefix: &str, list: impl Fn() -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        let is_laid =
            |before: &Vec<(Key, Arc<Pending>)>| before.iter().all(|(key, _)| self.shown(key).is_some());
        steady(|| self.below(prefix), is_laid, list).await
    }

    fn lay(&self, page: &mut ListPage, request: &ListRequest) {
        let bounds = self.ends.of(page, request);
        let (mut laid, mut gone) = (Vec::new(), HashSet::new());
        for (key, change) in self.below(&request.prefix) {
            match change.meta_at(&key) {
                Some(meta) => laid.push((key, meta)),
                None => drop(gone.insert(key)),
            }
        }
        page.objects.retain(|object| !gone.contains(&object.key));
        bounds.lay(laid, page, request, true);
    }
}

impl WithJournal {
    pub async fn stat(&self, name: &Key) -> StoreResult<Stat> {
        let is_prefix = self.has_below(&format!("{name}/"));
        match self.shown_at(name) {
            Some(Some(meta)) => Ok(Stat { object: Some(meta), is_prefix }),
            _ if is_prefix => Ok(Stat { object: None, is_prefix }),
            Some(None) => match self.inner.is_prefix(&format!("{name}/")).await {
                // It was a file, so it is no folder, as far as is known.
                Err(error) if error.is_transient() => Ok(Stat { object: None, is_prefix: false }),
                asked => Ok(Stat { object: None, is_prefix: asked? }),
            },
            None if self.is_below_file(name.as_str()) => Ok(Stat { object: None, is_prefix: false }),
            None if self.is_in_new_folder(name.as_str(), false) => Ok(self.inner.held_stat(name)),
            None => match self.inner.stat(name).await {
                Err(error) if error.is_transient() && self.is_in_new_folder(name.as_str(), true) => {
                    Ok(self.inner.held_stat(name))
                }
                asked => asked,
            },
        }
    }

    pub async fn stat_tree(&self, name: &Key) -> StoreResult<(Stat, Option<ListPage>)> {
        let shown = self.shown_at(name);
        if let Some(Some(meta)) = shown {
            return Ok((Stat { object: Some(meta), is_prefix: false }, None));
        }
        let request = ListRequest::tree(&format!("{name}/"));
        let (mut stat, mut page) = if self.is_in_new_folder(&request.prefix, false) {
            (self.inner.held_stat(name), Some(self.inner.held_page(&request)))
        } else {
            self.listed(&request.prefix, || self.inner.stat_tree(name)).await?
        };
        if let Some(page) = &mut page {
            self.lay(page, &request);
        }
        stat.is_prefix |= self.has_below(&request.prefix);
        stat.object = stat.object.filter(|_| shown.is_none());
        Ok((stat, page))
    }

    /// See [`Journal::settle_below`].
    pub async fn settle_below(&self, prefix: &str) -> StoreResult<()> {
        self.journal.settle_below(prefix).await
    }

    pub async fn is_prefix(&self, prefix: &str) -> StoreResult<bool> {
        if self.has_below(prefix) {
            return Ok(true);
        }
        if self.is_in_new_folder(prefix, false) {
            Ok(self.inner.has_held_below(prefix))
        } else {
            self.inner.is_prefix(prefix).await
        }
    }

    pub fn find_normalized(&self, prefix: &str, name: &str) -> Spelling {
        let stored = self.inner.find_normalized(prefix, name);
        if matches!(stored, Spelling::Stored(_)) {
            return stored;
        }
        let there = self.below(prefix).into_iter().filter(|(key, change)| change.meta_at(key).is_some());
        let mut names = there.map(|(key, _)| key.as_str()[prefix.len()..].to_owned());
        names.find(|pending| pending.nfc().eq(name.nfc())).map_or(stored, Spelling::Stored)
    }

    pub async fn create(&self, key: &Key, attributes: &Attributes) -> StoreResult<Written> {
        match self.shown_at(key) {
            Some(Some(_)) => return Err(StoreError::ConditionFailed),
            // What is to be deleted there is there still.
            Some(None) => self.journal.settle(key).await?,
            None => {}
        }
        self.inner.create(key, attributes).await
    }

    pub async fn release(&self, path: &PathKey) -> StoreResult<()> {
        self.inner.release(path).await
    }

    /// See [`Cached::files_after`](crate::store::cached::Cached::files_after).
    pub fn files_after(&self, key: &Key, most: usize) -> Vec<(Key, bool)> {
        let files = self.inner.files_after(key, most).into_iter();
        // What is pending is here, or not to be fetched by its name.
        let is_stored = |key: &Key| self.shown(key).is_none();
        files.map(|(key, is_kept)| (key.clone(), is_kept && is_stored(&key))).collect()
    }

    pub fn cached_content(&self, key: &Key) -> Option<(ObjectMeta, Bytes)> {
        if self.shown(key).is_some() { None } else { self.inner.cached_content(key) }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for WithJournal {
    forward!(inner: foresee, address);

    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        match self.shown_at(key) {
            Some(meta) => meta.ok_or(StoreError::NotFound),
            None => self.inner.head(key).await,
        }
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        let GetObject { key, range, condition } = request;
        let Some(change) = self.shown(key) else {
            let condition = match condition {
                ReadCondition::IfMatch(etag) => ReadCondition::IfMatch(self.journal.stored(etag)),
                ReadCondition::IfNoneMatch(etag) => ReadCondition::IfNoneMatch(self.journal.stored(etag)),
                ReadCondition::None => ReadCondition::None,
            };
            return self.inner.get(GetObject { condition: &condition, ..request }).await;
        };
        match condition {
            ReadCondition::IfMatch(etag) if *etag != change.etag() => Err(StoreError::ConditionFailed),
            ReadCondition::IfNoneMatch(etag) if *etag == change.etag() => Err(StoreError::NotModified),
            _ => {
                let meta = change.meta_at(key).ok_or(StoreError::NotFound)?;
                match self.content(meta, &change, range).await {
                    // It has just been stored, moved or replaced.
                    Err(_) if !self.is_shown(key, &change) => self.get(request).await,
                    // Others have changed what is moved; so it is not, and that is found out now.
                    Err(StoreError::NotFound | StoreError::ConditionFailed) if change.from().is_some() => {
                        self.journal.settle(key).await?;
                        self.get(request).await
                    }
                    content => content,
                }
            }
        }
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let mut page = if self.is_in_new_folder(&request.prefix, false) {
            self.inner.held_page(request)
        } else {
            match self.listed(&request.prefix, || self.inner.list(request)).await {
                Err(error) if error.is_transient() && self.is_in_new_folder(&request.prefix, true) => {
                    self.inner.held_page(request)
                }
                listed => listed?,
            }
        };
        if !self.journal.is_empty() || page.continuation.is_some() {
            self.lay(&mut page, request);
        }
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
            self.journal.settle(key).await?;
        }
        let (source, condition) = (&self.current_source(source), &self.current(condition));
        self.inner.copy(CopyObject { source, to, condition }).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        self.journal.settle(key).await?;
        self.inner.delete(key, &self.current(condition)).await
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let mut current = Vec::with_capacity(objects.len());
        for object in objects {
            self.journal.settle(&object.key).await?;
            let etag = object.etag.as_ref().map(|etag| self.journal.stored(etag));
            current.push(DeleteTarget { key: object.key.clone(), etag });
        }
        self.inner.delete_many(&current).await
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        self.journal.settle(key).await?;
        self.inner.attributes(key, &self.journal.stored(version)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for WithJournal {
    forward!(inner: create_upload, upload_part, abort_upload, list_uploads, list_parts);

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<crate::store::Part> {
        self.journal.settle(&request.source.key).await?;
        self.inner.copy_part(CopyPart { source: &self.current_source(request.source), ..request }).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let write = |condition| async move {
            self.inner.complete_upload(CompleteUpload { condition: &condition, ..request }).await
        };
        self.write(&request.upload.key, request.condition, write).await
    }
}
