//! An object that was sent, on its way to its place: nobody else's change is replaced, and nothing is lost.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::conflict::{beside, unless_taken};
use super::{Failure, Shared};
use crate::fs::Client;
use crate::object::{Attributes, Condition, ETag, Key, ObjectMeta, ReadCondition, Written};
use crate::store::comparing::is_same;
use crate::store::journal::Pending;
use crate::store::multipart::{RetainedBody, Unfinished};
use crate::store::{GetObject, MultipartStore, StoreError, StoreResult, existing};

/// Where an object comes, and on what condition.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Arc<dyn MultipartStore>,
    /// Whose it is.
    pub(super) client: Client,
    pub(super) key: Key,
    pub(super) attributes: Attributes,
    pub(super) condition: Condition,
    /// What was accepted before: it is noted there how far it has come.
    pub(super) change: Option<&'a Pending>,
    /// Of what is not accepted: where it may lie already, beside what somebody else made.
    pub(super) beside: Mutex<Option<Key>>,
    /// What the client had saved before, and had lost when it began this: it saves that again.
    pub(super) loser: Option<(Key, ETag)>,
}

/// What became of an object.
#[derive(Debug)]
pub(super) enum Placed {
    /// It is there.
    There { size: u64, written: Written },
    /// It lies beside the object, which somebody else changed.
    Beside { size: u64, copy: Key, etag: ETag },
    /// It was empty, and somebody else made the object first.
    Existing(ObjectMeta),
}

/// What became of a change that was accepted.
pub(super) enum Made {
    /// The object is there.
    At(Key, Written),
    Gone,
    /// Nothing: something else is there than was to be changed.
    Otherwise,
}

