//! Making what was accepted: in its order, key by key, until S3 has it or refuses it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::delivery::Made;
use super::making::{ATTEMPT, Making};
use super::removal::keep_parent;
use super::silence::ask;
use super::undo::undo;
use super::{Failure, Shared};
use crate::fs::error::log_failure;
use crate::logging::with_causes;
use crate::object::{ByteRange, Condition, DeleteTarget, ETag, Key, Written, parent_prefix};
use crate::shutdown::Shutdown;
use crate::store::journal::{Journal, Pending};
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::multipart::Uploads;
use crate::store::reach::Reach;
use crate::store::{GetObject, StoreError};

/// Makes what is pending from now on, until the end.
pub(super) fn start(shared: &Arc<Shared>) {
    if shared.options.read_only {
        return;
    }
    let (draining, stop) = (Draining::of(shared), shared.shutdown.clone());
    let (patience, shared) = (shared.options.drain_timeout, Arc::downgrade(shared));
    stop.clone().background(async move {
        tokio::select! {
            () = draining.run() => {}
            () = async { stop.quiet().await; sleep(patience).await } => {}
        }
        stop.quiet().await;
        if let Some(shared) = shared.upgrade() {
            leave(&shared).await;
        }
    });
}

/// Waits for what goes on beside it at the end, as long as S3 is there.
async fn leave(shared: &Shared) {
    let stop = &shared.shutdown;
    while !stop.is_last() {
        sleep(LOOK).await;
        if shared.store.reach().is_lost() && !answers(shared).await {
            stop.cut();
        }
    }
}

/// Whether S3 answers now.
async fn answers(shared: &Shared) -> bool {
    let key = shared.store.journal().next().map_or_else(|| Key::new(ASKED), Ok);
    match key {
        Ok(key) => ask(shared, &key, ATTEMPT).await.is_ok(),
        Err(_) => true,
    }
}

/// What makes changes: as many at once as there may be, and with a pause when one of them fails for a passing reason.
struct Draining {
    shared: Weak<Shared>,
    /// The program ends.
    stop: Shutdown,
    making: JoinSet<bool>,
    /// Between two attempts; it grows.
    pause: Duration,
}

impl Draining {
    fn of(shared: &Arc<Shared>) -> Self {
        let (making, pause) = (JoinSet::new(), Duration::ZERO);
        Self { shared: Arc::downgrade(shared), stop: shared.shutdown.clone(), making, pause }
    }

    /// Goes on until the program ends; then until the last request has ended and nothing is left, or the first fails: what
    /// remains is kept.
    async fn run(mut self) {
        let mut at_the_end = None;
        while let Some(shared) = self.shared.upgrade() {
            let journal = shared.store.journal().clone();
            let (is_ending, is_quiet) = (self.stop.has_begun(), self.stop.is_quiet());
            if is_ending {
                journal.hurry();
                at_the_end = Some(Arc::clone(&shared));
            }
            give_way(&shared).await;
            let is_reached = is_reached(&shared, !self.pause.is_zero()).await;
            if is_reached {
                self.begin(&shared);
            }
            if is_quiet && self.making.is_empty() {
                break;
            }
            let (options, reach, uploads) =
                (shared.options, shared.store.reach().clone(), shared.uploads.clone());
            drop(shared);
            let work = (&journal, &uploads);
            if is_reached && self.made(work, at_the_end.as_deref(), is_quiet).await {
                self.pause = Duration::ZERO;
            } else if is_ending {
                break;
            } else {
                self.rest(&journal, &reach, options.drain_pause).await;
            }
        }
        self.finish(at_the_end.as_deref()).await;
    }

    /// What is being made comes to its end, unless S3 has fallen silent.
    async fn finish(&mut self, at_the_end: Option<&Shared>) {
        while !self.making.is_empty() {
            tokio::select! {
                _ = self.making.join_next() => {}
                () = sleep(SILENCE) => if let Some(shared) = at_the_end && !answers(shared).await {
                    self.making.shutdown().await;
                }
            }
        }
    }

    fn begin(&mut self, shared: &Arc<Shared>) {
        shared.uploads.abort_needless(|| shared.store.below_journal(LEFT_OVER));
        for group in shared.store.journal().begin(PARALLEL.saturating_sub(self.making.len())) {
            self.making.spawn(make_all(Arc::clone(shared), group));
        }
    }

