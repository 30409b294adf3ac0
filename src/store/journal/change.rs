//! One change that was accepted: what it makes of its keys, and how far it has come.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::object::{Attributes, Condition, ETag, InvalidKey, Key, ObjectMeta};
use crate::spool::KeptBody;
use crate::state::{AcceptedRow, Basis, Change};

/// A change that was accepted and is not made.
#[derive(Debug)]
pub struct Pending {
    pub row: AcceptedRow,
    key: Key,
    /// What is moved to it.
    from: Option<Key>,
    /// When it was accepted: milliseconds since 1970.
    since: u64,
    /// The same for the pause before it is made.
    accepted: Instant,
    body: Option<KeptBody>,
    progress: Mutex<Progress>,
}

/// One of them, as the user is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub key: String,
    pub change: Change,
    /// Milliseconds since 1970.
    pub since: u64,
    /// Why S3 refuses it.
    pub refused: Option<String>,
    /// It is being made; of what is given up: it may be made by now.
    pub is_under_way: bool,
}

impl Told {
    /// Of a file that was made empty and is held for its content.
    pub fn empty_file(key: String, since: u64, may_be_there: bool) -> Self {
        Self { key, change: Change::Put { body: None }, since, refused: None, is_under_way: may_be_there }
    }
}

/// When a change is made among those that can be: what is waited for first, and what has failed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Nobody waits for it.
    is_for_nobody: bool,
    tries: u32,
    pub(super) number: u64,
}

#[derive(Debug, Default)]
struct Progress {
    is_under_way: bool,
    /// The store may have it already.
    was_begun: bool,
    /// The user gives it up: whoever makes it stops, and nobody begins.
    given_up: CancellationToken,
    /// Somebody waits for it; of what is refused: since it was.
    is_urgent: bool,
    /// How often it was tried in vain, and why the last time.
    tries: u32,
    why: Option<String>,
    is_refused: bool,
    /// See [`AcceptedRow::loses`].
    is_losing: bool,
    /// Of what is moved: the copy, once it is there.
    copied: Option<ETag>,
    /// Where it may lie beside already.
    beside: Option<Key>,
}

impl Pending {
    pub(super) fn new(row: AcceptedRow, since: u64, body: Option<KeptBody>) -> Result<Self, InvalidKey> {
        let key = Key::new(&row.key)?;
        let from = row.moved().map(|moved| Key::new(&moved.from)).transpose()?;
        let copied = row.moved().and_then(|moved| moved.copied.as_deref()).map(ETag::new);
        let beside = row.beside.as_deref().map(Key::new).transpose()?;
        let progress = Progress { copied, beside, is_losing: row.loses, ..Progress::default() };
        let progress = Mutex::new(progress);
        Ok(Self { row, key, from, since, accepted: Instant::now(), body, progress })
    }

    /// The same; the store may have it.
    pub(super) fn begun(self) -> Self {
        self.progress.lock().was_begun = true;
        self
    }

    /// The same change, as it is now.
    pub(super) fn changed(&self, row: AcceptedRow) -> Result<Self, InvalidKey> {
        let changed = Self { accepted: self.accepted, ..Self::new(row, self.since, self.body.clone())? };
        let Progress { was_begun, is_urgent, tries, why, is_refused, .. } = &*self.progress.lock();
        {
            let mut progress = changed.progress.lock();
            (progress.was_begun, progress.is_urgent, progress.tries) = (*was_begun, *is_urgent, *tries);
            (progress.why, progress.is_refused) = (why.clone(), *is_refused);
        }
        Ok(changed)
    }

    /// Its row, with how far it has come.
    pub(super) fn row_now(&self) -> AcceptedRow {
        let mut row = self.row.clone();
        let progress = self.progress.lock();
        row.beside = progress.beside.as_ref().map(Key::to_string);
        if let Change::Move(moved) = &mut row.change {
            moved.copied = progress.copied.as_ref().map(|copy| copy.quoted().to_owned());
        }
        row
    }

    /// Where its object is to be, or was.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where its object is, if it moves it.
    pub fn from(&self) -> Option<&Key> {
        self.from.as_ref()
    }

