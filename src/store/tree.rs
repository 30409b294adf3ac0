//! Whole prefixes at once: list and delete everything below a folder.
//!
//! Keys are carried byte-exact, also those that no path can name.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    CopySource, ListPage, ListRequest, MultipartStore, ObjectStore, PAGE_KEYS, StoreError, StoreResult,
    existing, listing,
};
use crate::object::{DeleteTarget, ETag, Key, ListedObject, ObjectMeta};

/// An object of a tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    pub key: Key,
    pub etag: ETag,
    /// Bytes.
    pub size: u64,
    pub storage_class: Option<String>,
}

impl From<ListedObject> for Leaf {
    fn from(object: ListedObject) -> Self {
        let ObjectMeta { etag, size, storage_class, .. } = object.meta;
        Self { key: object.key, etag, size, storage_class }
    }
}

impl Leaf {
    /// This object as the source of a copy, in the version that was listed.
    pub fn source(&self, store: &dyn ObjectStore) -> CopySource {
        CopySource {
            key: self.key.clone(),
            address: store.address(&self.key),
            etag: Some(self.etag.clone()),
            size: self.size,
            storage_class: self.storage_class.clone(),
        }
    }

    /// This object as one to delete, in the version that was listed.
    pub fn delete_target(&self) -> DeleteTarget {
        DeleteTarget { key: self.key.clone(), etag: Some(self.etag.clone()) }
    }
}

/// Every object whose key starts with `prefix`, in byte order. All of them, or none: whoever asks deletes or moves
/// what is there.
pub async fn list(store: &Arc<dyn MultipartStore>, prefix: &str) -> StoreResult<Vec<Leaf>> {
    let first = store.list(&ListRequest::tree(prefix)).await?;
    list_from(store, prefix, first).await
}

/// As [`list`], with the first page at hand.
pub async fn list_from(
    store: &Arc<dyn MultipartStore>,
    prefix: &str,
    first: ListPage,
) -> StoreResult<Vec<Leaf>> {
    let request = ListRequest::tree(prefix);
    let mut leaves = Vec::new();
    let mut pages = std::pin::pin!(listing::pages(Arc::clone(store), request, first));
    while let Some(page) = pages.try_next().await? {
        if leaves.len() + page.objects.len() > MAX_LEAVES {
            return Err(StoreError::TooLarge(format!("over {MAX_LEAVES} objects in one operation")));
        }
        if page.unreadable > 0 {
            return Err(StoreError::UnreadableKeys(page.unreadable));
        }
        leaves.extend(page.objects.into_iter().map(Leaf::from));
    }
    Ok(leaves)
}

/// Deletes `objects` in batches. Once a batch fails as a whole the others are not asked for any more:
/// each would wait for the store as long. The first failure is returned with the number of keys that
/// are left.
pub async fn delete(store: &Arc<dyn MultipartStore>, objects: &[DeleteTarget]) -> Result<(), DeleteFailure> {
    let batches: Vec<Vec<DeleteTarget>> = objects.chunks(PAGE_KEYS).map(<[DeleteTarget]>::to_vec).collect();
    let given_up = Arc::new(AtomicBool::new(false));
    let failed: Vec<(Key, StoreError)> = stream::iter(batches)
        .map(|batch| delete_batch(Arc::clone(store), Arc::clone(&given_up), batch))
        .buffer_unordered(PARALLEL_BATCHES)
        .concat()
        .await;
    let keys: HashSet<Key> = failed.iter().map(|(key, _)| key.clone()).collect();
    let only_changed = failed.iter().all(|(_, error)| matches!(error, StoreError::ConditionFailed));
    match failed.into_iter().next() {
        None => Ok(()),
        Some((key, error)) => Err(DeleteFailure { key, error, keys, only_changed }),
    }
}

/// The keys of a batch that are left, with the reason.
async fn delete_batch(
    store: Arc<dyn MultipartStore>,
    given_up: Arc<AtomicBool>,
    batch: Vec<DeleteTarget>,
) -> Vec<(Key, StoreError)> {
    let answer = if given_up.load(Ordering::Relaxed) {
        Err(StoreError::Unavailable("given up after another failure".into()))
    } else {
        store.delete_many(&batch).await
    };
    let answer = match answer {
        Err(StoreError::Unsupported(_) | StoreError::ChecksumDemanded(_) | StoreError::Rejected(_)) => {
            Ok(delete_singly(&store, &batch).await)
        }
        answer => answer,
    };
    match answer {
        Ok(failed) => failed,
        Err(error) => {
            given_up.store(true, Ordering::Relaxed);
            let reason = error.to_string();
            let mut failed = vec![error];
            failed.extend(batch.iter().skip(1).map(|_| StoreError::Rejected(reason.clone().into())));
            batch.into_iter().map(|object| object.key).zip(failed).collect()
        }
    }
}

/// For endpoints that delete no more than one object at once, or not these together.
async fn delete_singly(store: &Arc<dyn MultipartStore>, batch: &[DeleteTarget]) -> Vec<(Key, StoreError)> {
    let deletes = stream::iter(batch.to_vec()).map(|object| {
        let store = Arc::clone(store);
        async move { delete_one(&*store, &object).await.err().map(|error| (object.key, error)) }
    });
    deletes.buffer_unordered(PARALLEL_DELETES).filter_map(std::future::ready).collect().await
}

/// Deletes one object; that it is gone already is what was wanted.
pub(super) async fn delete_one<S: ObjectStore + ?Sized>(store: &S, object: &DeleteTarget) -> StoreResult<()> {
    existing(store.delete(&object.key, &object.condition()).await).map(drop)
}

/// Some keys could not be deleted.
#[derive(Debug)]
pub struct DeleteFailure {
    /// The first of them.
    pub key: Key,
    pub error: StoreError,
    /// All of them.
    pub keys: HashSet<Key>,
    /// They are left because they are other versions than were meant.
    pub only_changed: bool,
}

/// S3 takes 3,500 deletes a second and prefix; four batches are as fast as it goes.
const PARALLEL_BATCHES: usize = 4;
/// Single deletes at once, where there are no others.
const PARALLEL_DELETES: usize = 16;
/// A tree's keys are held in memory: about 150 bytes each, and three times that while it is moved.
const MAX_LEAVES: usize = 1_000_000;