    /// Waits until one is made, or more can be. Whether S3 could be asked.
    async fn made(
        &mut self,
        (journal, uploads): (&Journal, &Uploads),
        at_the_end: Option<&Shared>,
        is_quiet: bool,
    ) -> bool {
        let has_room = self.making.len() < PARALLEL;
        tokio::select! {
            () = sleep(SILENCE), if at_the_end.is_some() => match at_the_end {
                Some(shared) => answers(shared).await,
                None => true,
            },
            Some(made) = self.making.join_next() => made.unwrap_or(false),
            () = journal.wanted(), if has_room && !is_quiet => true,
            () = uploads.doubted(), if !is_quiet => true,
            () = self.stop.begun(), if at_the_end.is_none() => true,
            () = self.stop.quiet(), if !is_quiet => true,
        }
    }

    /// Begins nothing for a while; those that are being made go on, and the next pause is for all that fail in this one.
    async fn rest(&mut self, journal: &Journal, reach: &Reach, longest: Duration) {
        let first = FIRST_PAUSE.min(longest);
        self.pause = (self.pause * 2).clamp(first, longest);
        tokio::select! {
            () = sleep(self.pause) => {}
            // Somebody waits: but S3 is not asked all the time.
            () = async { journal.asked().await; sleep(first).await } => {}
            () = reach.back() => {}
            () = self.stop.begun() => {}
        }
        while self.making.try_join_next().is_some() {}
    }
}

/// Whether S3 is in reach, as far as is known, or answers now. What is not begun before that is in nobody's doubt, and may
/// give way to what is accepted meanwhile.
async fn is_reached(shared: &Shared, has_failed: bool) -> bool {
    let is_doubtful = has_failed || shared.store.reach().is_lost();
    let Some(key) = shared.store.journal().next().filter(|_| is_doubtful) else { return true };
    let asked = ask(shared, &key, ATTEMPT).await;
    asked.inspect_err(|error| shared.store.journal().unreachable(&with_causes(error))).is_ok()
}

/// Makes what is to be made together. Whether S3 could be asked.
async fn make_all(shared: Arc<Shared>, mut group: Vec<Arc<Pending>>) -> bool {
    match (group.pop(), group.is_empty()) {
        (None, _) => true,
        (Some(only), true) => {
            let making = Making::new(&shared, &only);
            match only.unless_given_up(making.run()).await {
                Some(made) => conclude(&shared, &only, made).await,
                None => {
                    shared.store.journal().left(&only);
                    true
                }
            }
        }
        (Some(last), false) => {
            group.push(last);
            delete_all(&shared, group).await
        }
    }
}

/// Deletes files in one request. Whether S3 could be asked.
async fn delete_all(shared: &Arc<Shared>, group: Vec<Arc<Pending>>) -> bool {
    let (mut is_asked, mut targets, mut to_delete) = (true, Vec::new(), Vec::new());
    for change in group {
        if let Some(Condition::IfMatch(etag)) = change.condition() {
            targets.push(DeleteTarget { key: change.key().clone(), etag: Some(etag) });
            to_delete.push(change);
        } else {
            // What was to be deleted did not come about.
            is_asked &= conclude(shared, &change, Ok(Made::Otherwise)).await;
        }
    }
    let group = to_delete;
    let deleted = shared.store.below_journal(ATTEMPT).delete_many(&targets).await;
    if let Err(error) = &deleted
        && error.is_transient()
    {
        let why = with_causes(error);
        group.iter().for_each(|change| shared.store.journal().failed(change, &why));
        return false;
    }
    let Ok(failed) = deleted else {
        // Each has its own reason.
        for change in &group {
            let made = Making::new(shared, change).run().await;
            is_asked &= conclude(shared, change, made).await;
        }
        return is_asked;
    };
    let mut failed: HashMap<Key, StoreError> = failed.into_iter().collect();
    let (mut gone, mut parents) = (Vec::new(), BTreeMap::new());
    for change in group {
        match failed.remove(change.key()) {
            None | Some(StoreError::NotFound) => {
                parents.insert(parent_prefix(change.key().as_str()).to_owned(), change.key().clone());
                gone.push(change);
            }
            Some(StoreError::ConditionFailed) => {
                is_asked &= conclude(shared, &change, Ok(Made::Otherwise)).await;
            }
            Some(error) => is_asked &= conclude(shared, &change, Err(error.into())).await,
        }
    }
    for key in parents.values() {
        keep_parent_of(shared, key).await;
    }
    shared.store.journal().all_ended(&gone).await;
    is_asked
}

/// The folder that something was deleted in, or moved out of, stays.
async fn keep_parent_of(shared: &Arc<Shared>, key: &Key) {
    let store = shared.store.namespace(ATTEMPT);
    log_failure(keep_parent(&store, shared, key.as_str()).await);
}

