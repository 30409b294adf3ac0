//! Making one change that was accepted: what it comes to in S3.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::delivery::{Delivery, Made, Placed};
use super::relocation::Relocation;
use super::{Failure, Shared};
use crate::fs::Client;
use crate::object::{Condition, Written};
use crate::state::Change;
use crate::store::StoreError;
use crate::store::journal::Pending;
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::multipart::RetainedBody;

/// A change that is made.
pub(super) struct Making<'a> {
    change: &'a Pending,
    delivery: Delivery<'a>,
}

impl<'a> Making<'a> {
    pub(super) fn new(shared: &Arc<Shared>, change: &'a Pending) -> Self {
        let writer = Client::of_row(&change.row.writer);
        let delivery = Delivery {
            shared: Arc::clone(shared),
            store: shared.store.below_journal(ATTEMPT),
            client: writer.unwrap_or_else(|| Client::new(None, HERE.into(), "")),
            key: change.key().clone(),
            attributes: change.attributes(),
            condition: change.condition().unwrap_or(Condition::IfAbsent),
            change: Some(change),
            beside: Mutex::default(),
            loser: change.loser(),
        };
        Self { change, delivery }
    }

    pub(super) async fn run(&self) -> Result<Made, Failure> {
        match &self.change.row.change {
            Change::Put { .. } => self.put().await,
            Change::Delete => self.delete().await,
            Change::Move(_) => match Relocation::new(self.change, &self.delivery) {
                Some(relocation) => relocation.run().await,
                None => Ok(Made::Otherwise),
            },
        }
    }

    async fn put(&self) -> Result<Made, Failure> {
        let Self { change, delivery } = self;
        if change.has_lost_body() {
            return Err(StoreError::Lost("its content is not on this machine's disk any more".into()).into());
        }
        let body = change.body().cloned().map_or_else(RetainedBody::nothing, RetainedBody::Kept);
        let key = delivery.key.clone();
        if delivery.condition == Condition::IfAbsent && delivery.is_covered(change.accepted()).await? {
            if key.as_str().ends_with('/') {
                return Ok(Made::Otherwise);
            }
            let (copy, etag) = delivery.place_beside(&body).await?;
            return Ok(Made::At(copy, Written { etag, last_modified: SystemTime::now() }));
        }
        Ok(match delivery.place(body).await? {
            Placed::There { written, .. } => Made::At(key, written),
            Placed::Beside { copy, etag, .. } => {
                Made::At(copy, Written { etag, last_modified: SystemTime::now() })
            }
            // What was saved on the empty file is not to be saved on somebody else's.
            Placed::Existing(_) => Made::Otherwise,
        })
    }

    async fn delete(&self) -> Result<Made, Failure> {
        let Delivery { store, key, condition, .. } = &self.delivery;
        if *condition == Condition::IfAbsent {
            // What was to be deleted did not come about.
            return Ok(Made::Otherwise);
        }
        match store.delete(key, condition).await {
            Ok(()) | Err(StoreError::NotFound) => Ok(Made::Gone),
            Err(StoreError::ConditionFailed) => Ok(Made::Otherwise),
            Err(error) => Err(error.into()),
        }
    }
}

/// For each request: whoever waits for a file is told soon that it fails.
pub(super) const ATTEMPT: RetryPolicy =
    RetryPolicy { limit: Limit::Each(Duration::from_secs(2)), for_credentials: false };
const HERE: [u8; 4] = [127, 0, 0, 1];