    /// When it was accepted, or found at the start.
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// When it was accepted, by this machine's clock.
    pub fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.since)
    }

    /// All that it changes.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        [&self.key].into_iter().chain(&self.from)
    }

    /// What its client had lost when it made this, and where that lies.
    pub fn loser(&self) -> Option<(Key, ETag)> {
        let loser = self.row.loser.as_ref()?;
        Some((Key::new(&loser.key).ok()?, ETag::new(&loser.etag)))
    }

    pub fn body(&self) -> Option<&KeptBody> {
        self.body.as_ref()
    }

    /// Whether its content is not on this machine's disk any more.
    pub fn has_lost_body(&self) -> bool {
        self.row.body().is_some() && self.body.is_none()
    }

    pub(super) fn turn(&self) -> Turn {
        let Progress { is_urgent, tries, .. } = &*self.progress.lock();
        Turn { is_for_nobody: !is_urgent, tries: *tries, number: self.row.number }
    }

    /// What clients are told that the object is.
    pub fn etag(&self) -> ETag {
        ETag::new(&self.row.etag)
    }

    /// What must hold where it is made; `None`: what it builds on is not there yet.
    pub fn condition(&self) -> Option<Condition> {
        condition(&self.row.basis)
    }

    /// What must hold where its object is; `None`: it moves none, or what it builds on is not there yet.
    pub fn source_condition(&self) -> Option<Condition> {
        condition(&self.row.moved()?.basis)
    }

    /// Whether all that it builds on is there.
    pub(super) fn is_grounded(&self) -> bool {
        self.condition().is_some() && (self.from.is_none() || self.source_condition().is_some())
    }

    /// Whether it builds, at `key`, on the change of this number.
    pub(super) fn builds_on(&self, key: &Key, number: u64) -> bool {
        self.row.basis_at(key.as_str()) == Some(&Basis::After(number))
    }

    pub fn attributes(&self) -> Attributes {
        let (content_type, user) = (self.row.content_type.clone(), self.row.user.clone());
        Attributes { content_type, user, ..Attributes::default() }
    }

    /// What is told of the object at one of its keys; `None`: there is none.
    pub(super) fn meta_at(&self, key: &Key) -> Option<ObjectMeta> {
        let is_there = *key == self.key && self.row.change != Change::Delete;
        is_there.then(|| ObjectMeta {
            size: self.row.size(),
            etag: self.etag(),
            // S3 has whole seconds.
            last_modified: SystemTime::UNIX_EPOCH + Duration::from_secs(self.since / 1000),
            content_type: self.row.content_type.clone(),
            storage_class: self.row.moved().and_then(|moved| moved.storage_class.clone()),
            user: self.row.user.clone(),
        })
    }

    /// The copy of what is moved, if that is there: its source is to be deleted.
    pub fn copied(&self) -> Option<ETag> {
        self.progress.lock().copied.clone()
    }

    /// The copy is there.
    pub(super) fn set_copied(&self, copy: &ETag) {
        self.progress.lock().copied = Some(copy.clone());
    }

    /// The key where it may lie already, beside what somebody else made in its place.
    pub fn beside(&self) -> Option<Key> {
        self.progress.lock().beside.clone()
    }

    /// Where what is moved is, if that is copied.
    pub fn copied_to(&self) -> Option<(Key, ETag)> {
        let copy = self.copied()?;
        Some((self.beside().unwrap_or_else(|| self.key().clone()), copy))
    }

    /// It is going to lie there.
    pub(super) fn set_beside(&self, copy: &Key) {
        self.progress.lock().beside = Some(copy.clone());
    }

    pub(super) fn tries(&self) -> u32 {
        self.progress.lock().tries
    }

    pub(super) fn refusal(&self) -> Option<String> {
        let progress = self.progress.lock();
        progress.why.clone().filter(|_| progress.is_refused)
    }

    pub(super) fn is_refused(&self) -> bool {
        self.progress.lock().is_refused
    }

    /// Whether it has no content that is on this machine alone, and somebody has waited for it since it was refused.
    pub(super) fn is_in_the_way(&self) -> bool {
        let progress = self.progress.lock();
        !matches!(self.row.change, Change::Put { .. }) && progress.is_refused && progress.is_urgent
    }

    /// Why it could not be made the last time.
    pub(super) fn failure(&self) -> String {
        self.progress.lock().why.clone().unwrap_or_default()
    }

    pub(super) fn set_failed(&self, why: &str) {
        let mut progress = self.progress.lock();
        progress.is_under_way = false;
        progress.tries = progress.tries.saturating_add(1);
        progress.why = Some(why.to_owned());
    }

    pub(super) fn set_refused(&self, why: String) {
        let mut progress = self.progress.lock();
        (progress.is_under_way, progress.is_refused, progress.why) = (false, true, Some(why));
        // As long as it stays here it is shown.
        (progress.is_urgent, progress.is_losing) = (false, false);
    }

    pub(super) fn is_losing(&self) -> bool {
        self.progress.lock().is_losing
    }

    /// It is tried again.
    pub(super) fn set_retried(&self) {
        let mut progress = self.progress.lock();
        (progress.is_refused, progress.why) = (false, None);
    }

    pub(super) fn told(&self) -> Told {
        let progress = self.progress.lock();
        Told {
            key: self.row.key.clone(),
            change: self.row.change.clone(),
            since: self.since,
            refused: progress.why.clone().filter(|_| progress.is_refused),
            is_under_way: progress.is_under_way,
        }
    }

    /// The same, of what is given up.
    pub(super) fn told_at_last(&self) -> Told {
        let may_be_made = !self.is_untouched() && !self.is_refused();
        Told { is_under_way: may_be_made, ..self.told() }
    }

    /// How long it is not to be made yet, of a pause of `delay`; what follows it may make it needless.
    pub(super) fn rests(&self, delay: Duration) -> Duration {
        let progress = self.progress.lock();
        let is_due = progress.was_begun || progress.is_urgent;
        if is_due { Duration::ZERO } else { delay.saturating_sub(self.accepted.elapsed()) }
    }

    /// The same change with another row, and what that needs of this machine's disk. It is not refused.
    pub(super) fn with_body(&self, row: AcceptedRow, body: Option<KeptBody>) -> Result<Self, InvalidKey> {
        Ok(Self { accepted: self.accepted, ..Self::new(row, self.since, body)? })
    }

    /// Somebody waits for it. Whether that is new.
    pub(super) fn hurry(&self) -> bool {
        !std::mem::replace(&mut self.progress.lock().is_urgent, true)
    }

    pub(super) fn set_waiting(&self) {
        self.progress.lock().is_under_way = false;
    }

    pub(super) fn is_waiting(&self) -> bool {
        let progress = self.progress.lock();
        !(progress.is_under_way || progress.is_refused || progress.given_up.is_cancelled())
    }

    /// Has whoever makes it stop, and nobody begin. Whether somebody makes it.
    pub(super) fn give_up(&self) -> bool {
        let progress = self.progress.lock();
        progress.given_up.cancel();
        progress.is_under_way
    }

    /// It may be begun again.
    pub(super) fn keep(&self) {
        self.progress.lock().given_up = CancellationToken::new();
    }

    /// What `making` it comes to; `None`: it is given up, whatever the store has of it.
    pub async fn unless_given_up<T>(&self, making: impl Future<Output = T>) -> Option<T> {
        let given_up = self.progress.lock().given_up.clone();
        given_up.run_until_cancelled(making).await
    }

    /// Takes it, unless somebody has, or the store refuses it.
    pub(super) fn take(&self) -> bool {
        let mut progress = self.progress.lock();
        if progress.is_under_way || progress.is_refused || progress.given_up.is_cancelled() {
            return false;
        }
        progress.is_under_way = true;
        true
    }

    pub(super) fn begin(&self) -> bool {
        let is_taken = self.take();
        if is_taken {
            self.progress.lock().was_begun = true;
        }
        is_taken
    }

    /// Takes it, unless it is being made.
    pub(super) fn take_anyway(&self) -> bool {
        let mut progress = self.progress.lock();
        !std::mem::replace(&mut progress.is_under_way, true)
    }

    /// Takes it away from who would make it, if nobody has begun to, or the store refuses it. A move is of use to another
    /// key.
    pub(super) fn take_back(&self) -> bool {
        let is_idle = self.is_untouched() || self.refusal().is_some();
        self.from.is_none() && is_idle && self.take_anyway()
    }

    pub(super) fn is_untouched(&self) -> bool {
        !self.progress.lock().was_begun
    }
}

fn condition(basis: &Basis) -> Option<Condition> {
    match basis {
        Basis::Absent => Some(Condition::IfAbsent),
        Basis::Version(etag) => Some(Condition::IfMatch(ETag::new(etag))),
        Basis::After(_) => None,
    }
}
