//! A store that tries again for as long as its caller can wait.
//!
//! Each request of a client has a budget of time; within it a store that is away for a moment is
//! asked again. The SDK's own few retries lie below, for the blips; this is for outages of seconds.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::logging::milliseconds;
use crate::object::{
    Attributes, ByteRange, Condition, DeleteTarget, ETag, Key, ObjectAddress, ObjectMeta, ReadCondition,
    Written,
};
use crate::store::comparing::{Expected, composite_etag};
use crate::store::reach::Reach;
use crate::store::{
    Content, CopySource, Foreseen, ListPage, ListRequest, MultipartStore, ObjectStore, Part, Payload,
    StoreError, StoreResult, Upload, existing,
};

/// How long to go on. No attempt is begun, and no read waited for, beyond the limit.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    pub limit: Limit,
    /// Whether lost credentials are waited for like any outage.
    pub for_credentials: bool,
}

/// Where patience ends.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// At this moment, for all calls together: a request that a client waits for.
    At(Instant),
    /// This long after the start of each call; for a part of an upload, after its first failure: how long it
    /// takes depends on the line.
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
pub struct Retry {
    inner: Arc<dyn MultipartStore>,
    policy: RetryPolicy,
    made: Instant,
    reach: Option<Reach>,
    /// Until when reads wait while S3 is out of reach.
    reads_end: Option<Instant>,
}

impl Retry {
    /// Wraps `inner` for one request.
    pub fn new(inner: Arc<dyn MultipartStore>, policy: RetryPolicy) -> Self {
        Self { inner, policy, made: Instant::now(), reach: None, reads_end: None }
    }

    /// Tells `reach` when the budget is used up, and, unless something is saved, lets reads wait for a short
    /// time only while S3 is out of reach.
    pub fn minding(mut self, reach: Reach, saves: bool) -> Self {
        self.reads_end = (!saves).then(|| self.made + reach.wait());
        self.reach = Some(reach);
        self
    }

    /// Until when to try, of a call that may take until `deadline`.
    fn end(&self, kind: Kind, deadline: Instant) -> Instant {
        match (kind, self.reads_end, &self.reach) {
            (Kind::Read, Some(end), Some(reach)) if reach.is_lost() => deadline.min(end),
            _ => deadline,
        }
    }

    /// The error of a call that is given up.
    fn given_up(&self, error: StoreError) -> StoreError {
        if let (StoreError::Unavailable(_) | StoreError::Blocked(_), Some(reach)) = (&error, &self.reach) {
            reach.gave_up(self.made);
        }
        error
    }

    /// Repeats `attempt` while it fails for a passing reason and time is left. A read is cut at
    /// the deadline; a write under way is not, since its outcome must be known.
    pub(in crate::store) async fn retry<T, F: Future<Output = StoreResult<T>>>(
        &self,
        kind: Kind,
        attempt: impl Fn() -> F,
    ) -> StoreResult<T> {
        self.retry_noting(kind, attempt).await.0
    }

    /// As [`Self::retry`]; also tells whether an attempt that failed may have been carried out.
    pub(in crate::store) async fn retry_noting<T, F: Future<Output = StoreResult<T>>>(
        &self,
        kind: Kind,
        attempt: impl Fn() -> F,
    ) -> (StoreResult<T>, bool) {
        let mut deadline = self.policy.limit.deadline();
        let mut pause = FIRST_PAUSE;
        let mut maybe_applied = false;
        loop {
            let result = match kind {
                Kind::Read => {
                    let end = self.end(kind, deadline).max(Instant::now() + LEAST_READ);
                    timeout_at(end, attempt()).await.unwrap_or_else(|_| {
                        Err(StoreError::Unavailable("no answer within the request's budget".into()))
                    })
                }
                Kind::Write | Kind::Part => attempt().await,
            };
            let error = match result {
                Err(error) if self.worth_waiting(&error) => error,
                settled => return (settled, maybe_applied),
            };
            if matches!(kind, Kind::Part) && pause == FIRST_PAUSE {
                deadline = self.policy.limit.deadline();
            }
            maybe_applied |= error.may_have_been_applied();
            let next = Instant::now() + pause;
            if next >= self.end(kind, deadline) {
                return (Err(self.given_up(error)), maybe_applied);
            }
            tracing::debug!(%error, pause_ms = milliseconds(pause), "asking the store again");
            sleep_until(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn worth_waiting(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Credentials(_) => self.policy.for_credentials,
            other => other.is_transient(),
        }
    }
}

fn written(meta: ObjectMeta) -> Written {
    Written { etag: meta.etag, last_modified: meta.last_modified }
}

/// Whether an attempt may be cut off in the middle.
#[derive(Clone, Copy)]
pub(in crate::store) enum Kind {
    Read,
    Write,
    /// A write that takes as long as the line makes it.
    Part,
}

/// Work that outlived its request's budget still gets this long for a read.
const LEAST_READ: Duration = Duration::from_secs(1);
/// Short beside a round trip to S3, so that a blip costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// An outage that ends is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Retry {
    forward!(inner: foresee, address);

    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        self.retry(Kind::Read, || self.inner.head(key)).await
    }

