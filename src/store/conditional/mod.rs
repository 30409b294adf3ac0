//! Conditional writes for endpoints that do not have them all.
//!
//! Some servers ignore a condition and write in any case, which nobody would notice before work is
//! lost. So an endpoint that is not known to keep conditions is asked, once for each kind of write
//! and before the first write of that kind, on fresh keys of its own. Where it ignores them, or where
//! such keys must not be written or could not be deleted again, the condition is checked by a look just
//! before the write: the window is small, but it is there.

mod probe;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::sync::OnceCell;

use super::comparing::own_etag;
use super::{
    Content, CopySource, ListPage, ListRequest, ObjectStore, Part, StoreError, StoreResult, Upload, existing,
    listing,
};
use crate::object::{
    Attributes, ByteRange, Condition, Doomed, ETag, Key, ObjectAddress, ObjectMeta, ReadCondition, Written,
};
use crate::state::State;

pub use probe::forget_question;

use probe::Probe;

/// A kind of write whose condition a server may keep or ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Put,
    Complete,
    CopySource,
    CopyDestination,
    Delete,
    DeleteMany,
}

/// See the module.
#[derive(Debug)]
pub struct Conditional {
    inner: Arc<dyn ObjectStore>,
    /// Where keys to ask on may be made.
    prefix: String,
    /// Notes these keys.
    state: State,
    kept: HashMap<Kind, OnceCell<bool>>,
    /// Whether what is made to ask can be deleted again.
    leaves_nothing: OnceCell<bool>,
}

