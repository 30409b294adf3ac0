//! Making a move that was accepted: the object is copied, and then deleted where it was.
//!
//! What is moved is as it was when that was accepted, or nothing is done. It comes beside what others have put at its
//! destination meanwhile. That the copy is there is noted on disk before its source is deleted, so that a kill in between is gone
//! on from.

use std::time::SystemTime;

use super::Failure;
use super::conflict::beside;
use super::delivery::{Delivery, Made};
use crate::object::{Condition, ETag, Key, ReadCondition, Written};
use crate::store::comparing::is_same;
use crate::store::journal::Pending;
use crate::store::{CopyObject, CopySource, GetObject, StoreError, StoreResult, existing};

/// See the module.
pub(super) struct Relocation<'a> {
    change: &'a Pending,
    /// To where it is to be.
    delivery: &'a Delivery<'a>,
    /// What is moved.
    source: CopySource,
    version: ETag,
}

impl<'a> Relocation<'a> {
    /// `None`: there is nothing to move.
    pub(super) fn new(change: &'a Pending, delivery: &'a Delivery<'a>) -> Option<Self> {
        let (moved, from) = (change.row.moved()?, change.from()?);
        let Some(Condition::IfMatch(version)) = change.source_condition() else { return None };
        let source = CopySource {
            key: from.clone(),
            address: delivery.store.address(from),
            etag: Some(version.clone()),
            size: moved.size,
            storage_class: moved.storage_class.clone(),
        };
        Some(Self { change, delivery, source, version })
    }

    pub(super) async fn run(&self) -> Result<Made, Failure> {
        let Some((to, copy)) = self.copied().await? else { return Ok(Made::Otherwise) };
        let from = &self.source.key;
        match self.delivery.store.delete(from, &Condition::IfMatch(self.version.clone())).await {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(StoreError::ConditionFailed) => {
                tracing::warn!(%from, "someone else has changed a file while it was moved; theirs stays");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Made::At(to, copy))
    }

    /// The copy, and where it is; `None`: what is moved is not what it was.
    async fn copied(&self) -> Result<Option<(Key, Written)>, Failure> {
        let Delivery { shared, store, key: to, .. } = self.delivery;
        if let Some((place, etag)) = self.change.copied_to() {
            let there = existing(store.head(&place).await)?;
            let last_modified = there.map_or_else(SystemTime::now, |there| there.last_modified);
            return Ok(Some((place, Written { etag, last_modified })));
        }
        // What has lost once goes on with that.
        let has_lost = self.change.beside().is_some();
        let copy = if has_lost { None } else { self.copy().await? };
        let placed = match copy {
            Some(copy) => (to.clone(), copy),
            None => {
                let Some(placed) = self.copy_beside().await? else { return Ok(None) };
                shared.report_conflict(to.as_str(), placed.0.as_str());
                placed
            }
        };
        shared.store.journal().copied(self.change, &placed.1.etag).await?;
        Ok(Some(placed))
    }

    async fn copy(&self) -> Result<Option<Written>, Failure> {
        let Delivery { store, key: to, condition, .. } = self.delivery;
        if *condition == Condition::IfAbsent && self.delivery.is_covered(self.change.accepted()).await? {
            return Ok(None);
        }
        let copy = self.copy_to(to, condition).await?;
        let is_gone =
            copy.is_none() && *condition != Condition::IfAbsent && existing(store.head(to).await)?.is_none();
        // What it was to replace was deleted.
        if is_gone { self.copy_to(to, &Condition::IfAbsent).await } else { Ok(copy) }
    }

    /// Copies it beside what somebody else has put at its destination, or over what its client had lost there before.
    async fn copy_beside(&self) -> Result<Option<(Key, Written)>, Failure> {
        let Delivery { shared, store, key: to, loser, .. } = self.delivery;
        if let Some(copy) = self.change.beside()
            && let Some(written) = self.copy_to(&copy, &Condition::IfAbsent).await?
        {
            return Ok(Some((copy, written)));
        }
        let there = existing(store.head(&self.source.key).await)?;
        if there.is_none_or(|there| there.etag != self.version) {
            return Ok(None);
        }
        let journal = shared.store.journal();
        if let Some((copy, etag)) = loser.as_ref().filter(|(copy, _)| *copy != self.source.key) {
            journal.going_beside(self.change, copy).await?;
            if let Some(written) = self.copy_to(copy, &Condition::IfMatch(etag.clone())).await? {
                return Ok(Some((copy.clone(), written)));
            }
        }
        let write = |copy: Key| async move {
            // What is moved may have such a name itself.
            if copy == self.source.key {
                return Ok(None);
            }
            journal.going_beside(self.change, &copy).await?;
            self.copy_to(&copy, &Condition::IfAbsent).await
        };
        match beside(&**store, to, write).await {
            // It changes all the time.
            Err(Failure::Store(StoreError::ConditionFailed)) => Ok(None),
            placed => Ok(Some(placed?)),
        }
    }

    async fn copy_to(&self, to: &Key, condition: &Condition) -> Result<Option<Written>, Failure> {
        let Delivery { shared, store, .. } = self.delivery;
        let request = CopyObject { source: &self.source, to, condition };
        match shared.uploads.copy(store, request).await {
            Ok(written) => Ok(Some(written)),
            // Whoever made it before may have come so far.
            Err(StoreError::ConditionFailed | StoreError::NotFound) => Ok(self.is_there(to).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// The destination, if it is what is moved.
    async fn is_there(&self, to: &Key) -> StoreResult<Option<Written>> {
        let store = &self.delivery.store;
        let Some(there) = existing(store.head(to).await)?.filter(|there| there.size == self.source.size)
        else {
            return Ok(None);
        };
        let is_it = there.etag == self.version || self.is_same_as(to, &there.etag).await?;
        Ok(is_it.then_some(Written { etag: there.etag, last_modified: there.last_modified }))
    }

    /// Whether the content of both ends is the same. ETags of what was put together of parts tell nothing.
    async fn is_same_as(&self, to: &Key, version: &ETag) -> StoreResult<bool> {
        let open = |key, version: &ETag| {
            let condition = ReadCondition::IfMatch(version.clone());
            async move {
                let request = GetObject { condition: &condition, ..GetObject::whole(key) };
                self.delivery.store.get(request).await
            }
        };
        match (open(&self.source.key, &self.version).await, open(to, version).await) {
            (Ok(source), Ok(there)) => is_same(source.body, there.body).await,
            (Err(error), _) | (_, Err(error)) if error.is_transient() => Err(error),
            _ => Ok(false),
        }
    }
}
