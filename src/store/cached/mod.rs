//! A store that remembers: metadata, listings and the content of small files.
//!
//! What is known and young enough is answered from memory; what several ask for at once is asked
//! for once. Every write tells the caches what became of it, also when it failed or was given up.
//! While S3 is away what was known is better than nothing, however old. Absences count only while S3 is out of reach, and
//! where the folder's whole listing is known: what is made there then is made on the condition that it is absent.

mod away;
mod change;
mod read;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::listing;
use super::reach::Reach;
use super::{
    CompleteUpload, Content, CopyObject, GetObject, ListPage, ListRequest, MultipartStore, ObjectStore,
    PutObject, StoreError, StoreResult, existing, seen,
};
use crate::cache::{CacheOptions, ContentCache, Freshness, MetadataCache};
use crate::metrics::Metrics;
use crate::object::{
    Condition, DeleteTarget, Key, ObjectMeta, ReadCondition, Spelling, Stat, Written, parent_prefix,
};
use crate::sync::{KeyedGuard, KeyedLock};

use change::{Change, listed};

/// What is asked for.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// What is at a name.
    Stat(Key),
    /// A page of the children of a prefix, from where the last one ended.
    Page(String, Option<String>),
    Content(Key),
}

/// See the module.
#[derive(Debug)]
pub struct Cached {
    inner: Arc<dyn MultipartStore>,
    metadata: MetadataCache,
    content: ContentCache,
    /// Single flight: what several ask for at once is asked for once.
    single_flight: KeyedLock<Asked>,
    metrics: Metrics,
    reach: Reach,
    /// When the store was last asked again and again in vain, unless it has answered since.
    vain: Mutex<Option<Instant>>,
}

impl Cached {
    /// Wraps `inner`, which must be reached by no other way: it tells the caches of changes.
    pub fn new(inner: Arc<dyn MultipartStore>, options: CacheOptions, metrics: Metrics) -> Self {
        let half = options.size / 2;
        Self {
            inner,
            metadata: MetadataCache::new(half, options.times),
            content: ContentCache::new(options.size - half, options.file_limit),
            single_flight: KeyedLock::default(),
            metrics,
            reach: Reach::default(),
            vain: Mutex::default(),
        }
    }

    /// Does not wait long for what is known while S3 is out of `reach`.
    pub fn minding(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Bytes in use, about.
    pub fn used(&self) -> u64 {
        self.metadata.used() + self.content.used()
    }

    /// What is known of a name without asking.
    fn known_stat(&self, name: &Key, freshness: Freshness) -> Option<Stat> {
        let object = self.metadata.object(name, freshness)?;
        let is_prefix = self.metadata.prefix(&format!("{name}/"), freshness)?;
        Some(Stat { object, is_prefix })
    }

    async fn ask_stat(&self, name: &Key) -> StoreResult<Stat> {
        let _flight = self.flight(|| Asked::Stat(name.clone())).await;
        if let Some(stat) = self.stat_by_listing(name).await? {
            return Ok(stat);
        }
        self.look_up(name).await
    }

    /// What is known of a name, or what its folder's listing tells of it: the second of a folder's
    /// children that is asked for brings it, since others will follow.
    async fn stat_by_listing(&self, name: &Key) -> StoreResult<Option<Stat>> {
        if let Some(stat) = self.known_stat(name, Freshness::Listed) {
            return Ok(Some(stat));
        }
        if !self.metadata.is_on() || !self.metadata.is_asked_again(name) {
            return Ok(None);
        }
        let page = self.list(&ListRequest::children(parent_prefix(name.as_str()))).await;
        match (page, self.known_stat(name, Freshness::Listed)) {
            (_, Some(stat)) => Ok(Some(stat)),
            (Err(error), None) if error.is_transient() => Err(error),
            // Beyond the first page, or not for us to list.
            _ => Ok(None),
        }
    }

    async fn ask_page(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let (prefix, token) = (request.prefix.as_str(), request.continuation.as_deref());
        let _flight = self.flight(|| Asked::Page(prefix.to_owned(), token.map(str::to_owned))).await;
        if let Some(page) = self.metadata.page(prefix, token, Freshness::Listed) {
            return Ok(page);
        }
        let question = self.metadata.ask(prefix);
        let page = self.inner.list(request).await?;
        question.page(token, &page);
        Ok(page)
    }

    /// A tree is always asked for: what is done with it must be done to all that is there. One page
    /// that tells of the whole tree tells of each folder in it.
    async fn ask_tree(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let question = self.metadata.ask(&request.prefix);
        let page = self.inner.list(request).await?;
        // Where the others are is not known.
        if page.continuation.is_none() && page.unreadable == 0 {
            question.tree(&page);
        }
        Ok(page)
    }

    async fn ask_head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        let question = self.metadata.ask(parent_prefix(key.as_str()));
        let meta = existing(self.inner.head(key).await)?;
        question.object(key, meta.clone());
        meta.ok_or(StoreError::NotFound)
    }

