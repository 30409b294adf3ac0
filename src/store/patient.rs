//! A store that tries again for as long as its caller can wait.
//!
//! Each request of a client has a budget of time; within it a store that is away for a moment is
//! asked again. The SDK's own few retries lie below, for the blips; this is for outages of seconds.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use md5::{Digest, Md5};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Content, CopySource, ListPage, ListRequest, ObjectStore, Part, StoreError, StoreResult, Upload};
use crate::object::{Attributes, ByteRange, Condition, ETag, Key, ObjectAddress, ObjectMeta, Written};

/// How long to go on. No attempt is begun, and no read waited for, beyond the limit.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub limit: Limit,
    /// Whether lost credentials are waited for like any outage.
    pub for_credentials: bool,
}

/// Where patience ends.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// At this moment, for all calls together: a request that a client waits for.
    At(Instant),
    /// This long after the start of each call: an upload, which takes what it takes.
    Each(Duration),
}

impl Limit {
    fn deadline(self) -> Instant {
        match self {
            Self::At(moment) => moment,
            Self::Each(budget) => Instant::now() + budget,
        }
    }
}

/// See the module. Made per request; cheap.
#[derive(Debug, Clone)]
pub struct Patient {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
}

impl Patient {
    /// Wraps `inner` for one request.
    pub fn new(inner: Arc<dyn ObjectStore>, patience: Patience) -> Self {
        Self { inner, patience }
    }

    /// Repeats `attempt` while it fails for a passing reason and time is left. A read is cut at
    /// the deadline; a write under way is not, since its outcome must be known.
    async fn retry<T, F: Future<Output = StoreResult<T>>>(
        &self,
        kind: Kind,
        attempt: impl Fn() -> F,
    ) -> StoreResult<T> {
        self.retry_noting(kind, attempt).await.0
    }

    /// As [`Self::retry`]; also tells whether an attempt that failed may have been carried out.
    async fn retry_noting<T, F: Future<Output = StoreResult<T>>>(
        &self,
        kind: Kind,
        attempt: impl Fn() -> F,
    ) -> (StoreResult<T>, bool) {
        let deadline = self.patience.limit.deadline();
        let mut pause = FIRST_PAUSE;
        let mut maybe_applied = false;
        loop {
            let result = match kind {
                Kind::Read => timeout_at(deadline, attempt()).await.unwrap_or_else(|_| {
                    Err(StoreError::Unavailable("no answer within the request's budget".into()))
                }),
                Kind::Write => attempt().await,
            };
            let error = match result {
                Err(error) if self.worth_waiting(&error) => error,
                settled => return (settled, maybe_applied),
            };
            maybe_applied |= error.may_have_been_applied();
            let next = Instant::now() + pause;
            if next >= deadline {
                return (Err(error), maybe_applied);
            }
            tracing::debug!(%error, ?pause, "asking the store again");
            sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The own-retry trap: an attempt whose answer was lost may have written, and the next one
    /// then met our own object. Says whether the object at `key` is the one we wrote.
    async fn is_ours(&self, key: &Key, ours: impl Fn(&ObjectMeta) -> bool) -> StoreResult<Option<Written>> {
        let meta = match self.head(key).await {
            Ok(meta) => meta,
            Err(StoreError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(ours(&meta).then_some(Written { etag: meta.etag, last_modified: meta.last_modified }))
    }

    fn worth_waiting(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Credentials(_) => self.patience.for_credentials,
            other => other.is_transient(),
        }
    }
}

/// Whether an attempt may be cut off in the middle.
#[derive(Clone, Copy)]
enum Kind {
    Read,
    Write,
}

/// Short beside a round trip to S3, so that a blip costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// An outage that ends is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[async_trait]
impl ObjectStore for Patient {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        self.retry(Kind::Read, || self.inner.head(key)).await
    }

    async fn get(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        if_match: Option<&ETag>,
    ) -> StoreResult<Content> {
        self.retry(Kind::Read, || self.inner.get(key, range, if_match)).await
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        self.retry(Kind::Read, || self.inner.list(request)).await
    }

    async fn put(
        &self,
        key: &Key,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let attempt = || self.inner.put(key, body.clone(), attributes, condition);
        let (result, maybe_applied) = self.retry_noting(Kind::Write, attempt).await;
        match result {
            Err(StoreError::ConditionFailed) if maybe_applied => {
                let md5 = hex::encode(Md5::digest(&body));
                let found = self.is_ours(key, |meta| meta.etag.unquoted() == md5).await?;
                found.ok_or(StoreError::ConditionFailed)
            }
            other => other,
        }
    }

    async fn copy(&self, source: &CopySource, to: &Key, condition: &Condition) -> StoreResult<Written> {
        self.retry(Kind::Write, || self.inner.copy(source, to, condition)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        self.retry(Kind::Write, || self.inner.delete(key, condition)).await
    }

    async fn delete_many(&self, keys: &[Key]) -> StoreResult<Vec<(Key, StoreError)>> {
        self.retry(Kind::Write, || self.inner.delete_many(keys)).await
    }

    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        // Not repeated here: an answer that was lost may have left an upload that nobody knows.
        self.inner.create_upload(key, attributes).await
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> StoreResult<Part> {
        self.retry(Kind::Write, || self.inner.upload_part(upload, number, body.clone())).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        size: u64,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let attempt = || self.inner.complete_upload(upload, parts, size, condition);
        let (result, maybe_applied) = self.retry_noting(Kind::Write, attempt).await;
        match result {
            Err(error @ (StoreError::ConditionFailed | StoreError::NotFound)) if maybe_applied => {
                let suffix = format!("-{}", parts.len());
                let ours = |meta: &ObjectMeta| meta.size == size && meta.etag.unquoted().ends_with(&suffix);
                self.is_ours(&upload.key, ours).await?.ok_or(error)
            }
            other => other,
        }
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.retry(Kind::Write, || self.inner.abort_upload(upload)).await
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        self.inner.address(key)
    }
}
