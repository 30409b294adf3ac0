//! A store that tries again for as long as its caller can wait.
//!
//! Each request of a client has a budget of time; within it a store that is away for a moment is
//! asked again. The SDK's own few retries lie below, for the blips; this is for outages of seconds.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::logging::milliseconds;
use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key, ObjectMeta, Written};
use crate::store::comparing::{Expected, composite_etag};
use crate::store::reach::Reach;
use crate::store::{
    CompleteUpload, Content, CopyObject, CopyPart, GetObject, ListPage, ListParts, ListRequest,
    MultipartStore, ObjectStore, Part, PartsPage, PutObject, StoreError, StoreResult, Upload, UploadPart,
    existing,
};
use crate::tally::{self, Tally};

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

    fn is_lost(&self) -> bool {
        self.reach.as_ref().is_some_and(Reach::is_lost)
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
            let was_lost = self.is_lost();
            let result = match kind {
                Kind::Read => self.read(deadline, attempt()).await,
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
            if !matches!(error, StoreError::EarlierChange) {
                tally::current().iter().for_each(Tally::note_failed);
            }
            if matches!(error, StoreError::Unavailable(_) | StoreError::Blocked(_)) {
                self.note_silence().await;
            }
            // What is known may be answered from memory now.
            if matches!(kind, Kind::Read) && self.reads_end.is_some() && !was_lost && self.is_lost() {
                continue;
            }
            let next = Instant::now() + pause;
            if next >= self.end(kind, deadline) {
                return (Err(self.given_up(error)), maybe_applied);
            }
            // Whether S3 is out of reach is found out in time, and not after the pause.
            let patience = self.patience().filter(|_| matches!(kind, Kind::Read) && !self.is_lost());
            let silent = patience.map(|(end, _)| end).filter(|end| Instant::now() < *end);
            tracing::debug!(%error, pause_ms = milliseconds(pause), "asking the store again");
            sleep_until(silent.map_or(next, |end| end.min(next))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for a read, until the deadline, or until S3 proves to be out of reach.
    async fn read<T>(
        &self,
        deadline: Instant,
        attempt: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        let mut attempt = pin!(attempt);
        let least = Instant::now() + LEAST_READ;
        // An answer to somebody else puts that off.
        while let Some((end, _)) = self.patience().filter(|(end, reach)| *end < deadline && !reach.is_lost())
        {
            if let Ok(answer) = timeout_at(end.max(least), &mut attempt).await {
                return answer;
            }
            self.note_silence().await;
        }
        let end = self.end(Kind::Read, deadline).max(least);
        timeout_at(end, attempt)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer within the request's budget".into())))
    }

    /// Until when S3 may be silent before it is asked whether it is there, for a request that saves nothing.
    fn patience(&self) -> Option<(Instant, &Reach)> {
        let reach = self.reach.as_ref().filter(|_| self.reads_end.is_some())?;
        Some((reach.silent_since(self.made) + reach.silence(), reach))
    }

    /// S3 is out of reach if it has been silent for as long as that, and does not answer a question either: one answer may
    /// just take long.
    async fn note_silence(&self) {
        let Some((end, reach)) = self.patience() else { return };
        let asked = Instant::now();
        if asked < end || reach.is_lost() {
            return;
        }
        if let Ok(key) = Key::new(QUESTION) {
            // It is never answered from memory. Whoever hears an answer says so.
            let question = ETag::new(QUESTION);
            let _ = timeout(QUESTION_TIME, self.inner.attributes(&key, &question)).await;
        }
        reach.gave_up(asked);
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

/// The object that is asked for, to hear whether S3 is there; that there is none does not matter.
const QUESTION: &str = "s3dav-is-there";
/// A question is small.
const QUESTION_TIME: Duration = Duration::from_secs(1);
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

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        self.retry(Kind::Read, || self.inner.get(request)).await
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        self.retry(Kind::Read, || self.inner.list(request)).await
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let attempt = || self.inner.put(request.clone());
        let (result, maybe_applied) = self.retry_noting(Kind::Write, attempt).await;
        match result {
            // The own-retry trap: an attempt whose answer was lost may have written, and the next one then met
            // our own object.
            Err(error @ StoreError::ConditionFailed) if maybe_applied => {
                let PutObject { key, body, .. } = &request;
                match existing(self.head(key).await)? {
                    Some(meta) if Expected::Body(body).is_at(self, key, &meta).await => Ok(written(meta)),
                    _ => Err(error),
                }
            }
            other => other,
        }
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let (begun, CopyObject { source, to, .. }) = (SystemTime::now(), request);
        let attempt = || self.inner.copy(request);
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

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        self.retry(Kind::Part, || self.inner.upload_part(request.clone())).await
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        self.retry(Kind::Write, || self.inner.copy_part(request)).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let CompleteUpload { upload, parts, size, .. } = request;
        let attempt = || self.inner.complete_upload(request);
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
                // An earlier upload of the same parts may have made it: then this one is open still.
                if ours.is_some()
                    && matches!(error, StoreError::ConditionFailed)
                    && let Err(error) = self.abort_upload(upload).await
                {
                    tracing::warn!(key = %upload.key, %error, "an upload that is not needed stays");
                }
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

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        self.retry(Kind::Read, || self.inner.list_parts(request)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use parking_lot::Mutex;

    use super::*;
    use crate::object::{ByteRange, ObjectAddress};
    use crate::store::CopySource;
    use crate::store::memory::MemoryStore;

    /// What goes wrong with a call.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fault {
        /// It is not carried out.
        Refused,
        /// It is carried out, and its answer is lost.
        AnswerLost,
        /// It is not carried out, and never will be.
        Denied,
        SignedOut,
        /// It is not carried out, since the clocks differ.
        Skewed,
        /// It is not carried out, and takes so many seconds.
        Slow(u64),
        /// It is not carried out, and somebody else writes the object meanwhile.
        Overtaken(&'static str),
        /// Somebody else deletes the object, and then it is carried out.
        Late,
        /// There is none.
        Well,
        Hangs,
    }

    /// A store with a fault for each of the next calls that change or look at an object.
    #[derive(Debug, Default)]
    struct Faulty {
        inner: MemoryStore,
        faults: Mutex<VecDeque<Fault>>,
        calls: Mutex<usize>,
    }

    fn unavailable() -> StoreError {
        StoreError::Unavailable("a fault".into())
    }

    impl Faulty {
        fn with(faults: &[Fault]) -> Arc<Self> {
            Arc::new(Self { faults: Mutex::new(faults.iter().copied().collect()), ..Self::default() })
        }

        async fn call<T>(&self, key: &Key, work: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
            *self.calls.lock() += 1;
            let fault = self.faults.lock().pop_front();
            match fault {
                None | Some(Fault::Well) => work.await,
                Some(Fault::Late) => {
                    self.inner.delete(key, &Condition::None).await?;
                    work.await
                }
                Some(Fault::Refused) => Err(unavailable()),
                Some(Fault::AnswerLost) => work.await.and(Err(unavailable())),
                Some(Fault::Denied) => Err(StoreError::AccessDenied("a policy".into())),
                Some(Fault::SignedOut) => Err(StoreError::Credentials("expired".into())),
                Some(Fault::Skewed) => Err(StoreError::ClockSkew),
                Some(Fault::Slow(seconds)) => {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    Err(unavailable())
                }
                Some(Fault::Hangs) => std::future::pending().await,
                Some(Fault::Overtaken(content)) => {
                    let (attributes, condition) = (&Attributes::default(), &Condition::None);
                    self.inner.put(PutObject { key, body: content.into(), attributes, condition }).await?;
                    Err(unavailable())
                }
            }
        }

        async fn holds(&self, name: &str) -> Option<bytes::Bytes> {
            let got = existing(self.inner.get(GetObject::whole(&key(name))).await).unwrap()?;
            Some(got.collect().await.unwrap())
        }

        fn calls(&self) -> usize {
            *self.calls.lock()
        }
    }

    #[async_trait]
    impl ObjectStore for Faulty {
        forward!(inner: foresee, address);

        async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
            self.call(request.key, self.inner.get(request)).await
        }

        async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
            self.call(&key("a list"), self.inner.list(request)).await
        }

        async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
            self.call(key, self.inner.attributes(key, version)).await
        }

        async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
            self.call(key, self.inner.head(key)).await
        }

        async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
            self.call(request.key, self.inner.put(request)).await
        }

        async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
            self.call(request.to, self.inner.copy(request)).await
        }

        async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
            self.call(key, self.inner.delete(key, condition)).await
        }

        async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
            let mut failed = Vec::new();
            for DeleteTarget { key, .. } in objects {
                if let Err(error) = self.delete(key, &Condition::None).await {
                    failed.push((key.clone(), error));
                }
            }
            Ok(failed)
        }
    }

    #[async_trait]
    impl MultipartStore for Faulty {
        async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
            self.call(&request.upload.key, self.inner.upload_part(request)).await
        }

        async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
            self.call(&request.upload.key, self.inner.copy_part(request)).await
        }

        async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
            self.call(&upload.key, self.inner.abort_upload(upload)).await
        }

        async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
            self.call(key, self.inner.list_uploads(key)).await
        }

        async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
            self.call(&request.upload.key, self.inner.list_parts(request)).await
        }

        async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
            self.call(key, self.inner.create_upload(key, attributes)).await
        }

        async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
            self.call(&request.upload.key, self.inner.complete_upload(request)).await
        }
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    /// A store that goes on for a minute.
    fn retry(inner: &Arc<Faulty>) -> Retry {
        let policy = RetryPolicy { limit: Limit::Each(Duration::from_secs(60)), for_credentials: false };
        Retry::new(Arc::clone(inner) as Arc<dyn MultipartStore>, policy)
    }

    async fn put(store: &Retry, content: &'static str, condition: Condition) -> StoreResult<Written> {
        let (key, body, attributes) = (&key("a"), content.into(), &Attributes::default());
        store.put(PutObject { key, body, attributes, condition: &condition }).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_attempt_without_an_answer_wrote_is_ones_own() {
        let inner = Faulty::with(&[Fault::AnswerLost]);
        let written = put(&retry(&inner), "mine", Condition::IfAbsent).await.unwrap();
        assert_eq!(inner.inner.head(&key("a")).await.unwrap().etag, written.etag);
        // The attempt, the next one, and the look.
        assert_eq!(inner.calls(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_else_wrote_meanwhile_is_not() {
        for theirs in ["else", "longer than mine"] {
            let inner = Faulty::with(&[Fault::Overtaken(theirs)]);
            let written = put(&retry(&inner), "mine", Condition::IfAbsent).await;
            assert!(matches!(written, Err(StoreError::ConditionFailed)), "{written:?}");
            assert_eq!(inner.holds("a").await.unwrap(), theirs);
        }
        // Nothing was lost, so nothing is looked at.
        let inner = Faulty::with(&[]);
        put(&retry(&inner), "theirs", Condition::IfAbsent).await.unwrap();
        let written = put(&retry(&inner), "theirs", Condition::IfAbsent).await;
        assert!(matches!(written, Err(StoreError::ConditionFailed)), "{written:?}");
        assert_eq!(inner.calls(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_that_may_have_been_made_is_told_from_anothers() {
        for (fault, is_own) in [(Fault::AnswerLost, true), (Fault::Overtaken("else"), false)] {
            let inner = Faulty::with(&[]);
            let store = retry(&inner);
            let etag = put(&store, "content", Condition::None).await.unwrap().etag;
            inner.faults.lock().push_back(fault);
            let source = CopySource {
                key: key("a"),
                address: store.address(&key("a")),
                etag: Some(etag),
                size: 7,
                storage_class: None,
            };
            let copied = store
                .copy(CopyObject { source: &source, to: &key("b"), condition: &Condition::IfAbsent })
                .await;
            assert_eq!(copied.is_ok(), is_own, "{copied:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delete_whose_answer_was_lost_is_done() {
        let inner = Faulty::with(&[]);
        let store = retry(&inner);
        for lost in [true, false] {
            let etag = put(&store, "content", Condition::None).await.unwrap().etag;
            if lost {
                inner.faults.lock().push_back(Fault::AnswerLost);
            }
            store.delete(&key("a"), &Condition::IfMatch(etag)).await.unwrap();
            assert_eq!(inner.holds("a").await, None);
        }
        let etag = put(&store, "content", Condition::None).await.unwrap().etag;
        inner.faults.lock().push_back(Fault::Overtaken("else"));
        let deleted = store.delete(&key("a"), &Condition::IfMatch(etag)).await;
        assert!(matches!(deleted, Err(StoreError::ConditionFailed)), "{deleted:?}");
        let etag = inner.inner.head(&key("a")).await.unwrap().etag;
        inner.faults.lock().extend([Fault::Overtaken("another"), Fault::Well, Fault::Late]);
        store.delete(&key("a"), &Condition::IfMatch(etag)).await.unwrap();
        let deleted = store.delete(&key("none"), &Condition::IfMatch(ETag::new("1"))).await;
        assert!(matches!(deleted, Err(StoreError::NotFound)), "nothing was lost: {deleted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_completion_whose_answer_was_lost_is_done_if_the_object_is_of_its_parts() {
        for (fault, is_own) in [(Fault::AnswerLost, true), (Fault::Overtaken("else"), false)] {
            let inner = Faulty::with(&[]);
            let store = retry(&inner);
            let upload = store.create_upload(&key("a"), &Attributes::default()).await.unwrap();
            assert!(!upload.may_have_twin);
            let part = store.upload_part(UploadPart { upload: &upload, number: 1, body: "part".into() });
            let part = part.await.unwrap();
            inner.faults.lock().push_back(fault);
            let (upload, parts, condition) = (&upload, &[part], &Condition::IfAbsent);
            let completed = store
                .complete_upload(CompleteUpload { upload, parts, size: 4, crc32c: None, condition })
                .await;
            assert_eq!(completed.is_ok(), is_own, "{completed:?}");
        }
        let inner = Faulty::with(&[Fault::AnswerLost]);
        let upload = retry(&inner).create_upload(&key("a"), &Attributes::default()).await.unwrap();
        assert!(upload.may_have_twin);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_of_what_an_earlier_one_made_already_is_aborted() {
        let inner = Faulty::with(&[]);
        let store = retry(&inner);
        for fault in [Fault::Well, Fault::Refused] {
            let upload = store.create_upload(&key("a"), &Attributes::default()).await.unwrap();
            let part = store.upload_part(UploadPart { upload: &upload, number: 1, body: "part".into() });
            let (upload, parts, condition) = (&upload, &[part.await.unwrap()], &Condition::IfAbsent);
            inner.faults.lock().push_back(fault);
            let request = CompleteUpload { upload, parts, size: 4, crc32c: None, condition };
            store.complete_upload(request).await.unwrap();
        }
        assert_eq!(inner.inner.open_uploads(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_fails_waits_no_longer_than_it_takes_to_find_s3_out_of_reach() {
        let (inner, begun) = (Faulty::with(&[Fault::Refused; 100]), Instant::now());
        let read = retry(&inner).minding(Reach::default(), false).head(&key("a")).await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
        assert_eq!(begun.elapsed().as_secs(), 5, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_for_as_long_as_there_is_time() {
        let inner = Faulty::with(&[Fault::Refused; 100]);
        let begun = Instant::now();
        let failed = put(&retry(&inner), "content", Condition::None).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        // Pauses of 0.2, 0.4, 0.8, 1.6, 3.2 and then of 5 seconds, none of which ends after the limit.
        assert_eq!((inner.calls(), begun.elapsed().as_secs()), (16, 56));
        let inner = Faulty::with(&[Fault::Refused; 3]);
        put(&retry(&inner), "content", Condition::None).await.unwrap();
        assert_eq!(inner.calls(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_at_once() {
        let inner = Faulty::with(&[Fault::Denied]);
        let failed = put(&retry(&inner), "content", Condition::None).await;
        assert!(matches!(failed, Err(StoreError::AccessDenied(_))), "{failed:?}");
        let inner = Faulty::with(&[Fault::SignedOut, Fault::SignedOut]);
        let failed = put(&retry(&inner), "content", Condition::None).await;
        assert!(matches!(failed, Err(StoreError::Credentials(_))), "{failed:?}");
        assert_eq!(inner.calls(), 1);
        let waits = RetryPolicy { limit: Limit::Each(Duration::from_secs(60)), for_credentials: true };
        let waiting = Retry::new(Arc::clone(&inner) as Arc<dyn MultipartStore>, waits);
        put(&waiting, "content", Condition::None).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_ends_with_the_time_of_the_request() {
        let inner = Faulty::with(&[Fault::Hangs, Fault::Hangs]);
        let begun = Instant::now();
        let at = RetryPolicy { limit: Limit::At(begun + Duration::from_secs(30)), for_credentials: false };
        let store = Retry::new(Arc::clone(&inner) as Arc<dyn MultipartStore>, at);
        assert!(matches!(store.head(&key("a")).await, Err(StoreError::Unavailable(_))));
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
        // The request is over, and work of it that goes on gets a moment still.
        assert!(matches!(store.head(&key("a")).await, Err(StoreError::Unavailable(_))));
        assert_eq!(begun.elapsed(), Duration::from_secs(30) + LEAST_READ);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_deletes_those_are_tried_again_that_may_pass() {
        let inner = Faulty::with(&[Fault::Refused, Fault::Denied]);
        let objects = ["a", "b", "c"].map(|name| DeleteTarget { key: key(name), etag: None });
        let failed = retry(&inner).delete_many(&objects).await.unwrap();
        assert_eq!(failed.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(inner.calls(), 4, "three, and the first once more");
    }

    /// Of the object at `a`, of that many bytes.
    fn source(etag: &ETag, size: u64) -> CopySource {
        let address = ObjectAddress { bucket: "memory".to_owned(), key: key("a") };
        CopySource { key: key("a"), address, etag: Some(etag.clone()), size, storage_class: None }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_asked_is_asked_again_and_answered() {
        let inner = Faulty::with(&[]);
        let store = retry(&inner);
        let etag = put(&store, "content", Condition::None).await.unwrap().etag;
        let fails = || inner.faults.lock().push_back(Fault::Refused);
        fails();
        let meta = store.head(&key("a")).await.unwrap();
        assert_eq!((meta.etag, meta.size), (etag.clone(), 7));
        fails();
        let range = ByteRange { first: 1, last: Some(3) };
        let got = store.get(GetObject { range: Some(range), ..GetObject::whole(&key("a")) }).await.unwrap();
        assert_eq!(got.collect().await.unwrap(), "ont");
        fails();
        assert_eq!(store.list(&ListRequest::children("")).await.unwrap().objects[0].key, key("a"));
        fails();
        let plain = Attributes { content_type: Some("text/plain".to_owned()), ..Attributes::default() };
        let typed = store
            .put(PutObject {
                key: &key("typed"),
                body: "t".into(),
                attributes: &plain,
                condition: &Condition::None,
            })
            .await
            .unwrap();
        fails();
        assert_eq!(store.attributes(&key("typed"), &typed.etag).await.unwrap(), plain);
        fails();
        let upload = store.create_upload(&key("b"), &Attributes::default()).await.unwrap();
        fails();
        let first =
            store.upload_part(UploadPart { upload: &upload, number: 1, body: "part".into() }).await.unwrap();
        fails();
        let second = store
            .copy_part(CopyPart { upload: &upload, number: 2, source: &source(&etag, 7), range })
            .await
            .unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        fails();
        assert_eq!(store.list_uploads(&key("b")).await.unwrap().len(), 1);
        fails();
        store
            .complete_upload(CompleteUpload {
                upload: &upload,
                parts: &[first, second],
                size: 7,
                crc32c: None,
                condition: &Condition::IfAbsent,
            })
            .await
            .unwrap();
        assert_eq!(inner.holds("b").await.unwrap(), "partont");
        let upload = store.create_upload(&key("c"), &Attributes::default()).await.unwrap();
        fails();
        store.abort_upload(&upload).await.unwrap();
        assert_eq!(inner.inner.open_uploads(), 0);
        fails();
        let copied = store
            .copy(CopyObject { source: &source(&etag, 7), to: &key("c"), condition: &Condition::IfAbsent })
            .await
            .unwrap();
        assert_eq!(copied.etag, etag);
        fails();
        store.delete(&key("c"), &Condition::IfMatch(etag)).await.unwrap();
        assert_eq!(inner.holds("c").await, None);
        assert!(inner.faults.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_surely_not_carried_out_wrote_nothing() {
        let inner = Faulty::with(&[]);
        let store = retry(&inner);
        put(&store, "mine", Condition::None).await.unwrap();
        inner.faults.lock().push_back(Fault::Skewed);
        let written = put(&store, "mine", Condition::IfAbsent).await;
        assert!(matches!(written, Err(StoreError::ConditionFailed)), "{written:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_attempt_of_many_without_an_answer_is_enough() {
        for faults in [
            &[Fault::AnswerLost, Fault::Skewed][..],
            &[Fault::Refused, Fault::AnswerLost],
            &[Fault::Refused, Fault::Refused, Fault::AnswerLost],
        ] {
            let inner = Faulty::with(faults);
            put(&retry(&inner), "mine", Condition::IfAbsent).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_fails_proves_nothing() {
        let inner = Faulty::with(&[Fault::AnswerLost]);
        let store = retry(&inner);
        inner.faults.lock().extend([Fault::Refused, Fault::Denied]);
        let written = put(&store, "mine", Condition::IfAbsent).await;
        assert!(matches!(written, Err(StoreError::AccessDenied(_))), "{written:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_for_ones_own_where_nothing_was_lost() {
        let inner = Faulty::with(&[]);
        let store = retry(&inner);
        let etag = put(&store, "content", Condition::None).await.unwrap().etag;
        store
            .copy(CopyObject { source: &source(&etag, 7), to: &key("b"), condition: &Condition::IfAbsent })
            .await
            .unwrap();
        let copied = store
            .copy(CopyObject { source: &source(&etag, 7), to: &key("b"), condition: &Condition::IfAbsent })
            .await;
        assert!(matches!(copied, Err(StoreError::ConditionFailed)), "{copied:?}");
        let deleted = store.delete(&key("a"), &Condition::IfMatch(ETag::new("older"))).await;
        assert!(matches!(deleted, Err(StoreError::ConditionFailed)), "{deleted:?}");
        let upload = store.create_upload(&key("c"), &Attributes::default()).await.unwrap();
        let part =
            store.upload_part(UploadPart { upload: &upload, number: 1, body: "part".into() }).await.unwrap();
        let complete = || {
            store.complete_upload(CompleteUpload {
                upload: &upload,
                parts: std::slice::from_ref(&part),
                size: 4,
                crc32c: None,
                condition: &Condition::None,
            })
        };
        complete().await.unwrap();
        let again = complete().await;
        assert!(matches!(again, Err(StoreError::UploadGone)), "{again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn parts_that_tell_nothing_leave_the_size_and_the_date() {
        let inner = Faulty::with(&[]);
        let store = retry(&inner);
        put(&store, "content", Condition::None).await.unwrap();
        let date = inner.inner.head(&key("a")).await.unwrap().last_modified;
        let part = Part { number: 1, etag: ETag::new("no MD5"), crc32c: None };
        for (begun, size, is_own) in
            [(date, 7, true), (date, 8, false), (date + Duration::from_secs(1), 7, false)]
        {
            // It is gone, as one that is complete.
            let upload = Upload { key: key("a"), id: "gone".to_owned(), begun, may_have_twin: false };
            inner.faults.lock().push_back(Fault::Refused);
            let completed = store
                .complete_upload(CompleteUpload {
                    upload: &upload,
                    parts: std::slice::from_ref(&part),
                    size,
                    crc32c: None,
                    condition: &Condition::None,
                })
                .await;
            assert_eq!(completed.is_ok(), is_own, "{completed:?}");
        }
        let nowhere = Upload { key: key("b"), id: "gone".to_owned(), begun: date, may_have_twin: false };
        inner.faults.lock().push_back(Fault::Refused);
        let completed = store
            .complete_upload(CompleteUpload {
                upload: &nowhere,
                parts: &[part],
                size: 7,
                crc32c: None,
                condition: &Condition::None,
            })
            .await;
        assert!(matches!(completed, Err(StoreError::UploadGone)), "{completed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_twin_that_a_lower_layer_may_have_made_is_told() {
        let inner = Faulty::with(&[Fault::AnswerLost]);
        let policy = RetryPolicy { limit: Limit::Each(Duration::from_secs(60)), for_credentials: false };
        let store = Retry::new(Arc::new(retry(&inner)), policy);
        assert!(store.create_upload(&key("a"), &Attributes::default()).await.unwrap().may_have_twin);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_has_its_time_from_its_first_failure_on() {
        let inner = Faulty::with(&[]);
        let store = retry(&inner);
        let upload = store.create_upload(&key("a"), &Attributes::default()).await.unwrap();
        // Each takes as long as the line makes it: the first one does not count.
        inner.faults.lock().extend([Fault::Slow(600), Fault::Slow(40), Fault::Slow(40), Fault::Slow(40)]);
        let begun = Instant::now();
        assert!(
            store.upload_part(UploadPart { upload: &upload, number: 1, body: "part".into() }).await.is_err()
        );
        assert_eq!(begun.elapsed().as_secs(), 680, "two more within a minute");
        inner.faults.lock().clear();
        inner.faults.lock().extend([Fault::Slow(600), Fault::Refused]);
        store.upload_part(UploadPart { upload: &upload, number: 1, body: "part".into() }).await.unwrap();
        // Of other writes it does.
        inner.faults.lock().push_back(Fault::Slow(61));
        assert!(put(&store, "content", Condition::None).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn while_s3_is_out_of_reach_reads_wait_for_a_short_time_alone() {
        let reach = Reach::new(Duration::from_secs(10), Duration::from_secs(10));
        let patient = |inner: &Arc<Faulty>, saves| retry(inner).minding(reach.clone(), saves);
        let always = [Fault::Refused; 100];
        let waited = async |store: &Retry, writes: bool| {
            let begun = Instant::now();
            let failed = if writes {
                put(store, "content", Condition::None).await.map(drop)
            } else {
                store.head(&key("a")).await.map(drop)
            };
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
            begun.elapsed().as_secs()
        };
        assert_eq!(
            waited(&patient(&Faulty::with(&always), false), false).await,
            10,
            "so long it may be silent"
        );
        assert!(reach.is_lost(), "nobody heard of it in that time");
        assert_eq!(waited(&patient(&Faulty::with(&always), false), false).await, 6);
        assert_eq!(waited(&patient(&Faulty::with(&always), false), true).await, 56, "a write");
        assert_eq!(waited(&patient(&Faulty::with(&always), true), false).await, 56, "something is saved");
        let hangs = patient(&Faulty::with(&[Fault::Hangs]), false);
        assert_eq!(waited(&hangs, false).await, 10);
        reach.heard();
        assert!(!reach.is_lost(), "it is back");
        assert_eq!(waited(&patient(&Faulty::with(&always), false), false).await, 10, "and silent again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_another_puts_off_that_s3_is_out_of_reach_and_no_more() {
        let reach = Reach::new(Duration::from_secs(5), Duration::from_secs(5));
        let store = retry(&Faulty::with(&[Fault::Hangs; 9])).minding(reach.clone(), false);
        let begun = Instant::now();
        let answered = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            reach.heard();
        };
        let key = key("a");
        let (failed, ()) = tokio::join!(store.head(&key), answered);
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        assert!(reach.is_lost());
        let (answered, silence, question, last_try) = (3, 5, 1, 1);
        assert_eq!(begun.elapsed().as_secs(), answered + silence + question + last_try);
    }

    #[tokio::test(start_paused = true)]
    async fn only_silence_says_that_s3_is_out_of_reach() {
        let reach = Reach::default();
        let denied = retry(&Faulty::with(&[Fault::Denied])).minding(reach.clone(), false);
        assert!(denied.head(&key("a")).await.is_err());
        let skewed = retry(&Faulty::with(&[Fault::Skewed; 100])).minding(reach.clone(), false);
        assert!(matches!(skewed.head(&key("a")).await, Err(StoreError::ClockSkew)));
        assert!(!reach.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn deletes_that_do_not_pass_are_told_when_there_is_no_time_left() {
        let inner = Faulty::with(&[Fault::Refused; 100]);
        let begun = Instant::now();
        let failed = retry(&inner).delete_many(&[key("a").into()]).await.unwrap();
        assert!(matches!(&failed[..], [(_, StoreError::Unavailable(_))]), "{failed:?}");
        assert_eq!((inner.calls(), begun.elapsed().as_secs()), (16, 56));
    }
}