    async fn ask_prefix(&self, prefix: &str) -> StoreResult<bool> {
        let question = self.metadata.ask(parent_prefix(prefix));
        let is_there = listing::any(&*self.inner, prefix).await?;
        question.prefix(prefix, is_there);
        Ok(is_there)
    }

    /// Waits while the same is being asked by somebody else: then it may be known.
    async fn flight(&self, asked: impl FnOnce() -> Asked) -> Option<KeyedGuard> {
        if self.metadata.is_on() { Some(self.single_flight.lock(asked()).await) } else { None }
    }

    fn change(&self, keys: impl IntoIterator<Item = Key>) -> Change<'_> {
        Change::new(&self.metadata, &self.content, keys)
    }
}

impl Cached {
    /// Asks for what has a name, in one round trip.
    async fn look_up(&self, name: &Key) -> StoreResult<Stat> {
        let prefix = format!("{name}/");
        let (head, is_prefix) = join(self.head(name), self.is_prefix(&prefix)).await;
        // The listing says more of a failure than a HEAD, which has no body.
        let is_prefix = is_prefix?;
        Ok(Stat { object: seen(head, is_prefix)?, is_prefix })
    }

    async fn ask_tree_of(&self, name: &Key) -> StoreResult<(Stat, Option<ListPage>)> {
        match self.stat_by_listing(name).await? {
            Some(stat) => Ok((stat, None)),
            None => self.look_up_tree(name).await,
        }
    }

    /// As [`Self::look_up`], by the first page of the tree.
    async fn look_up_tree(&self, name: &Key) -> StoreResult<(Stat, Option<ListPage>)> {
        let tree = ListRequest::tree(&format!("{name}/"));
        let (head, page) = join(self.head(name), self.list(&tree)).await;
        let page = page?;
        let is_prefix = !page.is_nothing();
        Ok((Stat { object: seen(head, is_prefix)?, is_prefix }, Some(page)))
    }

    pub async fn stat(&self, name: &Key) -> StoreResult<Stat> {
        if let Some(stat) = self.known_stat(name, Freshness::Listed) {
            return Ok(stat);
        }
        let known = || self.recalled_stat(name);
        match self.reached(known().is_some(), || self.ask_stat(name)).await {
            Err(error) => self.recalled(error, known()),
            answer => answer,
        }
    }

    pub async fn stat_tree(&self, name: &Key) -> StoreResult<(Stat, Option<ListPage>)> {
        // What is known to be a file has no tree.
        let known = || self.recalled_stat(name).filter(|stat| !stat.is_prefix).map(|stat| (stat, None));
        match self.reached(known().is_some(), || Box::pin(self.ask_tree_of(name))).await {
            Err(error) => self.recalled(error, known()),
            answer => answer,
        }
    }

    pub async fn is_prefix(&self, prefix: &str) -> StoreResult<bool> {
        match self.metadata.prefix(prefix, Freshness::Listed) {
            Some(known) => Ok(known),
            None => self.ask_prefix(prefix).await,
        }
    }

    pub fn find_normalized(&self, prefix: &str, name: &str) -> Spelling {
        if !name.is_ascii() {
            return self.metadata.spelling(prefix, name);
        }
        let key = Key::new(format!("{prefix}{name}"));
        match key.ok().and_then(|key| self.metadata.object(&key, Freshness::Listed)) {
            Some(Some(_)) => Spelling::Stored(name.to_owned()),
            Some(None) => Spelling::Nowhere,
            None => Spelling::Unknown,
        }
    }

    /// The files that follow one in its folder, as far as that was ever listed, and whether the content of each is kept when
    /// it was read.
    pub fn files_after(&self, key: &Key, most: usize) -> Vec<(Key, bool)> {
        let kept = |size| size > 0 && self.metadata.is_on() && self.content.takes(size);
        let files = self.metadata.files_after(key, most).into_iter();
        files.map(|file| (file.key, kept(file.meta.size))).collect()
    }

