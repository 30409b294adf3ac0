//! What is pending, in memory: for each key the changes that were accepted, oldest first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::object::{Attributes, Condition, ETag, InvalidKey, Key, ObjectMeta};
use crate::spool::KeptBody;
use crate::state::{AcceptedRow, Basis, Change};

/// A change that was accepted and is not made.
#[derive(Debug)]
pub struct Pending {
    pub row: AcceptedRow,
    key: Key,
    /// When it was accepted: milliseconds since 1970.
    since: u64,
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
    /// It is being made.
    pub is_under_way: bool,
}

#[derive(Debug, Default)]
struct Progress {
    is_under_way: bool,
    /// The store may have it already.
    was_begun: bool,
    /// How often it was tried in vain, and why the last time.
    tries: u32,
    why: Option<String>,
    is_refused: bool,
}

impl Pending {
    pub(super) fn new(row: AcceptedRow, since: u64, body: Option<KeptBody>) -> Result<Self, InvalidKey> {
        let key = Key::new(&row.key)?;
        Ok(Self { row, key, since, body, progress: Mutex::default() })
    }

    /// The same; the store may have it.
    pub(super) fn begun(self) -> Self {
        self.progress.lock().was_begun = true;
        self
    }

    /// The same change, as it is now.
    fn changed(&self, row: AcceptedRow) -> Result<Self, InvalidKey> {
        Self::new(row, self.since, self.body.clone())
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn body(&self) -> Option<&KeptBody> {
        self.body.as_ref()
    }

    /// What clients are told that the object is.
    pub fn etag(&self) -> ETag {
        ETag::new(&self.row.etag)
    }

    /// What must hold where it is made; `None`: what it builds on is not there yet.
    pub fn condition(&self) -> Option<Condition> {
        match &self.row.basis {
            Basis::Absent => Some(Condition::IfAbsent),
            Basis::Version(etag) => Some(Condition::IfMatch(ETag::new(etag))),
            Basis::After(_) => None,
        }
    }

    pub fn attributes(&self) -> Attributes {
        let (content_type, user) = (self.row.content_type.clone(), self.row.user.clone());
        Attributes { content_type, user, ..Attributes::default() }
    }

    /// What is told of the object; `None`: it is deleted.
    pub(super) fn meta(&self) -> Option<ObjectMeta> {
        (self.row.change != Change::Delete).then(|| ObjectMeta {
            size: self.row.size(),
            etag: self.etag(),
            // S3 has whole seconds.
            last_modified: SystemTime::UNIX_EPOCH + Duration::from_secs(self.since / 1000),
            content_type: self.row.content_type.clone(),
            storage_class: None,
            user: self.row.user.clone(),
        })
    }

    pub(super) fn tries(&self) -> u32 {
        self.progress.lock().tries
    }

    pub(super) fn refusal(&self) -> Option<String> {
        let progress = self.progress.lock();
        progress.why.clone().filter(|_| progress.is_refused)
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

    pub(super) fn set_waiting(&self) {
        self.progress.lock().is_under_way = false;
    }

    fn is_waiting(&self) -> bool {
        let progress = self.progress.lock();
        !progress.is_under_way && !progress.is_refused
    }

    /// Takes it, unless somebody has, or the store refuses it.
    fn take(&self) -> bool {
        let mut progress = self.progress.lock();
        if progress.is_under_way || progress.is_refused {
            return false;
        }
        progress.is_under_way = true;
        true
    }

    fn begin(&self) -> bool {
        let is_taken = self.take();
        if is_taken {
            self.progress.lock().was_begun = true;
        }
        is_taken
    }

    /// Takes it, unless it is being made.
    fn take_anyway(&self) -> bool {
        let mut progress = self.progress.lock();
        !std::mem::replace(&mut progress.is_under_way, true)
    }

    /// Takes it away from who would make it, if nobody has begun to.
    fn take_back(&self) -> bool {
        self.is_untouched() && self.take()
    }

    fn is_untouched(&self) -> bool {
        !self.progress.lock().was_begun
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chains {
    by_key: BTreeMap<Key, Vec<Arc<Pending>>>,
    /// The greatest so far.
    number: u64,
}

impl Chains {
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    pub(super) fn push(&mut self, change: Pending) {
        self.number = self.number.max(change.row.number);
        let chain = self.by_key.entry(change.key.clone()).or_default();
        let at = chain.partition_point(|other| other.row.number < change.row.number);
        chain.insert(at, Arc::new(change));
    }

    pub(super) fn remove(&mut self, change: &Pending) {
        let Some(chain) = self.by_key.get_mut(&change.key) else { return };
        chain.retain(|other| other.row.number != change.row.number);
        if chain.is_empty() {
            self.by_key.remove(&change.key);
        }
    }

    /// Puts `row` in the place of the one with its number.
    pub(super) fn replace(&mut self, row: &AcceptedRow) {
        let Some(old) = self.numbered(row.number) else { return };
        // A key that was one is one.
        if let Ok(new) = old.changed(row.clone()) {
            self.remove(&old);
            self.push(new);
        }
    }

    fn everything(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.by_key.values().flatten()
    }

    fn numbered(&self, number: u64) -> Option<Arc<Pending>> {
        self.everything().find(|other| other.row.number == number).cloned()
    }

    /// Whether a body is needed still.
    pub(super) fn needs(&self, body: &KeptBody) -> bool {
        let name = body.row().name;
        self.everything().any(|other| other.row.body().is_some_and(|body| body.name == name))
    }

    pub(super) fn all(&self, key: &Key) -> Vec<Arc<Pending>> {
        self.by_key.get(key).cloned().unwrap_or_default()
    }

    pub(super) fn first(&self, key: &Key) -> Option<Arc<Pending>> {
        self.by_key.get(key)?.first().cloned()
    }

    /// What is shown of a key: the newest that builds on all before it. One that does not build on them will lie beside.
    pub(super) fn shown(&self, key: &Key) -> Option<Arc<Pending>> {
        let chain = self.by_key.get(key)?;
        let mut shown = chain.first()?;
        for change in &chain[1..] {
            if change.row.basis == Basis::After(shown.row.number) {
                shown = change;
            }
        }
        Some(Arc::clone(shown))
    }

    /// The file that clients know by this version, if the store has nothing at its name, and nobody has begun to store it.
    pub(super) fn new_at(&self, key: &Key, version: &ETag) -> Option<Arc<Pending>> {
        let chain = self.by_key.get(key)?;
        let only = chain.first().filter(|only| chain.len() == 1 && only.etag() == *version)?;
        let is_new = only.row.basis == Basis::Absent && only.row.change != Change::Delete;
        (is_new && only.is_untouched()).then(|| Arc::clone(only))
    }

    /// Takes it: nobody stores it any more.
    pub(super) fn take_new(&self, key: &Key, version: &ETag) -> Option<Arc<Pending>> {
        self.new_at(key, version).filter(|new| new.take_back())
    }

    /// Whether it was not there when it was accepted, and nobody has begun to make it.
    pub(super) fn is_new(&self, key: &Key) -> bool {
        let first = self.by_key.get(key).and_then(|chain| chain.first());
        first.is_some_and(|first| first.row.basis == Basis::Absent && first.is_untouched())
    }

    /// What is shown below a prefix.
    pub(super) fn shown_below(&self, prefix: &str) -> Vec<Arc<Pending>> {
        let keys = self.by_key.keys().filter(|key| key.as_str().starts_with(prefix));
        keys.filter_map(|key| self.shown(key)).collect()
    }

    /// What a client builds on that has seen `seen` of a key, or nothing there. `stored`: a version as the store knows it.
    pub(super) fn basis(&self, key: &Key, seen: Option<&ETag>, stored: impl FnOnce(&ETag) -> ETag) -> Basis {
        let shown = self.shown(key);
        let is_seen = |shown: &Arc<Pending>| match seen {
            Some(seen) => shown.meta().is_some() && shown.etag() == *seen,
            None => shown.meta().is_none(),
        };
        match (shown.filter(is_seen), seen) {
            (Some(shown), _) => Basis::After(shown.row.number),
            (None, Some(seen)) => Basis::Version(stored(seen).quoted().to_owned()),
            (None, None) => Basis::Absent,
        }
    }

    /// The one that a change on `basis` makes needless, since nobody has begun to make it. Nobody will from then on.
    pub(super) fn take_back(&self, key: &Key, basis: &Basis) -> Option<Arc<Pending>> {
        let Basis::After(number) = basis else { return None };
        let change = self.by_key.get(key)?.iter().find(|other| other.row.number == *number)?;
        change.take_back().then(|| Arc::clone(change))
    }

    /// A change that is not being made, and all that builds on it. Nobody makes them any more. None if one of them is being
    /// made.
    pub(super) fn take_with_followers(&self, change: &Arc<Pending>) -> Vec<Arc<Pending>> {
        let Some(first) = self.numbered(change.row.number) else { return Vec::new() };
        let mut meant = vec![first];
        let mut at = 0;
        while let Some(number) = meant.get(at).map(|change| change.row.number) {
            let builds = |other: &&Arc<Pending>| other.row.basis == Basis::After(number);
            let new: Vec<_> = self.everything().filter(builds).cloned().collect();
            meant.extend(
                new.into_iter()
                    .filter(|new| meant.iter().all(|old| !Arc::ptr_eq(old, new)))
                    .collect::<Vec<_>>(),
            );
            at += 1;
        }
        for (index, change) in meant.iter().enumerate() {
            if !change.take_anyway() {
                meant[..index].iter().for_each(|taken| taken.set_waiting());
                return Vec::new();
            }
        }
        meant
    }

    /// All whose keys begin with a prefix.
    pub(super) fn below(&self, prefix: &str) -> Vec<Arc<Pending>> {
        self.everything().filter(|change| change.row.key.starts_with(prefix)).cloned().collect()
    }

    /// The first of each key, unless it is being made or the store refuses it.
    pub(super) fn waiting(&self) -> Vec<Arc<Pending>> {
        let heads = self.by_key.values().filter_map(|chain| chain.first());
        heads.filter(|head| head.is_waiting()).cloned().collect()
    }

    /// See [`super::Journal::begin`].
    pub(super) fn begin(&self, most: usize) -> Vec<Arc<Pending>> {
        let mut heads: Vec<_> = self.by_key.values().filter_map(|chain| chain.first()).collect();
        heads.sort_by_key(|head| head.row.number);
        let ready = heads.into_iter().filter(|head| head.condition().is_some() && head.begin());
        ready.take(most).cloned().collect()
    }

    /// Those that build on `change`, as they are once that is made: what it made is at `key`, as `etag`, or gone.
    pub(super) fn followers(&self, change: &Pending, key: &Key, etag: Option<&ETag>) -> Vec<AcceptedRow> {
        let mut followers = Vec::new();
        let mut before = change.row.number;
        for follower in self.by_key.get(&change.key).into_iter().flatten() {
            if follower.row.basis != Basis::After(before) {
                continue;
            }
            let basis = match etag {
                _ if before != change.row.number => follower.row.basis.clone(),
                Some(etag) => Basis::Version(etag.quoted().to_owned()),
                None => Basis::Absent,
            };
            before = follower.row.number;
            followers.push(AcceptedRow { key: key.as_str().to_owned(), basis, ..follower.row.clone() });
        }
        followers
    }

    /// See [`super::Journal::count`].
    pub(super) fn count(&self) -> (u64, u64) {
        self.everything().fold((0, 0), |(count, bytes), change| {
            (count + 1, bytes + change.row.body().map_or(0, |body| body.size))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(number: u64, basis: Basis) -> Pending {
        of_row(AcceptedRow { change: Change::Put { body: None }, ..row(number, basis) })
    }

    fn row(number: u64, basis: Basis) -> AcceptedRow {
        AcceptedRow {
            number,
            key: "d/file".to_owned(),
            change: Change::Delete,
            etag: format!("\"{number}\""),
            basis,
            content_type: None,
            user: BTreeMap::new(),
            writer: String::new(),
        }
    }

    fn of_row(row: AcceptedRow) -> Pending {
        Pending::new(row, 5000, None).unwrap()
    }

    fn chains(changes: impl IntoIterator<Item = Pending>) -> Chains {
        let mut chains = Chains::default();
        changes.into_iter().for_each(|change| chains.push(change));
        chains
    }

    fn key() -> Key {
        Key::new("d/file").unwrap()
    }

    fn number(change: Option<Arc<Pending>>) -> Option<u64> {
        change.map(|change| change.row.number)
    }

    #[test]
    fn the_newest_of_a_chain_is_shown_and_the_oldest_goes_first() {
        let other = Basis::Version("other".into());
        let chains = chains([change(3, Basis::After(1)), change(1, Basis::Absent), change(2, other)]);
        assert_eq!((number(chains.shown(&key())), number(chains.first(&key()))), (Some(3), Some(1)));
        assert_eq!(chains.shown_below("d/").len(), 1);
        assert!(chains.shown_below("d/file/").is_empty());
        assert_eq!(chains.begin(9).len(), 1, "one of a key at once");
        assert!(chains.begin(9).is_empty(), "it is under way");
        chains.first(&key()).unwrap().set_failed("away");
        assert_eq!(chains.begin(9).len(), 1);
    }

    #[test]
    fn what_was_not_begun_is_made_needless_by_what_follows_it() {
        let chains = chains([change(1, Basis::Absent)]);
        assert_eq!(number(chains.take_back(&key(), &Basis::Absent)), None);
        assert_eq!(number(chains.take_back(&key(), &Basis::After(7))), None);
        assert_eq!(number(chains.take_back(&key(), &Basis::After(1))), Some(1));
        assert!(chains.begin(9).is_empty(), "nobody makes it any more");
        chains.first(&key()).unwrap().set_waiting();
        assert_eq!(chains.begin(9).len(), 1);
        chains.first(&key()).unwrap().set_failed("away");
        assert_eq!(number(chains.take_back(&key(), &Basis::After(1))), None, "the store may have it");
    }

    #[test]
    fn a_client_builds_on_what_it_was_shown() {
        let seen = |etag: &str| ETag::new(etag);
        let stored = |_: &ETag| ETag::new("stored");
        let (file, other) = (key(), Key::new("d/other").unwrap());
        let written = chains([change(1, Basis::Absent)]);
        assert_eq!(written.basis(&file, Some(&seen("1")), stored), Basis::After(1));
        assert_eq!(written.basis(&file, Some(&seen("old")), stored), Basis::Version("\"stored\"".into()));
        assert_eq!(written.basis(&file, None, stored), Basis::Absent, "it did not see it");
        assert_eq!(written.basis(&other, None, stored), Basis::Absent);
        let deleted = chains([of_row(row(1, Basis::Version("old".into())))]);
        assert_eq!(deleted.basis(&file, None, stored), Basis::After(1), "it saw that it is gone");
        assert_eq!(deleted.basis(&file, Some(&seen("1")), stored), Basis::Version("\"stored\"".into()));
    }

    #[test]
    fn a_chain_follows_its_first_to_where_that_went() {
        let changes = [(1, Basis::Absent), (2, Basis::After(1)), (3, Basis::Absent), (4, Basis::After(2))];
        let mut chains = chains(changes.map(|(number, basis)| change(number, basis)));
        let (first, copy) = (chains.first(&key()).unwrap(), Key::new("d/copy").unwrap());
        let followers = chains.followers(&first, &copy, Some(&ETag::new("stored")));
        chains.remove(&first);
        followers.iter().for_each(|row| chains.replace(row));
        let rows: Vec<_> =
            chains.all(&copy).iter().map(|other| (other.row.number, other.row.basis.clone())).collect();
        assert_eq!(rows, [(2, Basis::Version("\"stored\"".into())), (4, Basis::After(2))]);
        assert_eq!(number(chains.first(&key())), Some(3), "it is no part of it");
        assert_eq!((chains.next_number(), chains.count()), (5, (3, 0)));
        let after_a_deletion = chains.followers(&chains.all(&copy)[0], &copy, None);
        assert_eq!(after_a_deletion[0].basis, Basis::Absent);
    }

    #[test]
    fn a_new_file_is_taken_as_long_as_nobody_has_begun_to_store_it() {
        let (seen, other) = (ETag::new("1"), ETag::new("2"));
        let new = chains([change(1, Basis::Absent)]);
        assert!(new.new_at(&key(), &seen).is_some() && new.new_at(&key(), &other).is_none());
        assert!(new.take_new(&key(), &seen).is_some());
        assert!(new.take_new(&key(), &seen).is_none() && new.begin(9).is_empty());
        for not_new in [
            chains([change(1, Basis::Version("v".into()))]),
            chains([change(1, Basis::Absent).begun()]),
            chains([change(1, Basis::Absent), change(2, Basis::After(1))]),
            chains([of_row(row(1, Basis::Absent))]),
        ] {
            assert!(not_new.take_new(&key(), &seen).is_none());
        }
    }

    #[test]
    fn what_is_refused_waits_until_somebody_sees_to_it() {
        let chains = chains([change(1, Basis::Absent)]);
        let first = chains.first(&key()).unwrap();
        first.set_refused("denied".to_owned());
        assert_eq!(first.refusal(), Some("denied".to_owned()));
        assert!(chains.begin(9).is_empty());
    }
}
