//! A bucket whose calls fail as the seed has it, and which tells what became of its objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::history::{Change, Value, value_of};
use super::random::Random;
use super::steps::Steps;
use super::world::World;
use crate::object::{
    Attributes, Condition, DeleteTarget, ETag, Key, ListPage, ObjectAddress, ObjectMeta, Written,
};
use crate::store::memory::MemoryStore;
use crate::store::reach::Reach;
use crate::store::{
    CompleteUpload, Content, CopyObject, CopyPart, Foreseen, GetObject, ListParts, ListRequest,
    MultipartStore, ObjectStore, Part, PartsPage, PutObject, StoreError, StoreResult, Upload, UploadPart,
};
use crate::tally;

/// How the store is.
#[derive(Debug)]
pub(super) struct Weather {
    pub(super) random: Random,
    pub(super) is_away: bool,
    /// It takes long to find out that it is away.
    pub(super) is_silent: bool,
    /// Calls of a hundred that fail though it is there.
    pub(super) flaky: u64,
    /// What is not to be written.
    pub(super) denied: BTreeSet<String>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// It is not carried out.
    Refused,
    /// It is carried out, and its answer is lost.
    AnswerLost,
    Denied,
}

/// A mistake that the simulation must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// Objects are written without their condition.
    LostCondition,
    /// Objects are deleted in whichever version they are.
    LostDeleteCondition,
    /// What is copied is not there when that is told.
    LostCopy,
    /// Another version is told than is stored: what builds on it builds on nothing.
    WrongVersion,
}

/// The bucket as the gateway sees it in one of its lives.
#[derive(Debug)]
pub(super) struct Faulty {
    objects: MemoryStore,
    world: Arc<World>,
    steps: Arc<Steps>,
    reach: Reach,
}

impl Faulty {
    pub(super) fn new(world: &Arc<World>, steps: &Arc<Steps>, reach: &Reach) -> Self {
        let (objects, world) = (world.objects.clone(), Arc::clone(world));
        Self { objects, world, steps: Arc::clone(steps), reach: reach.clone() }
    }

    fn has(&self, bug: Bug) -> bool {
        self.world.bug == Some(bug)
    }

    fn pause(&self) -> Duration {
        let mut weather = self.world.weather.lock();
        let is_silent = weather.is_away && weather.is_silent;
        weather.random.millis(if is_silent { 500..4000 } else { 0..40 })
    }

    fn fate(&self, written: Option<&Key>) -> Fate {
        let mut weather = self.world.weather.lock();
        if weather.is_away {
            // What was under way when it went may have come through.
            return if weather.random.chance(2) { Fate::AnswerLost } else { Fate::Refused };
        }
        if written.is_some_and(|key| weather.denied.contains(key.as_str())) {
            return Fate::Denied;
        }
        let flaky = weather.flaky;
        match (weather.random.chance(flaky), weather.random.chance(50)) {
            (false, _) => Fate::Fine,
            (true, true) => Fate::Refused,
            (true, false) => Fate::AnswerLost,
        }
    }

    /// A call that may change the objects at `keys`.
    async fn call<T>(
        &self,
        what: &str,
        keys: &[&Key],
        work: impl Future<Output = StoreResult<T>> + Send,
    ) -> StoreResult<T> {
        self.steps.turn().await;
        let fate = self.fate(keys.first().copied());
        sleep(self.pause()).await;
        let away = || Err(StoreError::Unavailable(format!("no answer to {what}").into()));
        let answer = match fate {
            Fate::Refused => away(),
            Fate::Denied => {
                self.reach.heard();
                Err(StoreError::AccessDenied("by the seed".into()))
            }
            Fate::Fine | Fate::AnswerLost => {
                let before: Vec<_> = keys.iter().map(|key| peek(&self.objects, key)).collect();
                let answer = work.await;
                for (key, before) in keys.iter().zip(before) {
                    self.world.note_change(true, key, before, peek(&self.objects, key));
                }
                if fate == Fate::Fine { answer } else { away() }
            }
        };
        if let Err(error) = &answer
            && !keys.is_empty()
        {
            self.world.note(format!("   {what} {keys:?}: {fate:?}, {error}"));
            let is_conflict = matches!(error, StoreError::ConditionFailed | StoreError::NotFound);
            self.world.history.lock().conflicts += u64::from(is_conflict);
        }
        sleep(self.pause()).await;
        self.steps.turn().await;
        if matches!(fate, Fate::Fine) {
            self.reach.heard();
            if !keys.is_empty() && answer.is_ok() {
                tally::current().iter().for_each(tally::Tally::note_taken);
            }
        }
        answer
    }