impl Delivery<'_> {
    /// Whether somebody has made a folder where a file is to be, or a file where a folder is: one would hide the other. Of a
    /// change that was accepted then.
    pub(super) async fn is_covered(&self, accepted: Instant) -> Result<bool, Failure> {
        let Self { shared, store, key, .. } = self;
        match key.as_str().strip_suffix('/') {
            // Asked so that it is not answered from memory; no version is called so.
            Some(name) => match store.attributes(&Key::new(name)?, &ETag::new("none")).await {
                Err(StoreError::NotFound) => Ok(false),
                Ok(_) | Err(StoreError::ConditionFailed) => Ok(true),
                Err(error) => Err(error.into()),
            },
            None => Ok(shared.covering.has_folder(&**store, key, accepted).await?),
        }
    }

    /// Stores a body that has come to this machine alone, or finds it another place.
    pub(super) async fn place(&self, retained: RetainedBody) -> Result<Placed, Failure> {
        match self.store_at(&retained, &self.key, &self.condition).await {
            Ok(written) => Ok(Placed::There { size: retained.size(), written }),
            Err(error) => self.settle(Unfinished { error, retained: Some(retained) }, false).await,
        }
    }

    /// Finds a body that was not stored its place, or says why it has none. `is_clients_own`: the client set the
    /// condition, and is told that it does not hold.
    pub(super) async fn settle(
        &self,
        unfinished: Unfinished,
        is_clients_own: bool,
    ) -> Result<Placed, Failure> {
        let Unfinished { error, retained } = unfinished;
        let is_lost =
            matches!(error, StoreError::ConditionFailed | StoreError::NotFound | StoreError::UploadGone);
        match (is_lost, is_clients_own, retained) {
            (false, ..) => Err(error.into()),
            // `If-Match` met no object at all, or another one.
            (true, true, _) => Err(StoreError::ConditionFailed.into()),
            (true, false, Some(retained)) => self.place_again(retained, error).await,
            (true, false, None) => Err(Failure::Conflict(
                "someone else changed the file during the upload, and there was no room to keep this version \
                 beside it; upload it again, or raise --journal-size"
                    .to_owned(),
            )),
        }
    }

    async fn place_again(&self, retained: RetainedBody, mut error: StoreError) -> Result<Placed, Failure> {
        let size = retained.size();
        if let Some(written) = self.is_at(&self.key, &retained).await? {
            return Ok(Placed::There { size, written });
        }
        if matches!(error, StoreError::UploadGone) {
            // Nothing may have changed: a delete at the same moment ends a conditional upload.
            match self.store_at(&retained, &self.key, &self.condition).await {
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
        if size == 0 && self.condition == Condition::IfAbsent {
            return Ok(Placed::Existing(self.store.head(&self.key).await?));
        }
        if let Some(written) = self.replace_given_up(&retained).await? {
            return Ok(Placed::There { size, written });
        }
        let (copy, etag) = self.place_beside(&retained).await?;
        Ok(Placed::Beside { size, copy, etag })
    }

    /// Stores the body over what its client had saved there and a user gave up, and S3 had got; `None`: it is something else.
    async fn replace_given_up(&self, retained: &RetainedBody) -> Result<Option<Written>, Failure> {
        let there = match self.shared.given_up.version_at(&*self.store, &self.key, &self.client).await {
            Err(error) if error.is_transient() => return Err(error.into()),
            // It changes, or is not for us to read.
            there => there.unwrap_or_default(),
        };
        let Some(etag) = there else { return Ok(None) };
        match self.store_at(retained, &self.key, &Condition::IfMatch(etag)).await {
            Err(StoreError::ConditionFailed | StoreError::NotFound) => Ok(None),
            written => Ok(Some(written?)),
        }
    }

    /// Keeps the body beside the object; a client that has lost before and saves again has one copy.
    pub(super) async fn place_beside(&self, retained: &RetainedBody) -> Result<(Key, ETag), Failure> {
        if let Some(copy) = self.change.and_then(Pending::beside)
            && let Some(written) = self.write_again(retained, &copy).await?
        {
            return Ok(self.lies(copy, written));
        }
        if let Some((copy, etag)) = &self.loser {
            self.note_copy(copy).await?;
            match self.store_at(retained, copy, &Condition::IfMatch(etag.clone())).await {
                // Somebody has changed the copy, or taken it away: it is theirs.
                Err(StoreError::ConditionFailed | StoreError::NotFound) => {}
                written => return Ok(self.lies_at(copy.clone(), written?)),
            }
        }
        if let Some(copy) = self.sent_again()
            && let Some(written) = self.is_at(&copy, retained).await?
        {
            return Ok(self.lies_at(copy, written));
        }
        let write = |copy: Key| async move {
            self.note_copy(&copy).await?;
            let written = self.store_at(retained, &copy, &Condition::IfAbsent).await;
            Ok::<_, Failure>(unless_taken(written)?)
        };
        let (copy, written) = beside(&*self.store, &self.key, write).await?;
        Ok(self.lies(copy, written))
    }

    /// Writes a copy that an earlier try may have written, whose end nobody knows; `None`: another content is there.
    async fn write_again(&self, retained: &RetainedBody, copy: &Key) -> Result<Option<Written>, Failure> {
        match unless_taken(self.store_at(retained, copy, &Condition::IfAbsent).await)? {
            None => self.is_at(copy, retained).await,
            written => Ok(written),
        }
    }

    /// Whoever makes the change after a crash, or when it was given up for being accepted, looks for the copy there.
    async fn note_copy(&self, copy: &Key) -> Result<(), Failure> {
        match self.change {
            Some(change) => self.shared.store.journal().going_beside(change, copy).await?,
            None => *self.beside.lock() = Some(copy.clone()),
        }
        Ok(())
    }

    /// Where something lies that its client has lost since this was begun: that may be this very body, sent twice.
    fn sent_again(&self) -> Option<Key> {
        let lost = self.shared.loser(&self.client, self.key.as_str())?;
        (self.loser.as_ref() != Some(&lost)).then_some(lost.0)
    }

    fn lies(&self, copy: Key, written: Written) -> (Key, ETag) {
        self.shared.report_conflict(self.key.as_str(), copy.as_str());
        self.lies_at(copy, written)
    }

    /// What was accepted may not be what its client knows any more: see [`SeenVersions::stored`].
    ///
    /// [`SeenVersions::stored`]: crate::fs::seen_versions::SeenVersions::stored
    fn lies_at(&self, copy: Key, written: Written) -> (Key, ETag) {
        if self.change.is_none() {
            let (seen_versions, key) = (&self.shared.seen_versions, self.key.as_str());
            seen_versions.lost(&self.client, key, copy.as_str(), &written.etag);
        }
        (copy, written.etag)
    }

    /// The object at `key`, if it holds this very body: what loses against itself, since an answer was lost, or against
    /// its like is no conflict. What cannot be told now is asked again.
    async fn is_at(&self, key: &Key, retained: &RetainedBody) -> Result<Option<Written>, Failure> {
        match self.compared(key, retained).await {
            Err(error) if error.is_transient() || matches!(error, StoreError::Lost(_)) => Err(error.into()),
            // It changes, or is not for us to read.
            compared => Ok(compared.unwrap_or_default()),
        }
    }

    async fn compared(&self, key: &Key, retained: &RetainedBody) -> StoreResult<Option<Written>> {
        let there = existing(self.store.head(key).await)?;
        let Some(meta) = there.filter(|meta| meta.size == retained.size()) else { return Ok(None) };
        let condition = &ReadCondition::IfMatch(meta.etag.clone());
        let there = self.store.get(GetObject { condition, ..GetObject::whole(key) }).await?;
        let is_same = is_same(retained.chunks(), there.body).await?;
        Ok(is_same.then_some(Written { etag: meta.etag, last_modified: meta.last_modified }))
    }

    /// Stores a body at a key, maybe another than it was meant for.
    pub(super) async fn store_at(
        &self,
        retained: &RetainedBody,
        key: &Key,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        retained.store(&self.shared.uploads, &self.store, key, &self.attributes, condition).await
    }
}
