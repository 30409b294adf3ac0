//! What is pending, in memory: for each key the changes that were accepted, oldest first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::change::Pending;
use super::ready::Ready;
use crate::object::{ETag, Key};
use crate::spool::KeptBody;
use crate::state::{AcceptedRow, Basis, Change};

/// What became of a change at its own name.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'a> {
    /// It is there.
    Stored(&'a ETag),
    /// Something else is there than it builds on.
    Lost,
    /// What others come to has nothing to do with it.
    Open,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chains {
    pub(super) by_key: BTreeMap<Key, Vec<Arc<Pending>>>,
    pub(super) by_number: BTreeMap<u64, Arc<Pending>>,
    /// The greatest so far.
    number: u64,
    pub(super) ready: Ready,
    /// The numbers of those that the store refuses.
    pub(super) refused: BTreeSet<u64>,
    /// How many need each body, by its name.
    bodies: HashMap<String, usize>,
}

impl Chains {
    /// Those that are accepted rest for `delay`.
    pub(super) fn resting(delay: Duration) -> Self {
        Self { ready: Ready::resting(delay), ..Self::default() }
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    pub(super) fn push(&mut self, change: Pending) {
        self.number = self.number.max(change.row.number);
        let change = Arc::new(change);
        for key in change.keys() {
            let chain = self.by_key.entry(key.clone()).or_default();
            let at = chain.partition_point(|other| other.row.number < change.row.number);
            chain.insert(at, Arc::clone(&change));
        }
        if let Some(body) = change.row.body() {
            *self.bodies.entry(body.name.clone()).or_default() += 1;
        }
        if change.is_refused() {
            self.refused.insert(change.row.number);
        }
        self.offer(&change);
        self.by_number.insert(change.row.number, change);
    }

    pub(super) fn remove(&mut self, change: &Pending) {
        let number = change.row.number;
        let Some(known) = self.by_number.remove(&number) else { return };
        self.refused.remove(&number);
        self.ready.withdraw(number);
        if let Some(body) = known.row.body()
            && let Some(count) = self.bodies.get_mut(&body.name)
        {
            *count -= 1;
            if *count == 0 {
                self.bodies.remove(&body.name);
            }
        }
        for key in change.keys() {
            let Some(chain) = self.by_key.get_mut(key) else { continue };
            chain.retain(|other| other.row.number != number);
            if chain.is_empty() {
                self.by_key.remove(key);
            }
        }
        self.offer_after(change);
    }

    /// It may be that it can be begun.
    pub(super) fn offer(&mut self, change: &Pending) {
        if change.is_waiting() {
            self.ready.offer(change);
        }
    }

    /// The same of what may have waited for `change`.
    pub(super) fn offer_after(&mut self, change: &Pending) {
        for key in change.keys() {
            let name = key.as_str();
            let files = name.match_indices('/').map(|(at, _)| &name[..at]);
            let folder = format!("{name}/");
            let names = files.chain([name, folder.as_str()]).filter_map(|name| Key::new(name).ok());
            for chain in names.filter_map(|name| self.by_key.get(&name)) {
                let next = chain.iter().find(|other| !other.is_refused());
                next.into_iter().filter(|next| next.is_waiting()).for_each(|next| self.ready.offer(next));
            }
        }
    }

    /// Those that the store refuses.
    pub(super) fn refused(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.refused.iter().filter_map(|number| self.by_number.get(number))
    }

    /// Puts `row` in the place of the one with its number.
    pub(super) fn replace(&mut self, row: &AcceptedRow) {
        let Some(old) = self.by_number.get(&row.number).cloned() else { return };
        // A key that was one is one.
        if let Ok(new) = old.changed(row.clone()) {
            self.remove(&old);
            self.push(new);
        }
    }

    /// The same, of one that is refused no more and has another body.
    pub(super) fn renew(&mut self, row: &AcceptedRow, body: Option<KeptBody>) {
        let Some(old) = self.by_number.get(&row.number).cloned() else { return };
        if let Ok(new) = old.with_body(row.clone(), body) {
            self.remove(&old);
            self.push(new);
        }
    }

    /// In the order in which they were accepted.
    pub(super) fn everything(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.by_number.values()
    }

    /// The oldest of what is to be made before it; `None`: it is the first. Besides what is to become of its own keys that is
    /// a file in the place of a folder, or what is in a folder in the place of a file: one would hide the other. What the
    /// store refuses holds up nothing that does not build on it.
    fn before(&self, change: &Arc<Pending>) -> Option<&Arc<Pending>> {
        let own = change.keys().filter_map(|key| self.holding_up(change, key));
        let covered = change.keys().flat_map(|key| match key.as_str().strip_suffix('/') {
            Some(name) => {
                let file = Key::new(name).ok().and_then(|name| self.holding_up(change, &name));
                file.into_iter().collect::<Vec<_>>()
            }
            None => {
                let folder = format!("{key}/");
                let below = self.chains_below(&folder);
                below.filter_map(|(key, _)| self.holding_up(change, key)).collect()
            }
        });
        let others = own.chain(covered).filter(|other| other.row.number < change.row.number);
        others.min_by_key(|other| other.row.number)
    }

    /// The first that is to become of a key before anything else does.
    fn holding_up(&self, change: &Pending, key: &Key) -> Option<&Arc<Pending>> {
        let holds_up = |other: &&Arc<Pending>| !other.is_refused() || change.builds_on(key, other.row.number);
        self.by_key.get(key)?.iter().find(holds_up)
    }

    pub(super) fn is_first(&self, change: &Arc<Pending>) -> bool {
        self.before(change).is_none()
    }

    /// The keys that begin with a prefix, with what is pending of each.
    fn chains_below(&self, prefix: &str) -> impl Iterator<Item = (&Key, &Vec<Arc<Pending>>)> {
        let from = Key::new(prefix).map_or(Bound::Unbounded, Bound::Included);
        let below = self.by_key.range((from, Bound::Unbounded));
        below.take_while(move |(key, _)| key.as_str().starts_with(prefix))
    }

    pub(super) fn numbered(&self, number: u64) -> Option<Arc<Pending>> {
        self.by_number.get(&number).cloned()
    }

    /// Whether a body is needed still.
    pub(super) fn needs(&self, body: &KeptBody) -> bool {
        self.bodies.contains_key(&body.row().name)
    }

    pub(super) fn all(&self, key: &Key) -> Vec<Arc<Pending>> {
        self.by_key.get(key).cloned().unwrap_or_default()
    }

    /// The first that is to be made before anything else can become of a key.
    pub(super) fn first(&self, key: &Key) -> Option<Arc<Pending>> {
        let mut first = self.by_key.get(key)?.first()?;
        while let Some(before) = self.before(first) {
            first = before;
        }
        Some(Arc::clone(first))
    }

    /// What is shown of a key: the newest that builds on all before it. One that does not build on them will lie beside.
    pub(super) fn shown(&self, key: &Key) -> Option<Arc<Pending>> {
        let (mut shown, mut losing): (Option<&Arc<Pending>>, Vec<u64>) = (None, Vec::new());
        for change in self.by_key.get(key)? {
            if change.is_losing() || losing.iter().any(|number| change.builds_on(key, *number)) {
                losing.push(change.row.number);
            } else if shown.is_none_or(|shown| change.builds_on(key, shown.row.number)) {
                shown = Some(change);
            }
        }
        shown.cloned()
    }

    /// Those that lose by what became of `change`, of which `rows` are others already: nobody is shown the one and then the
    /// other.
    pub(super) fn note_losing(&self, rows: &mut Vec<AcceptedRow>, change: &Pending, end: End<'_>) {
        let key = change.key();
        let loses = |basis: &Basis| match (basis, end) {
            (Basis::After(_), _) | (_, End::Open) => false,
            (basis, End::Stored(etag)) => *basis != Basis::Version(etag.quoted().to_owned()),
            (basis, End::Lost) => *basis == Basis::Absent || *basis == change.row.basis,
        };
        let others = self.by_key.get(key).into_iter().flatten();
        // What is refused may stay for long; of what is under way it is known soon.
        let is_open = |other: &Pending| other.is_waiting() && other.copied().is_none();
        let others = others.filter(|other| other.row.number != change.row.number && is_open(other));
        for other in others.filter(|other| other.row.basis_at(key.as_str()).is_some_and(loses)) {
            match rows.iter_mut().find(|row| row.number == other.row.number) {
                Some(row) => row.loses = true,
                None => rows.push(AcceptedRow { loses: true, ..other.row_now() }),
            }
        }
    }

    /// The file that clients know by this version, if the store has nothing at its name, and nobody has begun to store it.
    pub(super) fn new_at(&self, key: &Key, version: &ETag) -> Option<Arc<Pending>> {
        let chain = self.by_key.get(key)?;
        let only = chain.first().filter(|only| chain.len() == 1 && only.etag() == *version)?;
        let is_new = only.row.basis == Basis::Absent && matches!(only.row.change, Change::Put { .. });
        (is_new && only.is_untouched()).then(|| Arc::clone(only))
    }

    /// Takes it: nobody stores it any more.
    pub(super) fn take_new(&self, key: &Key, version: &ETag) -> Option<Arc<Pending>> {
        self.new_at(key, version).filter(|new| new.take_back())
    }

    /// Whether it was not there when it was accepted, and, unless it may be `begun`, nobody has begun to make it.
    pub(super) fn is_new(&self, key: &Key, begun: bool) -> bool {
        let first = self.by_key.get(key).and_then(|chain| chain.first());
        first.is_some_and(|first| first.row.basis == Basis::Absent && (begun || first.is_untouched()))
    }

    /// What is shown of each key below a prefix.
    pub(super) fn shown_below(&self, prefix: &str) -> Vec<(Key, Arc<Pending>)> {
        self.chains_below(prefix).filter_map(|(key, _)| Some((key.clone(), self.shown(key)?))).collect()
    }

    /// What a client builds on that has seen `seen` of a key, or nothing there. `stored`: a version as the store knows it.
    pub(super) fn basis(&self, key: &Key, seen: Option<&ETag>, stored: impl Fn(&ETag) -> ETag) -> Basis {
        let shown = self.shown(key);
        let is_seen = |shown: &Arc<Pending>| match seen {
            // Whoever writes where nothing is makes a file, whatever he saw there before.
            _ if shown.meta_at(key).is_none() => true,
            // The store may have it already, by another name.
            Some(seen) => shown.etag() == *seen || stored(&shown.etag()) == *seen,
            None => false,
        };
        let seen_here = |seen: &ETag| {
            let mut chain = self.by_key.get(key).into_iter().flatten();
            let seen = chain.find(|other| other.meta_at(key).is_some() && other.etag() == *seen)?;
            self.follower(seen, key).is_none().then_some(seen)
        };
        // One that is not shown will lie beside, and so will what is saved on it.
        match (shown.filter(is_seen), seen) {
            (Some(shown), _) => Basis::After(shown.row.number),
            (None, Some(seen)) => match seen_here(seen) {
                Some(seen) => Basis::After(seen.row.number),
                None => Basis::Version(stored(seen).quoted().to_owned()),
            },
            (None, None) => Basis::Absent,
        }
    }

    /// The one that a change on `basis` makes needless, since nobody has begun to make it. Nobody will from then on. What was
    /// accepted after it would come before its successor, and win.
    pub(super) fn take_back(&self, key: &Key, basis: &Basis) -> Option<Arc<Pending>> {
        let Basis::After(number) = basis else { return None };
        let newest = self.by_key.get(key)?.last().filter(|newest| newest.row.number == *number)?;
        newest.take_back().then(|| Arc::clone(newest))
    }

    /// A change that is not being made, and what of all that builds on it `is_meant`. Nobody makes them any more.
    /// Nothing if one of them is being made, or moved to what is not meant.
    pub(super) fn take_with_followers(
        &mut self,
        change: &Arc<Pending>,
        is_meant: impl Fn(&Pending) -> bool,
    ) -> Vec<Arc<Pending>> {
        let mut meant: Vec<_> = self.numbered(change.row.number).into_iter().collect();
        let mut at = 0;
        while at < meant.len() {
            let keys: Vec<Key> = meant[at].keys().cloned().collect();
            let followers = keys.iter().flat_map(|key| self.followers_at(&meant[at], key));
            let (own, others): (Vec<_>, Vec<_>) = followers.cloned().partition(|other| is_meant(other));
            // Its content is at another name by now.
            if others.iter().any(|other| other.from().is_some_and(|from| keys.contains(from))) {
                return Vec::new();
            }
            for follower in own {
                if meant.iter().all(|old| !Arc::ptr_eq(old, &follower)) {
                    meant.push(follower);
                }
            }
            at += 1;
        }
        for (index, change) in meant.iter().enumerate() {
            if !change.take_anyway() {
                meant[..index].iter().for_each(|taken| self.set_waiting(taken));
                return Vec::new();
            }
        }
        meant
    }

    /// A key below a prefix of which something is pending.
    pub(super) fn any_below(&self, prefix: &str) -> Option<Key> {
        self.chains_below(prefix).next().map(|(key, _)| key.clone())
    }

    /// All whose keys begin with a prefix.
    pub(super) fn below(&self, prefix: &str) -> Vec<Arc<Pending>> {
        self.everything().filter(|change| change.row.key.starts_with(prefix)).cloned().collect()
    }

    /// The keys of changes, and of all that is to be made of those.
    pub(super) fn touched(&self, changes: &[&Pending]) -> BTreeSet<Key> {
        let own: BTreeSet<&Key> = changes.iter().flat_map(|change| change.keys()).collect();
        let others = own.iter().filter_map(|key| self.by_key.get(*key)).flatten();
        own.iter().copied().chain(others.flat_map(|other| other.keys())).cloned().collect()
    }

    /// The same of a change and all that builds on it.
    pub(super) fn touched_by_all_on(&self, change: &Arc<Pending>) -> BTreeSet<Key> {
        let mut line = vec![change];
        let mut at = 0;
        while at < line.len() {
            let last = line[at];
            for follower in last.keys().flat_map(|key| self.followers_at(last, key)) {
                if line.iter().all(|known| !Arc::ptr_eq(known, follower)) {
                    line.push(follower);
                }
            }
            at += 1;
        }
        self.touched(&line.iter().map(|change| &***change).collect::<Vec<_>>())
    }

    /// The first that builds on `change` at `key`.
    pub(super) fn follower(&self, change: &Pending, key: &Key) -> Option<&Arc<Pending>> {
        self.followers_at(change, key).next()
    }

    pub(super) fn followers_at(&self, change: &Pending, key: &Key) -> impl Iterator<Item = &Arc<Pending>> {
        let number = change.row.number;
        self.by_key.get(key).into_iter().flatten().filter(move |other| other.builds_on(key, number))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::state::MoveRow;

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
            beside: None,
            loser: None,
            loses: false,
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

    fn begun(chains: &mut Chains) -> Vec<u64> {
        let groups = chains.begin(9);
        groups.into_iter().flatten().map(|change| change.row.number).collect()
    }

    fn number(change: Option<Arc<Pending>>) -> Option<u64> {
        change.map(|change| change.row.number)
    }

    #[test]
    fn the_newest_of_a_chain_is_shown_and_the_oldest_goes_first() {
        let other = Basis::Version("other".into());
        let mut chains = chains([change(3, Basis::After(1)), change(1, Basis::Absent), change(2, other)]);
        assert_eq!((number(chains.shown(&key())), number(chains.first(&key()))), (Some(3), Some(1)));
        assert_eq!(chains.shown_below("d/").len(), 1);
        assert!(chains.shown_below("d/file/").is_empty());
        assert_eq!(begun(&mut chains).len(), 1, "one of a key at once");
        assert!(begun(&mut chains).is_empty(), "it is under way");
        let first = chains.first(&key()).unwrap();
        chains.set_failed(&first, "away");
        assert_eq!(begun(&mut chains).len(), 1);
    }

    #[test]
    fn all_that_builds_on_what_ends_is_on_what_came_of_it() {
        let moved = |number: u64, basis: Basis| {
            let from = "d/file".to_owned();
            let (size, storage_class, copied) = (0, None, None);
            let change = Change::Move(MoveRow { from, basis, size, storage_class, copied });
            of_row(AcceptedRow { key: "to".into(), change, ..row(number, Basis::Absent) })
        };
        let mut chains = chains([
            change(1, Basis::Absent),
            moved(2, Basis::After(1)),
            change(3, Basis::After(1)),
            change(4, Basis::After(3)),
        ]);
        let (first, copy) = (chains.first(&key()).unwrap(), Key::new("copy").unwrap());
        let stored = Basis::Version("\"stored\"".into());
        let followers = chains.followers(&first, &copy, Some(&ETag::new("stored")));
        let bases = followers.iter().map(|row| (row.number, row.basis_at("copy").unwrap().clone()));
        let expected = [(2, stored.clone()), (3, stored), (4, Basis::After(3))];
        assert_eq!(bases.collect::<Vec<_>>(), expected);
        // Whatever is forgotten does not wait for ever.
        let left = chains.left_over(&[1], &followers[..1]);
        assert_eq!(
            left.iter().map(|row| (row.number, &row.basis)).collect::<Vec<_>>(),
            [(3, &Basis::Absent)]
        );
        chains.remove(&first);
        followers.iter().for_each(|row| chains.replace(row));
        assert!(chains.everything().all(|change| change.row.number == 4 || change.is_grounded()));
    }

    #[test]
    fn what_does_not_build_on_what_is_stored_is_shown_no_more() {
        let (old, of_stored) = (|| Basis::Version("\"old\"".into()), Basis::Version("\"stored\"".into()));
        let mut chains = chains([
            change(1, old()),
            change(2, old()),
            change(3, Basis::After(2)),
            change(4, Basis::After(1)),
            change(5, old()),
        ]);
        let (first, stored) = (chains.first(&key()).unwrap(), ETag::new("stored"));
        chains.numbered(5).unwrap().set_refused("denied".to_owned());
        let losing = |end| {
            let mut rows = Vec::new();
            chains.note_losing(&mut rows, &first, end);
            rows.iter().map(|row| row.number).collect::<Vec<_>>()
        };
        assert_eq!(losing(End::Open), [0; 0], "nothing is stored there");
        assert_eq!(losing(End::Lost), [2], "on the same, which is not there");
        let mut rows = chains.followers(&first, &key(), Some(&stored));
        chains.note_losing(&mut rows, &first, End::Stored(&stored));
        chains.remove(&first);
        rows.iter().for_each(|row| chains.replace(row));
        assert_eq!(number(chains.shown(&key())), Some(4), "what builds on it");
        chains.remove(&chains.numbered(4).unwrap());
        assert_eq!(number(chains.shown(&key())), Some(5), "what is refused may stay for long");
        chains.remove(&chains.numbered(5).unwrap());
        assert_eq!(number(chains.shown(&key())), None, "what the store has");
        chains.push(change(6, of_stored));
        assert_eq!(number(chains.shown(&key())), Some(6));
        chains.numbered(2).unwrap().set_refused("denied".to_owned());
        assert_eq!(number(chains.shown(&key())), Some(3));
    }

    #[test]
    fn what_was_not_begun_is_made_needless_by_what_follows_it() {
        let mut chains = chains([change(1, Basis::Absent)]);
        assert_eq!(number(chains.take_back(&key(), &Basis::Absent)), None);
        assert_eq!(number(chains.take_back(&key(), &Basis::After(7))), None);
        assert_eq!(number(chains.take_back(&key(), &Basis::After(1))), Some(1));
        assert!(begun(&mut chains).is_empty(), "nobody makes it any more");
        let first = chains.first(&key()).unwrap();
        chains.set_waiting(&first);
        assert_eq!(begun(&mut chains).len(), 1);
        let first = chains.first(&key()).unwrap();
        chains.set_failed(&first, "away");
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
        assert_eq!(deleted.basis(&file, Some(&seen("old")), stored), Basis::After(1), "nothing is there");
    }

    #[test]
    fn a_client_builds_on_what_it_made_though_another_is_shown() {
        let seen = |etag: &str| ETag::new(etag);
        let theirs = change(1, Basis::Version("\"old\"".into()));
        let mut chains = chains([theirs, change(2, Basis::Version("\"old\"".into()))]);
        assert_eq!(number(chains.shown(&key())), Some(1));
        assert_eq!(chains.basis(&key(), Some(&seen("2")), ETag::clone), Basis::After(2));
        chains.push(change(3, Basis::After(2)));
        let known = Basis::Version("\"2\"".into());
        assert_eq!(chains.basis(&key(), Some(&seen("2")), ETag::clone), known, "only one builds on it");
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
        let mut new = chains([change(1, Basis::Absent)]);
        assert!(new.new_at(&key(), &seen).is_some() && new.new_at(&key(), &other).is_none());
        assert!(new.take_new(&key(), &seen).is_some());
        assert!(new.take_new(&key(), &seen).is_none() && begun(&mut new).is_empty());
        for not_new in [
            chains([change(1, Basis::Version("v".into()))]),
            chains([change(1, Basis::Absent).begun()]),
            chains([change(1, Basis::Absent), change(2, Basis::After(1))]),
            chains([of_row(row(1, Basis::Absent))]),
        ] {
            assert!(not_new.take_new(&key(), &seen).is_none());
        }
    }

    fn moving(number: u64, ends: (&str, Basis), to: (&str, Basis)) -> Pending {
        let (from, basis) = (ends.0.to_owned(), ends.1);
        let moved = MoveRow { from, basis, size: 7, storage_class: None, copied: None };
        of_row(AcceptedRow { key: to.0.to_owned(), change: Change::Move(moved), ..row(number, to.1) })
    }

    #[test]
    fn a_move_waits_at_both_of_its_ends() {
        let (file, other) = (key(), Key::new("d/other").unwrap());
        let mut chains = chains([
            change(1, Basis::Absent),
            moving(2, ("d/file", Basis::After(1)), ("d/other", Basis::Absent)),
            change(3, Basis::After(2)),
        ]);
        assert_eq!((number(chains.first(&other)), number(chains.first(&file))), (Some(1), Some(1)));
        assert_eq!((number(chains.shown(&other)), number(chains.shown(&file))), (Some(2), Some(3)));
        assert_eq!(chains.shown(&other).unwrap().meta_at(&other).unwrap().size, 7);
        assert_eq!(chains.all(&file)[1].meta_at(&file), None, "it is gone from there");
        assert_eq!(chains.count().0, 3);
        assert_eq!(begun(&mut chains), [1]);
        assert!(chains.take_back(&other, &Basis::After(2)).is_none(), "it is of use to the other end");
    }

    #[test]
    fn what_builds_on_both_ends_of_a_move_knows_of_both() {
        let chains = chains([
            moving(1, ("d/file", Basis::Version("v".into())), ("d/other", Basis::Absent)),
            moving(2, ("d/other", Basis::After(1)), ("d/file", Basis::After(1))),
        ]);
        let (other, first) = (Key::new("d/other").unwrap(), chains.first(&key()).unwrap());
        let back = chains.followers(&first, &other, Some(&ETag::new("copy")));
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].basis_at("d/other"), Some(&Basis::Version("\"copy\"".into())));
        assert_eq!(back[0].basis_at("d/file"), Some(&Basis::Absent));
    }

    #[test]
    fn a_move_that_builds_on_two_changes_has_the_keys_of_both() {
        let mut chains = chains([
            moving(1, ("b", Basis::Version("v".into())), ("a", Basis::Version("v".into()))),
            moving(2, ("c", Basis::Version("v".into())), ("m", Basis::Absent)),
            moving(3, ("m", Basis::After(2)), ("a", Basis::After(1))),
        ]);
        let key = |name| Key::new(name).unwrap();
        let first = chains.first(&key("b")).unwrap();
        assert_eq!(chains.touched(&[&first]), ["a", "b", "m"].map(key).into());
        chains.remove(&first);
        chains.ground();
        assert_eq!(chains.numbered(3).unwrap().row.basis, Basis::Absent, "nobody knows what it builds on");
        assert!(chains.numbered(3).unwrap().builds_on(&key("m"), 2));
    }

    #[test]
    fn what_is_saved_at_the_end_of_a_line_of_moves_touches_all_of_it() {
        let chains = chains([
            change(1, Basis::Absent),
            moving(2, ("d/file", Basis::After(1)), ("m", Basis::Absent)),
            moving(3, ("m", Basis::After(2)), ("n", Basis::Absent)),
            of_row(AcceptedRow { key: "n".to_owned(), ..row(4, Basis::After(3)) }),
        ]);
        let key = |name| Key::new(name).unwrap();
        let first = chains.numbered(1).unwrap();
        assert_eq!(chains.touched(&[&first]), ["d/file", "m"].map(key).into());
        assert_eq!(chains.touched_by_all_on(&first), ["d/file", "m", "n"].map(key).into());
    }

    #[test]
    fn what_is_kept_goes_on_from_what_was_there_before_what_is_given_up() {
        let mut chains = chains([
            change(1, Basis::Version("v".into())),
            change(2, Basis::After(1)),
            change(3, Basis::After(2)),
            moving(4, ("b", Basis::Version("b".into())), ("c", Basis::Version("c".into()))),
            of_row(AcceptedRow { key: "b".to_owned(), ..row(5, Basis::After(4)) }),
            of_row(AcceptedRow { key: "c".to_owned(), ..row(6, Basis::After(4)) }),
        ]);
        let newest_of = |chains: &mut Chains, first: u64, newest: u64, knew: bool| {
            let first = chains.numbered(first).unwrap();
            let given_up = chains.take_with_followers(&first, |other| other.row.number <= newest);
            let bases = |row: &AcceptedRow| (row.number, row.basis.clone());
            chains.without(&given_up, |_| knew).iter().map(bases).collect::<Vec<_>>()
        };
        let version = |name: &str| Basis::Version(name.into());
        assert_eq!(newest_of(&mut chains, 1, 2, true), [(3, version("v"))]);
        // What was saved where something was moved from replaces that if whoever moved it knew it.
        assert_eq!(newest_of(&mut chains, 4, 4, true), [(5, version("b")), (6, version("c"))]);
        chains.numbered(4).unwrap().set_waiting();
        assert_eq!(newest_of(&mut chains, 4, 4, false), [(6, version("c"))]);
        let third = chains.numbered(3).unwrap();
        assert_eq!(chains.without(&[third], |_| true), []);
    }

    #[test]
    fn a_folder_waits_for_the_file_in_its_place_and_a_file_for_what_was_in_a_folder() {
        let of =
            |number, key: &str| of_row(AcceptedRow { key: key.to_owned(), ..row(number, Basis::Absent) });
        let chains = chains([of(1, "d"), of(2, "d/"), of(3, "e/x"), of(4, "e"), of(5, "e-x"), of(6, "f/y")]);
        let heads: Vec<u64> = chains.waiting().map(|change| change.row.number).collect();
        assert_eq!(heads, [1, 3, 5, 6]);
        let key = |name| Key::new(name).unwrap();
        assert_eq!((number(chains.first(&key("d/"))), number(chains.first(&key("e")))), (Some(1), Some(3)));
        assert_eq!((chains.any_below("f/"), chains.any_below("f/y/")), (Some(key("f/y")), None));
    }

    #[test]
    fn what_waited_is_begun_when_what_held_it_up_has_ended() {
        let of =
            |number, key: &str| of_row(AcceptedRow { key: key.to_owned(), ..row(number, Basis::Absent) });
        let moved = moving(7, ("d/file", Basis::Absent), ("g", Basis::Absent));
        let mut chains =
            chains([of(1, "d"), of(2, "d/"), of(3, "e/x"), of(4, "e"), change(6, Basis::Absent), moved]);
        assert_eq!(begun(&mut chains), [6, 1, 3]);
        for (ends, begins) in [(1, 2), (3, 4), (6, 7)] {
            assert!(begun(&mut chains).is_empty());
            let ended = chains.numbered(ends).unwrap();
            chains.remove(&ended);
            assert_eq!(begun(&mut chains), [begins]);
        }
    }

    #[test]
    fn what_is_refused_holds_up_only_what_builds_on_it() {
        let mut chains =
            chains([change(1, Basis::Absent), change(2, Basis::After(1)), change(3, Basis::Absent)]);
        assert_eq!(begun(&mut chains), [1]);
        let first = chains.first(&key()).unwrap();
        chains.set_refused(&first, "denied".to_owned());
        assert_eq!(chains.refused().count(), 1);
        assert!(begun(&mut chains).is_empty(), "the second comes before the third");
        let second = chains.numbered(2).unwrap();
        chains.remove(&second);
        assert_eq!(begun(&mut chains), [3]);
        chains.set_retried(&first);
        let third = chains.numbered(3).unwrap();
        chains.remove(&third);
        assert_eq!(begun(&mut chains), [1]);
    }

    #[test]
    fn what_is_at_another_name_by_now_is_not_given_up() {
        let mut chains = chains([
            change(1, Basis::Absent),
            moving(2, ("d/file", Basis::After(1)), ("d/other", Basis::Absent)),
            change(3, Basis::After(2)),
        ]);
        let mut taken = |number| {
            let change = chains.numbered(number).unwrap();
            let taken = chains.take_with_followers(&change, |other| *other.key() == key());
            taken.iter().map(|change| change.row.number).collect::<Vec<_>>()
        };
        assert_eq!(taken(1), [0; 0]);
        assert_eq!(taken(3), [3]);
    }

    #[test]
    fn what_is_given_up_leaves_what_is_not_meant() {
        let mut chains = chains([
            moving(1, ("d/file", Basis::Version("v".into())), ("d/other", Basis::Absent)),
            change(2, Basis::After(1)),
        ]);
        let first = chains.first(&key()).unwrap();
        let taken = chains.take_with_followers(&first, |change| change.row.number == 1);
        assert_eq!(taken.len(), 1);
        let left = chains.left_over(&[1], &[]);
        assert_eq!((left.len(), left[0].number, &left[0].basis), (1, 2, &Basis::Absent));
        chains.set_waiting(&taken[0]);
        assert_eq!(chains.take_with_followers(&first, |_| true).len(), 2);
    }

    #[test]
    fn what_was_just_accepted_rests_unless_somebody_waits_for_it() {
        let mut chains = Chains::resting(Duration::from_secs(100));
        chains.push(change(1, Basis::Absent));
        assert!(chains.begin(9).is_empty());
        assert!(chains.next_due().is_some_and(|due| due > Duration::from_secs(90)));
        let first = chains.first(&key()).unwrap();
        assert!(chains.hurry(&first) && !chains.hurry(&first));
        assert_eq!(chains.next_due(), Some(Duration::ZERO));
        assert_eq!(chains.begin(9).len(), 1);
        assert_eq!(chains.next_due(), None, "it is under way");
    }

    #[test]
    fn deletions_are_made_together() {
        let delete = |number: u64, key: &str| {
            of_row(AcceptedRow { key: key.to_owned(), ..row(number, Basis::Version("v".into())) })
        };
        let mut chains = chains([delete(1, "a"), change(2, Basis::Absent), delete(3, "b"), delete(4, "c")]);
        let groups = chains.begin(9);
        let numbers = |group: &Vec<Arc<Pending>>| group.iter().map(|change| change.row.number).collect();
        assert_eq!(groups.iter().map(numbers).collect::<Vec<Vec<u64>>>(), [vec![2], vec![1, 3, 4]]);
    }

    #[test]
    fn what_is_refused_waits_until_somebody_sees_to_it() {
        let mut chains = chains([change(1, Basis::Absent)]);
        let first = chains.first(&key()).unwrap();
        chains.set_refused(&first, "denied".to_owned());
        assert_eq!(first.refusal(), Some("denied".to_owned()));
        assert!(begun(&mut chains).is_empty());
    }
}
