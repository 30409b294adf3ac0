//! Changes of files that were accepted while the store took nothing, and are made later.
//!
//! Each is a row, and a body if there is a content, on this machine's disk; both are synced before it is accepted, and what
//! it makes of the file is shown to everybody who asks this gateway ([`WithJournal`]). Changes of one key are made in the
//! order in which they were accepted; one that builds on another is made on the condition that the other is there. One that
//! nobody has begun to make may give way to another that makes it needless. A move is one change of two keys, and has its
//! turn when it is the first of both. Whoever makes them says what became of each.

mod accepting;
mod bodies;
mod chains;
mod change;
mod contents;
mod operating;
mod ready;
mod rebasing;
mod turns;
mod wrapper;
mod yielding;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::{StoreError, StoreResult};
use crate::logging::with_causes;
use crate::named::names;
use crate::object::{ETag, Key, Written};
use crate::spool::{Bodies, BodyCopy, KeptBody};
use crate::state::{AcceptedRow, Change, LeftChange, State, StateError};
use crate::sync::{KeyedGuard, KeyedLock, blocking};

pub use accepting::{AcceptError, MovedFile, NewFile, Writer, is_unstored};
pub use change::{Pending, Told};
pub use contents::MadeVersion;
pub use operating::{Discarded, SaveError};
pub use wrapper::WithJournal;

use bodies::{body_of, claim, disown, remove, sweep};
use chains::{Chains, End};

/// What becomes of a save that its client cannot be told of while S3 is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOutage {
    Keep,
    Fail,
}

names!(OnOutage {
    Keep = "keep": "accept them on this machine's disk, and store them later",
    Fail = "fail": "wait for S3",
});

/// When a change is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    #[default]
    Store,
    Journal,
}

names!(Durability {
    Store = "store": "when S3 has it",
    Journal = "journal": "when it is synced on this machine's disk; S3 gets it after",
});

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: State,
    bodies: Bodies,
    chains: Mutex<Chains>,
    /// Held while a change of a key is accepted, or ends.
    turns: KeyedLock<Key>,
    /// What accepted files were stored as, by what clients were told.
    stored_as: Cache<ETag, ETag>,
    /// For whoever waits for a key.
    changes: watch::Sender<u64>,
    /// For whoever makes them: there is more, or somebody waits.
    wanted: Notify,
}

impl Journal {
    /// Takes up what an earlier life accepted. What is accepted from now on waits for `delay`, unless somebody waits for it:
    /// what follows may make it needless.
    pub async fn load(state: State, bodies: Bodies, left: Vec<LeftChange>, delay: Duration) -> Self {
        let mut chains = Chains::resting(delay);
        for LeftChange { row, since, refused } in &left {
            let body = body_of(&bodies, row).await;
            let lost = body.as_ref().err().map(|error| format!("its content is lost: {error}"));
            let Ok(pending) = Pending::new(row.clone(), *since, body.unwrap_or_default()) else { continue };
            let refused = lost.clone().or(refused.clone());
            if lost.is_some() || refused.is_none() {
                state.note_refusal(row.number, lost);
            }
            refused.into_iter().for_each(|why| pending.set_refused(why));
            // That life may have begun to make it.
            chains.push(pending.begun());
        }
        chains.ground();
        sweep(&bodies, left).await;
        let stored_as = Cache::builder().max_capacity(MOST_STORED).time_to_live(STORED_TIME).build();
        let (turns, changes, wanted) = (KeyedLock::default(), watch::Sender::new(0), Notify::new());
        let chains = Mutex::new(chains);
        Self(Arc::new(Inner { state, bodies, chains, turns, stored_as, changes, wanted }))
    }

    /// A place for a body that may be accepted, of which at least `length` bytes come; `None`: there is no room.
    pub async fn copy(&self, length: u64) -> Option<BodyCopy> {
        let bodies = self.0.bodies.clone();
        let copy = blocking(move || bodies.copy(length)).await.map_err(io::Error::from);
        let copy = copy.flatten();
        copy.inspect_err(|error| tracing::info!(%error, "what is saved cannot be kept on this machine")).ok()
    }

    /// The key of something that waits to be made.
    pub fn next(&self) -> Option<Key> {
        self.0.chains.lock().waiting().next().map(|head| head.key().clone())
    }

    /// The store is out of reach: nothing was begun.
    pub fn unreachable(&self, why: &str) {
        {
            let mut chains = self.0.chains.lock();
            let waiting: Vec<_> = chains.waiting().cloned().collect();
            waiting.iter().for_each(|head| chains.set_failed(head, why));
        }
        self.note_change();
    }

    /// What can be made now, in the order in which it was accepted: `most` changes, and deletions together. What is returned
    /// is under way.
    pub fn begin(&self, most: usize) -> Vec<Vec<Arc<Pending>>> {
        self.0.chains.lock().begin(most)
    }

