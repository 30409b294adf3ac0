//! PUT: an object written whole, on the condition that nobody else's change is replaced.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::conflict::beside;
use super::{Failure, S3FileSystem, Shared};
use crate::fs::RequestContext;
use crate::fs::declared::{DeclaredBody, find_room};
use crate::fs::error::log_failure;
use crate::fs::file_system::{Meta, Writing};
use crate::fs::new_names::NewName;
use crate::fs::seen_versions::WriteCondition;
use crate::object::{Attributes, Condition, ETag, Key, ObjectMeta, ReadCondition, Written};
use crate::spool::Intake;
use crate::store::comparing::is_same;
use crate::store::multipart::{MultipartWriter, NewObject, RetainedBody, Unfinished};
use crate::store::namespace::Namespace;
use crate::store::{GetObject, ObjectStore, StoreError};
use crate::sync::Entered;

/// Where an object is written to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) key: String,
    /// The newest version that is known, with its date and its bytes; `None`: there is nothing yet.
    pub(super) replaces: Option<(ETag, SystemTime, u64)>,
    /// Of what is new; held until it is there.
    pub(super) new_name: Option<NewName>,
}

/// An object on its way: what takes it, as long as it is what the client declared.
pub(super) struct Upload {
    declared: DeclaredBody,
    intake: Intake<MultipartWriter>,
    placement: Placement,
}

/// Where an object comes, on what condition, and who is told. It outlives the client.
struct Placement {
    shared: Arc<Shared>,
    store: Namespace,
    context: Arc<RequestContext>,
    target: Target,
    key: Key,
    attributes: Attributes,
    condition: WriteCondition,
    /// Keeps its folder where it is.
    entered: Entered,
}

/// What became of a body.
#[derive(Debug)]
enum Placed {
    /// It is the object now.
    There { size: u64, written: Written },
    /// It lies beside the object, which somebody else changed.
    Beside { size: u64 },
    /// It was empty, and somebody else made the object first.
    Existing(ObjectMeta),
}

impl Placed {
    fn meta(self) -> Meta {
        let (size, etag, modified) = match self {
            Self::There { size, written } => (size, Some(written.etag), written.last_modified),
            // The object's own ETag is not that of what the client sent.
            Self::Beside { size } => (size, None, SystemTime::now()),
            Self::Existing(meta) => (meta.size, Some(meta.etag), meta.last_modified),
        };
        Meta { is_folder: false, size, etag, modified }
    }
}

impl S3FileSystem {
    /// Begins to write to `target`, which was entered; `length` in bytes if the client told it.
    pub(super) fn begin_upload(
        &self,
        (target, entered): (Target, Entered),
        attributes: Attributes,
        create_new: bool,
        length: Option<u64>,
    ) -> Result<Upload, Failure> {
        let context = &self.context;
        find_room(context, self.shared.uploads.intakes())?;
        let now = target.replaces.as_ref().map(|(etag, modified, size)| (etag, *modified, *size));
        let basis = self.shared.seen_versions.to_replace(context, &target.key, now);
        let placement = Placement {
            shared: Arc::clone(&self.shared),
            store: self.patient_store(),
            context: Arc::clone(context),
            key: Key::new(&target.key)?,
            target,
            attributes,
            condition: WriteCondition::of(context, basis, create_new),
            entered,
        };
        let object = NewObject {
            key: placement.key.clone(),
            attributes: placement.attributes.clone(),
            condition: placement.condition.condition.clone(),
            length,
            keep: !placement.condition.is_clients_own,
        };
        let intake = self.shared.uploads.intake(placement.store.objects(), object)?;
        Ok(Upload { declared: DeclaredBody::new(context, length), intake, placement })
    }
}

#[async_trait]
impl Writing for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.declared.take(&bytes)?;
        Ok(self.intake.write(bytes).await?)
    }

    async fn commit(self: Box<Self>) -> Result<Meta, Failure> {
        let Self { mut declared, intake, placement } = *self;
        let size = declared.end()?;
        placement.entered.put_file()?;
        let shutdown = placement.shared.shutdown.clone();
        let placed = shutdown.complete(async move { placement.finish(intake, size).await });
        Ok(placed.await??.meta())
    }
}

