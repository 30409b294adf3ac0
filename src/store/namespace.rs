//! The names of what is served: all that a file system sees of the store.

use std::sync::Arc;

use async_trait::async_trait;

use super::journal::WithJournal;
use super::layers::retry::{Kind, Retry, RetryPolicy};
use super::reach::Reach;
use super::{ListPage, MultipartStore, ObjectStore, StoreError, StoreResult, existing};
use crate::object::{Attributes, Key, Spelling, Stat, Written};

/// Files and folders by name, for one request or one piece of work: whatever is asked is tried again for as long as
/// that may wait. Cheap to make and to clone.
///
/// It is a store, too, so that what works on objects works on it: see [`Namespace::objects`].
#[derive(Debug, Clone)]
pub struct Namespace {
    names: Arc<WithJournal>,
    retry: Arc<Retry>,
}

impl Namespace {
    /// Of `names`, for as long as `policy` lets it wait.
    pub fn new(names: Arc<WithJournal>, policy: RetryPolicy) -> Self {
        let retry = Arc::new(Retry::new(Arc::clone(&names) as Arc<dyn MultipartStore>, policy));
        Self { names, retry }
    }

    /// See [`Retry::minding`].
    pub fn minding(names: Arc<WithJournal>, policy: RetryPolicy, reach: Reach, saves: bool) -> Self {
        let retry = Retry::new(Arc::clone(&names) as Arc<dyn MultipartStore>, policy);
        Self { names, retry: Arc::new(retry.minding(reach, saves)) }
    }

    /// The same as objects alone.
    pub fn objects(&self) -> Arc<dyn MultipartStore> {
        Arc::clone(&self.retry) as Arc<dyn MultipartStore>
    }

    /// What has the name `name`: asked in one round trip where nothing is known.
    pub async fn stat(&self, name: &Key) -> StoreResult<Stat> {
        self.retry.retry(Kind::Read, || self.names.stat(name)).await
    }

    /// As [`Namespace::stat`], for what is going to be listed as a tree: where that costs nothing more, its first page
    /// comes along.
    pub async fn stat_tree(&self, name: &Key) -> StoreResult<(Stat, Option<ListPage>)> {
        self.retry.retry(Kind::Read, || self.names.stat_tree(name)).await
    }

    /// Waits until what was accepted of a folder and of what is in it is in the store.
    pub async fn settle_below(&self, prefix: &str) -> StoreResult<()> {
        self.retry.retry(Kind::Write, || self.names.settle_below(prefix)).await
    }

    /// Whether any key begins with `prefix`.
    pub async fn is_prefix(&self, prefix: &str) -> StoreResult<bool> {
        self.retry.retry(Kind::Read, || self.names.is_prefix(prefix)).await
    }

    /// How a child of `prefix` that means the same as `name` to Unicode is really spelled, as far as that is known
    /// without asking. ASCII has one spelling only: then the child is an object that is there.
    pub fn find_normalized(&self, prefix: &str, name: &str) -> Spelling {
        self.names.find_normalized(prefix, name)
    }

    /// Makes an empty object, unless there is one, that its content is expected to follow for: it may be put off until
    /// then.
    pub async fn create(&self, key: &Key, attributes: &Attributes) -> StoreResult<Written> {
        let attempt = || self.names.create(key, attributes);
        let (result, maybe_applied) = self.retry.retry_noting(Kind::Write, attempt).await;
        match result {
            Err(error @ StoreError::ConditionFailed) if maybe_applied => {
                // Empty is empty, whoever made it.
                let made = existing(self.head(key).await)?.filter(|meta| meta.size == 0);
                made.map(|meta| Written { etag: meta.etag, last_modified: meta.last_modified }).ok_or(error)
            }
            other => other,
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Namespace {
    forward!(retry: head, get, list, put, copy, delete, delete_many, attributes, foresee, address);
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for Namespace {
    forward!(retry: create_upload, upload_part, copy_part, complete_upload, abort_upload, list_uploads, list_parts);
}