    async fn get(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        condition: &ReadCondition,
    ) -> StoreResult<Content> {
        self.retry(Kind::Read, || self.inner.get(key, range, condition)).await
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        self.retry(Kind::Read, || self.inner.list(request)).await
    }

    async fn put(
        &self,
        key: &Key,
        body: Payload,
        attributes: &Attributes,
        condition: &Condition,
    ) -> StoreResult<Written> {
        let attempt = || self.inner.put(key, body.clone(), attributes, condition);
        let (result, maybe_applied) = self.retry_noting(Kind::Write, attempt).await;
        match result {
            // The own-retry trap: an attempt whose answer was lost may have written, and the next one then met
            // our own object.
            Err(error @ StoreError::ConditionFailed) if maybe_applied => {
                match existing(self.head(key).await)? {
                    Some(meta) if Expected::Body(&body).is_at(self, key, &meta).await => Ok(written(meta)),
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    async fn copy(&self, source: &CopySource, to: &Key, condition: &Condition) -> StoreResult<Written> {
        let begun = SystemTime::now();
        let attempt = || self.inner.copy(source, to, condition);
        let (result, maybe_applied) = self.retry_noting(Kind::Write, attempt).await;
        match result {
            // A doubtful copy must not cost a MOVE its source.
            Err(error @ StoreError::ConditionFailed) if maybe_applied => {
                match existing(self.head(to).await)? {
                    Some(meta) if Expected::Copy(source, begun).is_at(self, to, &meta).await => {
                        Ok(written(meta))
                    }
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let attempt = || self.inner.delete(key, condition);
        match self.retry_noting(Kind::Write, attempt).await {
            // The lost attempt did it.
            (Err(StoreError::NotFound), true) => Ok(()),
            (Err(StoreError::ConditionFailed), true) => match self.head(key).await {
                Err(StoreError::NotFound) => Ok(()),
                _ => Err(StoreError::ConditionFailed),
            },
            (result, _) => result,
        }
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let deadline = self.policy.limit.deadline();
        let mut left = objects.to_vec();
        let mut failed = Vec::new();
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = self.retry(Kind::Write, || self.inner.delete_many(&left)).await?;
            let (passing, lasting): (Vec<_>, Vec<_>) =
                answer.into_iter().partition(|(_, error)| error.is_transient());
            failed.extend(lasting);
            if passing.is_empty() || Instant::now() + pause >= deadline {
                failed.extend(passing);
                return Ok(failed);
            }
            sleep_until(Instant::now() + pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let again: HashSet<Key> = passing.into_iter().map(|(key, _)| key).collect();
            left.retain(|object| again.contains(&object.key));
        }
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        self.retry(Kind::Read, || self.inner.attributes(key, version)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for Retry {
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        let attempt = || self.inner.create_upload(key, attributes);
        let (result, maybe_applied) = self.retry_noting(Kind::Write, attempt).await;
        result.map(|upload| Upload { may_have_twin: upload.may_have_twin || maybe_applied, ..upload })
    }

    async fn upload_part(&self, upload: &Upload, number: u32, body: Payload) -> StoreResult<Part> {
        self.retry(Kind::Part, || self.inner.upload_part(upload, number, body.clone())).await
    }

    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &CopySource,
        range: ByteRange,
    ) -> StoreResult<Part> {
        self.retry(Kind::Write, || self.inner.copy_part(upload, number, source, range)).await
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
            Err(error @ (StoreError::ConditionFailed | StoreError::NotFound | StoreError::UploadGone))
                if maybe_applied =>
            {
                let expected = composite_etag(parts);
                let is_ours = |meta: &ObjectMeta| match &expected {
                    Some(etag) => meta.etag == *etag,
                    None => meta.size == size && meta.last_modified == upload.begun,
                };
                let ours = existing(self.head(&upload.key).await)?.filter(is_ours);
                ours.map(written).ok_or(error)
            }
            other => other,
        }
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.retry(Kind::Write, || self.inner.abort_upload(upload)).await
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        self.retry(Kind::Read, || self.inner.list_uploads(key)).await
    }
}
