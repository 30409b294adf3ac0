//! Making what was accepted: in its order, key by key, until S3 has it or refuses it.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::delivery::{Delivery, Made, Placed};
use super::relocation::Relocation;
use super::removal::keep_parent;
use super::silence::ask;
use super::{Failure, Shared};
use crate::fs::Client;
use crate::fs::error::log_failure;
use crate::logging::with_causes;
use crate::object::{Condition, Written};
use crate::state::Change;
use crate::store::StoreError;
use crate::store::journal::Pending;
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::multipart::{RetainedBody, Unfinished};

/// Makes what is pending from now on, until the end.
pub(super) fn start(shared: &Arc<Shared>) {
    if shared.options.read_only {
        return;
    }
    let (weak, stop) = (Arc::downgrade(shared), shared.shutdown.clone());
    shared.shutdown.background(async move {
        tokio::select! {
            () = stop.begun() => {}
            () = drain(weak) => {}
        }
    });
}

/// In rounds: as many at once as there may be, and a pause when one of them fails for a passing reason.
async fn drain(shared: Weak<Shared>) {
    let mut pause = Duration::ZERO;
    loop {
        let Some(shared) = shared.upgrade() else { return };
        let (first, longest) = (FIRST_PAUSE.min(shared.options.drain_pause), shared.options.drain_pause);
        let journal = shared.store.journal().clone();
        let mut has_failed = !is_reached(&shared).await;
        let mut storing = JoinSet::new();
        for change in journal.begin(if has_failed { 0 } else { PARALLEL }) {
            storing.spawn(make(Arc::clone(&shared), change));
        }
        let any = !storing.is_empty();
        while let Some(stored) = storing.join_next().await {
            has_failed |= !stored.unwrap_or(false);
        }
        drop(shared);
        if has_failed {
            pause = (pause * 2).clamp(first, longest);
            tokio::select! {
                () = sleep(pause) => {}
                // Somebody waits: but S3 is not asked all the time.
                () = async { journal.wanted().await; sleep(first).await } => {}
            }
        } else {
            pause = Duration::ZERO;
            if !any {
                journal.wanted().await;
            }
        }
    }
}

/// Whether S3 is in reach, as far as is known, or answers now. What is not begun before that is in nobody's doubt, and may
/// give way to what is accepted meanwhile.
async fn is_reached(shared: &Shared) -> bool {
    let Some(key) = shared.store.journal().next().filter(|_| shared.store.reach().is_lost()) else {
        return true;
    };
    let asked = ask(shared, &key, ATTEMPT).await;
    asked.inspect_err(|error| shared.store.journal().unreachable(&with_causes(error))).is_ok()
}

/// Makes one of them. Whether S3 could be asked.
async fn make(shared: Arc<Shared>, change: Arc<Pending>) -> bool {
    let journal = shared.store.journal();
    match Making::new(&shared, &change).run().await {
        Ok(Made::At(key, written)) => {
            if let Some(from) = change.from() {
                let store = shared.store.namespace(ATTEMPT);
                log_failure(keep_parent(&store, &shared, from.as_str()).await);
            }
            let etag = &written.etag;
            shared.seen_versions.stored(&change.etag(), key.as_str(), etag);
            shared.seen_versions.dates(key.as_str(), etag, written.last_modified);
            journal.ended(&change, &key, Some(&written)).await;
            tracing::info!(%key, "what was saved on this machine is stored in S3");
            true
        }
        Ok(Made::Gone) => {
            let store = shared.store.namespace(ATTEMPT);
            log_failure(keep_parent(&store, &shared, change.key().as_str()).await);
            journal.ended(&change, change.key(), None).await;
            true
        }
        Ok(Made::Otherwise) => {
            journal.ended(&change, change.key(), None).await;
            undo(&shared, &change).await;
            tracing::warn!(
                key = %change.key(),
                "someone else has changed what was deleted or moved, or made something where it was to be, while S3 was \
                 away; theirs stays, and nothing is done"
            );
            shared.metrics.conflict();
            true
        }
        Err(Failure::Store(error)) if !is_refusal(&error) => {
            let why = with_causes(&error);
            tracing::info!(key = %change.key(), error = why, "a change waits for S3 on this machine");
            journal.failed(&change, &why);
            false
        }
        Err(failure) => {
            let why = with_causes(&failure);
            tracing::warn!(key = %change.key(), error = why, "S3 refuses a change, which is kept on this machine");
            journal.refused(&change, why);
            true
        }
    }
}

/// What went along with a change that came to nothing.
async fn undo(shared: &Shared, change: &Pending) {
    let key = change.key().as_str();
    if let Some(from) = change.from() {
        log_failure(shared.state.transfer_properties(key, from.as_str(), false).await);
        shared.dates.touch_parent(from.as_str());
    }
    shared.dates.touch_parent(key);
}

/// A change that is made.
struct Making<'a> {
    change: &'a Pending,
    delivery: Delivery,
}

impl<'a> Making<'a> {
    fn new(shared: &Arc<Shared>, change: &'a Pending) -> Self {
        let writer = Client::of_row(&change.row.writer);
        let delivery = Delivery {
            shared: Arc::clone(shared),
            store: shared.store.below_journal(ATTEMPT),
            client: writer.unwrap_or_else(|| Client::new(None, HERE.into(), "")),
            key: change.key().clone(),
            attributes: change.attributes(),
            condition: change.condition().unwrap_or(Condition::IfAbsent),
        };
        Self { change, delivery }
    }

    async fn run(&self) -> Result<Made, Failure> {
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
        let body = || change.body().cloned().map_or_else(RetainedBody::nothing, RetainedBody::Kept);
        let key = delivery.key.clone();
        if delivery.condition == Condition::IfAbsent && delivery.is_covered().await? {
            if key.as_str().ends_with('/') {
                return Ok(Made::Otherwise);
            }
            let (copy, etag) = delivery.place_beside(&body()).await?;
            return Ok(Made::At(copy, Written { etag, last_modified: SystemTime::now() }));
        }
        let error = match delivery.store_at(&body(), &key, &delivery.condition).await {
            Ok(written) => return Ok(Made::At(key, written)),
            Err(error) => error,
        };
        let placed = delivery.settle(Unfinished { error, retained: Some(body()) }, false).await?;
        Ok(match placed {
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

/// Whether S3 will not take it, whenever it is asked: somebody must see to it.
fn is_refusal(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::AccessDenied(_)
            | StoreError::Rejected(_)
            | StoreError::TooLarge(_)
            | StoreError::InvalidKey(_)
            | StoreError::Unsupported(_)
            | StoreError::ChecksumDemanded(_)
            | StoreError::SettingRefused { .. }
            | StoreError::InvalidBucket(_)
            | StoreError::Lost(_)
            | StoreError::ConditionFailed
            | StoreError::Archived(_)
    )
}

/// For each request: whoever waits for a file is told soon that it fails.
const ATTEMPT: RetryPolicy =
    RetryPolicy { limit: Limit::Each(Duration::from_secs(2)), for_credentials: false };
const HERE: [u8; 4] = [127, 0, 0, 1];
/// Files at once: small ones take a round trip each, and large ones are sent in parts at once anyway.
const PARALLEL: usize = 4;
/// Between two attempts, at the begin of an outage.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
