//! Bugs that the model must find: a store that makes one of them, under all layers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use s3dav::object::{
    Attributes, ByteRange, Condition, DeleteTarget, ETag, Key, ListPage, ListedObject, ObjectAddress,
    ObjectMeta, Written, parent_prefix,
};
use s3dav::store::{
    CompleteUpload, Content, CopyObject, CopyPart, Foreseen, GetObject, ListParts, ListRequest,
    MultipartStore, ObjectStore, Part, PartsPage, PutObject, StoreError, StoreResult, Upload, UploadPart,
};

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// An answer that is older than a change is told once more after it.
    StaleFill,
    /// An object is written without its condition.
    LostCondition,
    /// What is remembered of an object outlives its delete.
    MissedInvalidation,
    /// A range begins a byte too early.
    WrongRange,
    /// A listing that fails, as one in a few does here, passes for an empty one.
    SwallowedListError,
}

impl Bug {
    pub const ALL: [Self; 5] = [
        Self::StaleFill,
        Self::LostCondition,
        Self::MissedInvalidation,
        Self::WrongRange,
        Self::SwallowedListError,
    ];
}

/// A store that makes a mistake, and nothing else wrong; `None`: not even that.
#[derive(Debug)]
pub struct Buggy {
    inner: Arc<dyn MultipartStore>,
    bug: Option<Bug>,
    /// Of [`Bug::StaleFill`]: the last answers, and those that are older than a change.
    told: Mutex<(Answers, Answers)>,
    /// Of [`Bug::SwallowedListError`]: how many folders were listed.
    listed: AtomicUsize,
    /// Of [`Bug::MissedInvalidation`]: objects that were deleted.
    deleted: Mutex<BTreeMap<Key, ObjectMeta>>,
}

#[derive(Debug, Default)]
struct Answers {
    heads: HashMap<Key, ObjectMeta>,
    /// By the folder's prefix.
    pages: HashMap<String, ListPage>,
}

impl Buggy {
    pub fn over(inner: Arc<dyn MultipartStore>, bug: Option<Bug>) -> Arc<dyn MultipartStore> {
        let (told, listed, deleted) = Default::default();
        Arc::new(Self { inner, bug, told, listed, deleted })
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The condition that a write goes out with.
    fn kept<'a>(&self, condition: &'a Condition) -> &'a Condition {
        if self.has(Bug::LostCondition) { &Condition::None } else { condition }
    }

    /// Changes objects.
    async fn change<T>(&self, keys: Vec<&Key>, change: impl Future<Output = T>) -> T {
        for &key in &keys {
            self.deleted.lock().remove(key);
        }
        let result = change.await;
        for key in keys.into_iter().filter(|_| self.has(Bug::StaleFill)) {
            let (last, old) = &mut *self.told.lock();
            old.heads.extend(last.heads.remove_entry(key));
            old.pages.extend(last.pages.remove_entry(parent_prefix(key.as_str())));
        }
        result
    }

    /// What is remembered of objects that are going to be deleted.
    async fn remembered(&self, keys: &[&Key]) -> Vec<(Key, ObjectMeta)> {
        let mut remembered = Vec::new();
        for &key in keys.iter().filter(|_| self.has(Bug::MissedInvalidation)) {
            remembered.extend(self.inner.head(key).await.ok().map(|meta| (key.clone(), meta)));
        }
        remembered
    }

    /// Adds to a folder's page what was deleted from it.
    fn add_deleted(&self, request: &ListRequest, page: &mut ListPage) {
        for (key, meta) in &*self.deleted.lock() {
            let name = key.as_str().strip_prefix(&request.prefix);
            let is_child = name.is_some_and(|name| request.delimited && !name.contains('/'));
            let place = page.objects.binary_search_by(|object| object.key.cmp(key));
            if let (true, Err(place)) = (is_child, place) {
                page.objects.insert(place, ListedObject { key: key.clone(), meta: meta.clone() });
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Buggy {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        let old = self.told.lock().1.heads.remove(key);
        if let Some(meta) = old {
            return Ok(meta);
        }
        let meta = match self.inner.head(key).await {
            Err(StoreError::NotFound) => {
                return self.deleted.lock().get(key).cloned().ok_or(StoreError::NotFound);
            }
            found => found?,
        };
        self.told.lock().0.heads.insert(key.clone(), meta.clone());
        Ok(meta)
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        match request.range.filter(|range| range.first > 0 && self.has(Bug::WrongRange)) {
            Some(ByteRange { first, last }) => {
                let early = ByteRange { first: first - 1, last: last.map(|last| last - 1) };
                let content = self.inner.get(GetObject { range: Some(early), ..request }).await?;
                Ok(Content { first, ..content })
            }
            None => self.inner.get(request).await,
        }
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let is_folder = *request == ListRequest::children(&request.prefix);
        let old = if is_folder { self.told.lock().1.pages.remove(&request.prefix) } else { None };
        if let Some(page) = old {
            return Ok(page);
        }
        let fails = is_folder && self.listed.fetch_add(1, Ordering::Relaxed) % FAILS == FAILS - 1;
        if fails && self.has(Bug::SwallowedListError) {
            return Ok(ListPage::default());
        }
        let mut page = self.inner.list(request).await?;
        if is_folder {
            self.told.lock().0.pages.insert(request.prefix.clone(), page.clone());
        }
        self.add_deleted(request, &mut page);
        Ok(page)
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let condition = self.kept(request.condition);
        self.change(vec![request.key], self.inner.put(PutObject { condition, ..request })).await
    }

    async fn foresee(&self, copies: &[Foreseen]) {
        self.inner.foresee(copies).await;
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        self.change(vec![request.to], self.inner.copy(request)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let remembered = self.remembered(&[key]).await;
        self.change(vec![key], self.inner.delete(key, condition)).await?;
        self.deleted.lock().extend(remembered);
        Ok(())
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let keys: Vec<&Key> = objects.iter().map(|object| &object.key).collect();
        let remembered = self.remembered(&keys).await;
        let failed = self.change(keys, self.inner.delete_many(objects)).await;
        self.deleted.lock().extend(remembered);
        failed
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        self.inner.attributes(key, version).await
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        self.inner.address(key)
    }
}

#[async_trait]
impl MultipartStore for Buggy {
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        self.inner.create_upload(key, attributes).await
    }

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        self.inner.upload_part(request).await
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        self.inner.copy_part(request).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let completion = CompleteUpload { condition: self.kept(request.condition), ..request };
        self.change(vec![&request.upload.key], self.inner.complete_upload(completion)).await
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.inner.abort_upload(upload).await
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        self.inner.list_uploads(key).await
    }

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        self.inner.list_parts(request).await
    }
}

/// One listing in so many fails.
const FAILS: usize = 5;