    fn condition<'a>(&self, condition: &'a Condition) -> &'a Condition {
        if self.has(Bug::LostCondition) { &Condition::None } else { condition }
    }
}

/// What is at a key; `None`: nothing.
pub(super) fn peek(objects: &MemoryStore, key: &Key) -> Option<Value> {
    let content = objects.get(GetObject::whole(key)).now_or_never()?.ok()?;
    let bytes = content.collect().now_or_never()?.ok()?;
    Some(value_of(&bytes).unwrap_or(Value::MAX))
}

/// Everything that is there.
pub(super) fn all(objects: &MemoryStore) -> BTreeMap<String, Value> {
    let page = objects.list(&ListRequest::tree("")).now_or_never().and_then(Result::ok).unwrap_or_default();
    let keys = page.objects.into_iter().map(|object| object.key);
    keys.filter_map(|key| Some((key.to_string(), peek(objects, &key)?))).collect()
}

impl World {
    pub(super) fn note_change(
        &self,
        by_gateway: bool,
        key: &Key,
        before: Option<Value>,
        after: Option<Value>,
    ) {
        if before != after {
            let mut history = self.history.lock();
            let at = history.now();
            history.change(Change { at, by_gateway, key: key.to_string(), before, after });
        }
    }

    /// The gateway sees what is at this key.
    fn note_seen(&self, key: &Key) {
        if let Some(value) = peek(&self.objects, key) {
            let at = self.history.lock().now();
            self.seen.lock().entry(value).or_insert(at);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Faulty {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        let head = async { self.objects.head(key).await.inspect(|_| self.world.note_seen(key)) };
        self.call("head", &[], head).await
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        let get = async { self.objects.get(request).await.inspect(|_| self.world.note_seen(request.key)) };
        self.call("get", &[], get).await
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let list = async {
            let page = self.objects.list(request).await?;
            page.objects.iter().for_each(|object| self.world.note_seen(&object.key));
            Ok(page)
        };
        self.call("list", &[], list).await
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let condition = self.condition(request.condition);
        let put = self.objects.put(PutObject { condition, ..request.clone() });
        let written = self.call("put", &[request.key], put).await?;
        let etag = if self.has(Bug::WrongVersion) { ETag::new("wrong") } else { written.etag };
        Ok(Written { etag, ..written })
    }

    async fn foresee(&self, _: &[Foreseen]) {}

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let CopyObject { source, to, condition } = request;
        let condition = self.condition(condition);
        if self.has(Bug::LostCopy) {
            let meta = self.objects.head(&source.key).await?;
            return Ok(Written { etag: meta.etag, last_modified: meta.last_modified });
        }
        self.call("copy", &[to], self.objects.copy(CopyObject { condition, ..request })).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let condition = if self.has(Bug::LostDeleteCondition) { &Condition::None } else { condition };
        self.call("delete", &[key], self.objects.delete(key, condition)).await
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let mut targets = objects.to_vec();
        if self.has(Bug::LostDeleteCondition) {
            targets.iter_mut().for_each(|target| target.etag = None);
        }
        let keys: Vec<&Key> = objects.iter().map(|object| &object.key).collect();
        self.call("delete_many", &keys, self.objects.delete_many(&targets)).await
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        self.call("attributes", &[], self.objects.attributes(key, version)).await
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        self.objects.address(key)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for Faulty {
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        self.call("create_upload", &[key], self.objects.create_upload(key, attributes)).await
    }

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        let key = &request.upload.key;
        self.call("upload_part", &[key], self.objects.upload_part(request.clone())).await
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        self.call("copy_part", &[&request.upload.key], self.objects.copy_part(request)).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let condition = self.condition(request.condition);
        let complete = self.objects.complete_upload(CompleteUpload { condition, ..request });
        self.call("complete_upload", &[&request.upload.key], complete).await
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.call("abort_upload", &[], self.objects.abort_upload(upload)).await
    }

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        self.call("list_parts", &[], self.objects.list_parts(request)).await
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        self.call("list_uploads", &[], self.objects.list_uploads(key)).await
    }
}

/// The weather of a seed, as it changes.
pub(super) fn fair(random: Random) -> Mutex<Weather> {
    Mutex::new(Weather { random, is_away: false, is_silent: false, flaky: 0, denied: BTreeSet::new() })
}