impl Conditional {
    /// Wraps a store that may ignore conditions; it is asked on keys below `prefix`, which
    /// is empty or ends with a slash.
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: &str, state: State) -> Self {
        let kinds = [
            Kind::Put,
            Kind::Complete,
            Kind::CopySource,
            Kind::CopyDestination,
            Kind::Delete,
            Kind::DeleteMany,
        ];
        let kept = kinds.map(|kind| (kind, OnceCell::new())).into();
        Self { inner, prefix: prefix.to_owned(), state, kept, leaves_nothing: OnceCell::new() }
    }

    /// Whether the endpoint keeps the conditions of such writes. Asked once; a failure is not taken
    /// for an answer.
    async fn keeps(&self, kind: Kind) -> StoreResult<bool> {
        // Every kind is in the map.
        let Some(cell) = self.kept.get(&kind) else { return Ok(false) };
        let ask = || async {
            let probe = Probe { store: &*self.inner, state: &self.state, prefix: &self.prefix };
            let leaves_nothing = self.leaves_nothing.get_or_try_init(|| probe.leaves_nothing()).await?;
            let keeps = if *leaves_nothing { probe.ask(kind).await? } else { None };
            match keeps {
                Some(true) => tracing::debug!(?kind, "the endpoint keeps the conditions of writes"),
                Some(false) => tracing::warn!(
                    ?kind,
                    "the endpoint ignores the conditions of such writes: s3dav looks before each of them, but \
                     changes made in the same moment can be lost"
                ),
                None => tracing::warn!(
                    ?kind,
                    hint = HINT,
                    "the endpoint cannot be asked whether it keeps the conditions of such writes, since a key below \
                     .s3dav/ cannot be written and deleted: s3dav looks before each of them, but changes made in \
                     the same moment can be lost"
                ),
            }
            Ok::<_, StoreError>(keeps == Some(true))
        };
        cell.get_or_try_init(ask).await.copied()
    }

    /// The condition to send, after a look in place of one that would be ignored.
    async fn checked(&self, kind: Kind, key: &Key, condition: &Condition) -> StoreResult<Condition> {
        if *condition == Condition::None || self.keeps(kind).await? {
            return Ok(condition.clone());
        }
        self.look(key, condition).await?;
        Ok(Condition::None)
    }

    async fn look(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let now = existing(self.inner.head(key).await)?.map(|meta| meta.etag);
        match (condition, now) {
            (Condition::None, _) | (Condition::IfAbsent, None) => Ok(()),
            (Condition::IfMatch(wanted), Some(now)) if *wanted == now => Ok(()),
            (Condition::IfMatch(wanted), Some(now))
                if own_etag(&*self.inner, key, wanted).await == Some(now.clone()) =>
            {
                Ok(())
            }
            (Condition::IfMatch(_), None) => Err(StoreError::NotFound),
            _ => Err(StoreError::ConditionFailed),
        }
    }

    /// The present versions of the keys from `first` to `last`, by listing.
    async fn versions(&self, first: &Key, last: &Key) -> StoreResult<HashMap<Key, ETag>> {
        let (first, last) = (first.as_str(), last.as_str());
        let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        let prefix = &first[..first.floor_char_boundary(common)];
        // Just before the first key: a shorter text sorts before what it begins.
        let before = first.char_indices().last().map_or("", |(at, _)| &first[..at]);
        let start_after = (before.len() > prefix.len()).then(|| before.to_owned());
        let request = ListRequest { start_after, ..ListRequest::tree(prefix) };
        let page = self.inner.list(&request).await?;
        let mut found = HashMap::new();
        let mut pages = std::pin::pin!(listing::pages(Arc::clone(&self.inner), request, page));
        while let Some(page) = pages.try_next().await? {
            let is_last = page.objects.last().is_some_and(|object| object.key.as_str() >= last);
            found.extend(page.objects.into_iter().map(|object| (object.key, object.meta.etag)));
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    /// Deletes without conditions what a listing shows in the version that is meant.
    async fn delete_listed(&self, objects: &[Doomed]) -> StoreResult<Vec<(Key, StoreError)>> {
        let keys = || objects.iter().map(|object| &object.key);
        let (Some(first), Some(last)) = (keys().min(), keys().max()) else { return Ok(Vec::new()) };
        let now = self.versions(first, last).await?;
        let is_meant = |object: &&Doomed| match (&object.etag, now.get(&object.key)) {
            (Some(wanted), Some(now)) => wanted == now,
            _ => true,
        };
        let (meant, changed): (Vec<&Doomed>, Vec<&Doomed>) = objects.iter().partition(is_meant);
        let meant: Vec<Doomed> = meant.into_iter().map(|object| object.key.clone().into()).collect();
        let mut failed = match meant.is_empty() {
            true => Vec::new(),
            false => self.inner.delete_many(&meant).await?,
        };
        failed.extend(changed.into_iter().map(|object| (object.key.clone(), StoreError::ConditionFailed)));
        Ok(failed)
    }
}

#[async_trait]
impl ObjectStore for Conditional {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        self.inner.head(key).await
    }

    async fn get(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        condition: &ReadCondition,
    ) -> StoreResult<Content> {
        self.inner.get(key, range, condition).await
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        self.inner.list(request).await
    }

    async fn put(
        &self,
        key: &Key,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let condition = self.checked(Kind::Put, key, condition).await?;
        self.inner.put(key, body, attributes, &condition).await
    }

    async fn copy(&self, source: &CopySource, to: &Key, condition: &Condition) -> StoreResult<Written> {
        let condition = self.checked(Kind::CopyDestination, to, condition).await?;
        let Some(etag) = &source.etag else { return self.inner.copy(source, to, &condition).await };
        if self.keeps(Kind::CopySource).await? {
            return self.inner.copy(source, to, &condition).await;
        }
        self.look(&source.key, &Condition::IfMatch(etag.clone())).await?;
        self.inner.copy(&CopySource { etag: None, ..source.clone() }, to, &condition).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let condition = self.checked(Kind::Delete, key, condition).await?;
        self.inner.delete(key, &condition).await
    }

    async fn delete_many(&self, objects: &[Doomed]) -> StoreResult<Vec<(Key, StoreError)>> {
        let is_conditional = objects.iter().any(|object| object.etag.is_some());
        match is_conditional && !self.keeps(Kind::DeleteMany).await? {
            true => self.delete_listed(objects).await,
            false => self.inner.delete_many(objects).await,
        }
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        self.inner.attributes(key, version).await
    }

    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        self.inner.create_upload(key, attributes).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> StoreResult<Part> {
        self.inner.upload_part(upload, number, body).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &CopySource,
        range: ByteRange,
    ) -> StoreResult<Part> {
        if self.keeps(Kind::CopySource).await? {
            return self.inner.copy_part(upload, number, source, range).await;
        }
        if let Some(etag) = &source.etag {
            self.look(&source.key, &Condition::IfMatch(etag.clone())).await?;
        }
        self.inner.copy_part(upload, number, &CopySource { etag: None, ..source.clone() }, range).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        size: u64,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let condition = self.checked(Kind::Complete, &upload.key, condition).await?;
        self.inner.complete_upload(upload, parts, size, &condition).await
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.inner.abort_upload(upload).await
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        self.inner.list_uploads(key).await
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        self.inner.address(key)
    }
}

/// What the user can do where the endpoint cannot be asked.
const HINT: &str = "allow s3:PutObject and s3:DeleteObject below .s3dav/, or start the gateway with \
                    --conditional-writes yes if the endpoint is known to keep them";