    /// Nothing rests any more.
    pub fn hurry(&self) {
        if self.0.chains.lock().hurry_all() {
            self.0.wanted.notify_one();
        }
    }

    /// The store has it as this, and it may be pending for a moment still.
    pub fn is_stored_as(&self, change: &Pending, etag: &ETag) {
        self.0.stored_as.insert(change.etag(), etag.clone());
    }

    /// It has come to its end: the object is at `key`, which may be another than it was meant for; or there is none of it,
    /// since it is deleted, or somebody else's is there.
    pub async fn ended(&self, change: &Pending, key: &Key, written: Option<&Written>) {
        let etag = written.map(|written| &written.etag);
        etag.iter().for_each(|etag| self.is_stored_as(change, etag));
        let _turns = self.turns_of(&[change]).await;
        let end = match etag {
            Some(etag) if key == change.key() => End::Stored(etag),
            Some(_) => End::Lost,
            None => End::Open,
        };
        let followers = {
            let chains = self.0.chains.lock();
            let mut rows = chains.followers(change, key, etag);
            chains.note_losing(&mut rows, change, end);
            rows
        };
        self.end(&[change], &followers).await;
    }

    /// The same of several that are deleted, or of which others' are there.
    pub async fn all_ended(&self, changes: &[Arc<Pending>]) {
        let changes: Vec<&Pending> = changes.iter().map(|change| &**change).collect();
        let _turns = self.turns_of(&changes).await;
        self.end(&changes, &[]).await;
    }

    /// What is moved is where it is to be, as `copy`. Its source may be deleted when this returns.
    pub async fn copied(&self, change: &Pending, copy: &ETag) -> Result<(), StateError> {
        let mut row = change.row_now();
        if let Change::Move(moved) = &mut row.change {
            moved.copied = Some(copy.quoted().to_owned());
        }
        self.0.state.note_progress(&row).await?;
        change.set_copied(copy);
        Ok(())
    }

    /// It loses, and is going to lie beside, at `copy`: whoever makes it after a crash looks there first.
    pub async fn going_beside(&self, change: &Pending, copy: &Key) -> Result<(), StateError> {
        change.set_beside(copy);
        self.0.state.note_progress(&change.row_now()).await
    }

    /// The turns of all keys that changes, and what may build on them, have: a move may build on two.
    async fn turns_of(&self, changes: &[&Pending]) -> Vec<KeyedGuard> {
        self.turns_of_keys(|chains| chains.touched(changes)).await
    }

    /// The turns of what `touched` tells of, which may become more while they are waited for.
    async fn turns_of_keys(&self, touched: impl Fn(&Chains) -> BTreeSet<Key>) -> Vec<KeyedGuard> {
        loop {
            let keys = touched(&self.0.chains.lock());
            let turns = self.turns(keys.iter()).await;
            if touched(&self.0.chains.lock()).is_subset(&keys) {
                return turns;
            }
        }
    }

    /// The turns of keys, in an order that everybody has.
    async fn turns(&self, keys: impl Iterator<Item = &Key>) -> Vec<KeyedGuard> {
        let mut turns = Vec::new();
        for key in keys.collect::<BTreeSet<_>>() {
            turns.push(self.0.turns.lock(key.clone()).await);
        }
        turns
    }

    /// Whoever made it has stopped, since it is given up.
    pub fn left(&self, change: &Pending) {
        self.0.chains.lock().set_waiting(change);
        self.note_change();
    }

    /// The store could not be asked.
    pub fn failed(&self, change: &Pending, why: &str) {
        self.0.chains.lock().set_failed(change, why);
        self.note_change();
    }

    /// The store will not take it, whenever it is asked.
    pub fn refused(&self, change: &Pending, why: String) {
        self.0.state.note_refusal(change.row.number, Some(why.clone()));
        self.0.chains.lock().set_refused(change, why);
        self.note_change();
    }

    /// What was accepted of a key before was replaced by what its client wrote over it. What was accepted meanwhile stays.
    async fn superseded(&self, changes: &[Arc<Pending>], written: &Written) {
        changes.iter().for_each(|change| self.0.stored_as.insert(change.etag(), written.etag.clone()));
        let refs: Vec<&Pending> = changes.iter().map(|change| &**change).collect();
        let _turns = self.turns_of(&refs).await;
        let beyond = self.0.chains.lock().beyond(changes, &written.etag);
        self.end(&refs, &beyond).await;
    }

    /// These are not pending any more, and `changed` are others now.
    async fn end(&self, changes: &[&Pending], changed: &[AcceptedRow]) {
        self.end_and_renew(changes, changed, Vec::new()).await;
    }