/// Takes note of what became of one of them. Whether S3 could be asked.
async fn conclude(shared: &Arc<Shared>, change: &Arc<Pending>, made: Result<Made, Failure>) -> bool {
    let journal = shared.store.journal();
    let made = match made {
        Err(failure) => Err(explained(shared, change, failure).await),
        made => made,
    };
    match made {
        Ok(Made::At(key, written)) => {
            if let Some(from) = change.from() {
                keep_parent_of(shared, from).await;
                if key != *change.key() {
                    bring_properties(shared, change.key(), &key).await;
                }
            }
            let etag = &written.etag;
            note_stored(shared, change, &key, etag);
            shared.seen_versions.dates(key.as_str(), etag, written.last_modified);
            journal.ended(change, &key, Some(&written)).await;
            tracing::info!(%key, "what was accepted on this machine is in S3");
            true
        }
        Ok(Made::Gone) => {
            keep_parent_of(shared, change.key()).await;
            journal.ended(change, change.key(), None).await;
            true
        }
        Ok(Made::Otherwise) => {
            journal.ended(change, change.key(), None).await;
            undo(shared, change).await;
            tracing::warn!(
                key = %change.key(),
                "someone else has changed what was deleted or moved, or made something where it was to be, while S3 was \
                 away; theirs stays, and nothing is done"
            );
            shared.metrics.conflict();
            true
        }
        Err(failure) if may_pass(&failure) => {
            let why = with_causes(&failure);
            tracing::info!(key = %change.key(), error = why, "a change waits for S3 on this machine");
            journal.failed(change, &why);
            false
        }
        Err(failure) => {
            let why = with_causes(&failure);
            tracing::warn!(key = %change.key(), error = why, "S3 refuses a change, which is kept on this machine");
            journal.refused(change, why);
            true
        }
    }
}

/// The properties that went along when a move was accepted are those of what lies beside now; a try before a crash may have
/// brought them.
async fn bring_properties(shared: &Shared, meant: &Key, place: &Key) {
    let state = &shared.state;
    if state.properties(meant.as_str()).await.is_ok_and(|own| !own.is_empty()) {
        log_failure(state.transfer_properties(meant.as_str(), place.as_str(), false).await);
    }
}

/// It is at `key`. The journal knows first: whoever saves on it by its new name builds on what is pending still.
fn note_stored(shared: &Shared, change: &Pending, key: &Key, etag: &ETag) {
    shared.store.journal().is_stored_as(change, etag);
    shared.seen_versions.stored(&change.etag(), (change.key().as_str(), key.as_str()), etag);
}

/// Whether a change may be made later that fails so now.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Store(error) => !error.is_refusal(),
        // This machine's disk may have room again.
        Failure::State(_) => true,
        _ => false,
    }
}

/// Undoes what S3 refuses, has no content, and holds something up.
async fn give_way(shared: &Shared) {
    let journal = shared.store.journal();
    for change in journal.give_way().await {
        let key = change.key();
        if let Some((place, etag)) = change.copied_to() {
            note_stored(shared, &change, &place, &etag);
            journal.ended(&change, &place, Some(&Written { etag, last_modified: SystemTime::now() })).await;
            tracing::warn!(%key, "S3 refuses to delete what was moved here: it is at both of its names");
        } else {
            journal.ended(&change, key, None).await;
            undo(shared, &change).await;
            tracing::warn!(%key, "S3 refuses to delete or to move a file, and more is to become of it: it stays as it was");
        }
    }
}

/// Why S3 refuses a change: HEAD's answer has no body to say so, and what it refuses then may pass.
async fn explained(shared: &Shared, change: &Pending, failure: Failure) -> Failure {
    if !matches!(&failure, Failure::Store(error) if error.is_unexplained()) {
        return failure;
    }
    let (first_byte, store) = (ByteRange { first: 0, last: Some(0) }, shared.store.below_journal(ATTEMPT));
    let request = GetObject { range: Some(first_byte), ..GetObject::whole(change.key()) };
    match store.get(request).await {
        Err(error)
            if error.is_transient() || error.is_refusal() || matches!(error, StoreError::Credentials(_)) =>
        {
            error.into()
        }
        // It has passed.
        _ => StoreError::Unavailable("S3 refused it, and answers now".into()).into(),
    }
}

/// Nobody waits for what is left over.
const LEFT_OVER: RetryPolicy =
    RetryPolicy { limit: Limit::Each(Duration::from_secs(600)), for_credentials: true };
/// At the end, without anything made: then S3 is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(2);
/// How often it is looked at the end whether anything goes on.
const LOOK: Duration = Duration::from_millis(100);
/// A name that nobody has to have.
const ASKED: &str = "s3dav";
/// Changes at once: small ones take a round trip each, and large files are sent in parts at once anyway.
const PARALLEL: usize = 8;
/// Between two attempts, at the begin of an outage.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