impl Placement {
    async fn finish(self, intake: Intake<MultipartWriter>, size: u64) -> Result<Placed, Failure> {
        let is_new = self.target.replaces.is_none();
        let is_put_off = size == 0
            && is_new
            && self.condition.condition == Condition::IfAbsent
            && !self.condition.is_clients_own
            && self.context.client.quirks().fills_later;
        let finished = if is_put_off {
            let created = self.store.create(&self.key, &self.attributes).await;
            created.map_err(|error| Unfinished { error, retained: Some(RetainedBody::nothing()) })
        } else {
            intake.end().await?.finish().await
        };
        let placed = match finished {
            Ok(written) => Placed::There { size, written },
            Err(unfinished) => self.settle(unfinished).await?,
        };
        let shared = &self.shared;
        if let Placed::There { written, .. } = &placed {
            shared.seen_versions.saw(&self.context.client, self.key.as_str(), &written.etag);
            shared.seen_versions.dates(self.key.as_str(), &written.etag, written.last_modified);
        } else {
            self.context.outcome.set_lost();
        }
        if is_new {
            shared.dates.touch_parent(self.key.as_str());
            // A file of this name may have been deleted by others.
            log_failure(shared.state.remove_properties(self.key.as_str()).await);
        }
        self.context.stored(size).await;
        if self.context.mtime.is_some() {
            self.context.outcome.set_mtime_kept();
        }
        Ok(placed)
    }

    /// Finds the body another place, if its own was taken and the client did not ask to be told.
    async fn settle(&self, unfinished: Unfinished) -> Result<Placed, Failure> {
        let Unfinished { error, retained } = unfinished;
        let is_lost =
            matches!(error, StoreError::ConditionFailed | StoreError::NotFound | StoreError::UploadGone);
        match (is_lost, self.condition.is_clients_own, retained) {
            (false, ..) => Err(error.into()),
            // `If-Match` met no object at all, or another one.
            (true, true, _) => Err(StoreError::ConditionFailed.into()),
            (true, false, Some(retained)) => self.place_again(retained, error).await,
            (true, false, None) => Err(Failure::Conflict(
                "someone else changed the file during the upload, and there was no room to keep this version \
                 beside it; upload it again, or raise --upload-spool"
                    .to_owned(),
            )),
        }
    }

    async fn place_again(&self, retained: RetainedBody, mut error: StoreError) -> Result<Placed, Failure> {
        let size = retained.size();
        if let Some(written) = self.is_there(&retained).await {
            return Ok(Placed::There { size, written });
        }
        if matches!(error, StoreError::UploadGone) {
            // Nothing may have changed: a delete at the same moment ends a conditional upload.
            match self.store_at(&retained, &self.key, &self.condition.condition).await {
                Err(again @ (StoreError::ConditionFailed | StoreError::NotFound)) => error = again,
                written => return Ok(Placed::There { size, written: written? }),
            }
        }
        if matches!(error, StoreError::NotFound) {
            // The version that it should replace was deleted: there is nobody's change to lose.
            match self.store_at(&retained, &self.key, &Condition::IfAbsent).await {
                Err(StoreError::ConditionFailed) => {}
                written => return Ok(Placed::There { size, written: written? }),
            }
        }
        if size == 0 && self.condition.condition == Condition::IfAbsent {
            return Ok(Placed::Existing(self.store.head(&self.key).await?));
        }
        self.place_beside(&retained).await?;
        Ok(Placed::Beside { size })
    }

    /// Keeps the body beside the object; a client that has lost before and saves again has one copy.
    async fn place_beside(&self, retained: &RetainedBody) -> Result<(), Failure> {
        let (shared, client, key) = (&self.shared, &self.context.client, self.key.as_str());
        if let Some((copy, etag)) = shared.seen_versions.loser(client, key) {
            match self.store_at(retained, &Key::new(&copy)?, &Condition::IfMatch(etag)).await {
                // Somebody has changed the copy, or taken it away: it is theirs.
                Err(StoreError::ConditionFailed | StoreError::NotFound) => {}
                written => {
                    shared.seen_versions.lost(client, key, &copy, &written?.etag);
                    return Ok(());
                }
            }
        }
        let write = |key: Key| async move { self.store_at(retained, &key, &Condition::IfAbsent).await };
        let (copy, written) = beside(&self.store, &self.key, write).await?;
        shared.seen_versions.lost(client, key, copy.as_str(), &written.etag);
        shared.report_conflict(key, copy.as_str());
        Ok(())
    }

    /// The object, if it holds this very body: what loses against itself, since an answer was lost, or against
    /// its like is no conflict. A look that fails proves nothing.
    async fn is_there(&self, retained: &RetainedBody) -> Option<Written> {
        let meta = self.store.head(&self.key).await.ok().filter(|meta| meta.size == retained.size())?;
        let condition = &ReadCondition::IfMatch(meta.etag.clone());
        let there = self.store.get(GetObject { condition, ..GetObject::whole(&self.key) }).await.ok()?;
        let is_same = is_same(retained.chunks(), there.body).await.unwrap_or(false);
        is_same.then_some(Written { etag: meta.etag, last_modified: meta.last_modified })
    }

    async fn store_at(
        &self,
        retained: &RetainedBody,
        key: &Key,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        retained.store(&self.shared.uploads, &self.store.objects(), key, &self.attributes, condition).await
    }
}