    /// The same, where others have another row and body now, and may be tried again.
    async fn end_and_renew(
        &self,
        changes: &[&Pending],
        changed: &[AcceptedRow],
        renewed: Vec<(AcceptedRow, Option<KeptBody>)>,
    ) {
        let numbers: Vec<u64> = changes.iter().map(|change| change.row.number).collect();
        for change in changes {
            disown(change.body()).await;
        }
        renewed.iter().for_each(|(row, _)| self.0.state.note_refusal(row.number, None));
        let mut rows: Vec<_> = changed.iter().chain(renewed.iter().map(|(row, _)| row)).cloned().collect();
        let left_over = self.0.chains.lock().left_over(&numbers, &rows);
        rows.extend_from_slice(&left_over);
        let ended = self.0.state.end_accepted(&numbers, &rows).await;
        for (_, body) in &renewed {
            claim(body.as_ref()).await;
        }
        {
            let mut chains = self.0.chains.lock();
            changes.iter().for_each(|change| chains.remove(change));
            changed.iter().chain(&left_over).for_each(|row| chains.replace(row));
            renewed.into_iter().for_each(|(row, body)| chains.renew(&row, body));
        }
        for change in changes {
            match &ended {
                Ok(()) => self.release(change).await,
                // The next start finds that the store has it.
                Err(error) => {
                    let (key, error) = (change.key(), with_causes(error));
                    tracing::warn!(%key, error, "cannot record on disk that a file is stored");
                }
            }
        }
        self.note_change();
        self.0.wanted.notify_one();
    }

    /// Deletes the body of what is not pending any more, unless something else needs it.
    async fn release(&self, change: &Pending) {
        let is_needed = |body: &&KeptBody| self.0.chains.lock().needs(body);
        remove(change.body().filter(|body| !is_needed(body))).await;
    }

    /// Waits until nothing of `key` is on its way, or until that fails, or for [`SETTLE`].
    async fn settle(&self, key: &Key) -> StoreResult<()> {
        let end = Instant::now() + SETTLE;
        let mut changes = self.0.changes.subscribe();
        // Each is told of its own failures.
        let mut first: Option<(u64, u32)> = None;
        loop {
            let Some(head) = self.head(key) else { return Ok(()) };
            let number = head.row.number;
            let tries = match first {
                Some((of, tries)) if of == number => tries,
                _ => head.tries(),
            };
            first = Some((number, tries));
            if self.0.chains.lock().hurry(&head) {
                self.0.wanted.notify_one();
            }
            if let Some(why) = head.refusal().filter(|_| !head.is_in_the_way()) {
                return Err(StoreError::Rejected(why.into()));
            }
            if head.tries() > tries {
                return Err(StoreError::Unavailable(head.failure().into()));
            }
            // Its sender lives in `self`.
            if timeout_at(end, changes.changed()).await.is_err() {
                return Err(StoreError::EarlierChange);
            }
        }
    }

    /// Whether anything of a folder, or of what is in it, is pending.
    pub fn has_below(&self, prefix: &str) -> bool {
        self.0.chains.lock().any_below(prefix).is_some()
    }

    /// Whether this version of `key` is pending.
    pub fn has_version(&self, key: &Key, etag: &ETag) -> bool {
        self.0.chains.lock().all(key).iter().any(|change| change.etag() == *etag)
    }

    /// Whether anything of `key` is pending.
    pub fn has(&self, key: &Key) -> bool {
        self.head(key).is_some()
    }

    /// Waits until nothing of a folder and of what is in it is on its way, or until that fails.
    async fn settle_below(&self, prefix: &str) -> StoreResult<()> {
        loop {
            let Some(key) = self.0.chains.lock().any_below(prefix) else { return Ok(()) };
            self.settle(&key).await?;
        }
    }

    /// The first that is to be made of `key`.
    fn head(&self, key: &Key) -> Option<Arc<Pending>> {
        self.0.chains.lock().first(key)
    }

    /// Waits until something is accepted, or somebody waits for it.
    pub async fn asked(&self) {
        self.0.wanted.notified().await;
    }

    /// The same, or until something has rested long enough.
    pub async fn wanted(&self) {
        let due = self.0.chains.lock().next_due();
        match due {
            Some(due) => tokio::time::timeout(due, self.0.wanted.notified()).await.unwrap_or(()),
            None => self.0.wanted.notified().await,
        }
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.0.chains.lock().is_empty()
    }

    /// How many are pending, and how many bytes they have on this machine's disk.
    pub fn count(&self) -> (u64, u64) {
        self.0.chains.lock().count()
    }

    fn note_change(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Of what is accepted where that is asked for: a program that saves twice does so within this time.
pub const DELAY: Duration = Duration::from_secs(2);
/// Whoever may wait longer, by the budget of its request, asks again: a large file is on its way for hours.
const SETTLE: Duration = Duration::from_secs(5);
/// As long as a client may remember what it was told.
const STORED_TIME: Duration = Duration::from_secs(24 * 3600);
/// About 200 bytes each.
const MOST_STORED: u64 = 10_000;