    pub fn cached_content(&self, key: &Key) -> Option<(ObjectMeta, Bytes)> {
        let held = self.newest(key)??;
        Some((held.meta.clone(), held.content.clone()))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Cached {
    forward!(inner: foresee, attributes, address);

    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        match self.metadata.object(key, Freshness::Listed) {
            Some(None) => Err(StoreError::NotFound),
            // A listing does not tell everything that a HEAD does.
            Some(Some(meta)) if meta.content_type.is_some() => Ok(meta),
            _ => self.ask_head(key).await,
        }
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        match request.condition {
            ReadCondition::None => self.read(request.key, request.range).await,
            ReadCondition::IfMatch(version) => self.read_version(request, version).await,
            ReadCondition::IfNoneMatch(_) => self.inner.get(request).await,
        }
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let (prefix, token) = (request.prefix.as_str(), request.continuation.as_deref());
        let of_folder =
            ListRequest { continuation: request.continuation.clone(), ..ListRequest::children(prefix) };
        if *request == ListRequest::tree(prefix) {
            return self.ask_tree(request).await;
        }
        if *request != of_folder {
            return self.inner.list(request).await;
        }
        if let Some(page) = self.metadata.page(prefix, token, Freshness::Listed) {
            return Ok(page);
        }
        let known = || self.metadata.page(prefix, token, Freshness::Any).filter(|page| !page.is_nothing());
        match self.reached(known().is_some(), || self.ask_page(request)).await {
            Err(error) => self.recalled(error, known()),
            answer => answer,
        }
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let (key, made) = (request.key.clone(), self.metadata.make(request.key));
        let change = self.change([key.clone()]);
        let (body, attributes) = (request.body.clone(), request.attributes);
        let result = self.inner.put(request).await;
        let meta = |written: &Written| ObjectMeta {
            size: body.len() as u64,
            etag: written.etag.clone(),
            last_modified: written.last_modified,
            content_type: attributes.content_type.clone(),
            storage_class: None,
            user: attributes.user.clone(),
        };
        if result.as_ref().is_err_and(StoreError::may_have_been_applied) {
            self.keep_maybe(&key, &body, meta).await;
        }
        let written = result?;
        let meta = meta(&written);
        made.into_iter().for_each(|folder| folder.made(&key, &meta));
        change.wrote(meta, Some(body));
        Ok(written)
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let (change, source, to) = (self.change([request.to.clone()]), request.source, request.to.clone());
        let copied = self.inner.copy(request).await;
        if matches!(copied, Err(StoreError::ConditionFailed | StoreError::NotFound)) {
            // Either end is another than was believed.
            self.metadata.doubt(&source.key);
        }
        if copied.as_ref().is_err_and(StoreError::may_have_been_applied) {
            self.keep_maybe_copied(source, &to);
        }
        let written = copied?;
        change.copied(source, listed(source.size, &written, source.storage_class.clone()));
        Ok(written)
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let change = self.change([key.clone()]);
        let deleted = self.inner.delete(key, condition).await;
        if matches!(deleted, Ok(()) | Err(StoreError::NotFound)) {
            change.removed(&[]);
        }
        deleted
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let change = self.change(objects.iter().map(|object| object.key.clone()));
        let failed = self.inner.delete_many(objects).await?;
        change.removed(&failed);
        Ok(failed)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for Cached {
    forward!(inner: create_upload, upload_part, copy_part, abort_upload, list_uploads, list_parts);

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let change = self.change([request.upload.key.clone()]);
        let written = self.inner.complete_upload(request).await?;
        change.wrote(listed(request.size, &written, None), None);
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::object::{Attributes, ETag};
    use crate::store::CopySource;
    use crate::store::memory::MemoryStore;

    /// A store that lists nothing while it is away.
    #[derive(Debug, Default)]
    struct Unlisted {
        inner: MemoryStore,
        is_away: AtomicBool,
    }

    #[async_trait]
    impl ObjectStore for Unlisted {
        forward!(inner: head, get, put, copy, delete, delete_many, attributes, foresee, address);

        async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
            if self.is_away.load(Ordering::Relaxed) {
                return Err(StoreError::Unavailable("a test".into()));
            }
            self.inner.list(request).await
        }
    }

    #[async_trait]
    impl MultipartStore for Unlisted {
        forward!(inner: create_upload, upload_part, copy_part, complete_upload, abort_upload, list_uploads, list_parts);
    }

    fn over(store: Arc<dyn MultipartStore>) -> Cached {
        Cached::new(store, CacheOptions::default(), Metrics::default())
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    async fn write(store: &dyn ObjectStore, name: &str) {
        let attributes = &Attributes { content_type: Some("text/plain".into()), ..Attributes::default() };
        let (key, body, condition) = (&key(name), "content".into(), &Condition::None);
        store.put(PutObject { key, body, attributes, condition }).await.unwrap();
    }

    /// The names in the folder `d`.
    async fn listed(store: &Cached) -> StoreResult<Vec<String>> {
        let page = store.list(&ListRequest::children("d/")).await?;
        Ok(page.objects.into_iter().map(|object| object.key.to_string()).collect())
    }

    #[tokio::test]
    async fn of_a_folder_that_was_made_it_is_known_what_it_holds_when_the_store_is_away() {
        let below = Arc::new(Unlisted::default());
        let reach = Reach::default();
        let store = over(Arc::clone(&below) as Arc<dyn MultipartStore>).minding(reach.clone());
        store.list(&ListRequest::children("")).await.unwrap();
        write(&store, "d/").await;
        write(&below.inner, "d/theirs").await;
        below.is_away.store(true, Ordering::Relaxed);
        reach.gave_up(tokio::time::Instant::now());
        assert_eq!(listed(&store).await.unwrap(), ["d/"]);
        let stat = store.stat(&key("d/new")).await.unwrap();
        assert!(stat.object.is_none() && !stat.is_prefix);
        below.is_away.store(false, Ordering::Relaxed);
        assert_eq!(listed(&store).await.unwrap(), ["d/", "d/theirs"], "others are seen at once");
    }

    #[tokio::test]
    async fn of_a_copy_that_is_the_same_the_content_is_known() {
        let below = MemoryStore::default();
        let store = over(Arc::new(below.clone()));
        write(&store, "a").await;
        let etag = store.head(&key("a")).await.unwrap().etag;
        let source = &CopySource {
            key: key("a"),
            address: store.address(&key("a")),
            etag: Some(etag.clone()),
            size: 7,
            storage_class: None,
        };
        let (to, condition) = (&key("b"), &Condition::IfAbsent);
        let copy = store.copy(CopyObject { source, to, condition }).await.unwrap();
        let (meta, content) = store.cached_content(to).unwrap();
        assert_eq!((meta.etag, &*content), (copy.etag, &b"content"[..]));
        assert_eq!(meta.content_type.as_deref(), Some("text/plain"));
        assert_eq!(meta.last_modified, copy.last_modified);
    }

    #[tokio::test]
    async fn what_is_deleted_is_neither_listed_nor_found_any_more() {
        let store = over(Arc::new(MemoryStore::default()));
        for name in ["d/a", "d/b", "d/c"] {
            write(&store, name).await;
        }
        assert_eq!(listed(&store).await.unwrap(), ["d/a", "d/b", "d/c"]);
        store.delete(&key("d/a"), &Condition::None).await.unwrap();
        assert!(matches!(store.head(&key("d/a")).await, Err(StoreError::NotFound)));
        assert!(store.cached_content(&key("d/a")).is_none());
        assert_eq!(listed(&store).await.unwrap(), ["d/b", "d/c"]);
        // The one that stays is another version than was meant.
        let other = DeleteTarget { key: key("d/c"), etag: Some(ETag::new("other")) };
        let failed = store.delete_many(&[key("d/b").into(), other]).await.unwrap();
        assert_eq!(failed.len(), 1);
        assert_eq!(listed(&store).await.unwrap(), ["d/c"]);
    }

    #[tokio::test]
    async fn a_listing_that_failed_is_an_error_and_tells_of_nothing() {
        let below = Arc::new(Unlisted::default());
        write(&below.inner, "d/a").await;
        let store = over(Arc::clone(&below) as Arc<dyn MultipartStore>);
        below.is_away.store(true, Ordering::Relaxed);
        assert!(matches!(listed(&store).await, Err(StoreError::Unavailable(_))));
        assert!(store.head(&key("d/a")).await.is_ok());
        below.is_away.store(false, Ordering::Relaxed);
        assert_eq!(listed(&store).await.unwrap(), ["d/a"]);
    }
}
