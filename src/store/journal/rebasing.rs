//! What builds on a change that has ended: on what it is to be made then.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chains::Chains;
use super::change::Pending;
use crate::object::{ETag, Key};
use crate::state::{AcceptedRow, Basis};

impl Chains {
    /// Those that build on `change`, as they are once that is made: what is to be at its key is at `now`, as `etag`, or
    /// there is nothing. Where something was moved from there is nothing either.
    pub(super) fn followers(&self, change: &Pending, now: &Key, etag: Option<&ETag>) -> Vec<AcceptedRow> {
        let mut rows = BTreeMap::new();
        self.rebase(&mut rows, change, change.key(), (now, etag));
        if let Some(from) = change.from() {
            self.rebase(&mut rows, change, from, (from, None));
        }
        rows.into_values().collect()
    }

    /// Those that build on what is at the keys of changes that are given up, and are kept: as they are to be made of what is
    /// there without these. `knew`: whose client knew what it moved; what that client saved in its place is meant to replace it.
    pub(super) fn without(
        &self,
        given_up: &[Arc<Pending>],
        knew: impl Fn(&Pending) -> bool,
    ) -> Vec<AcceptedRow> {
        let is_given_up = |number: u64| given_up.iter().any(|change| change.row.number == number);
        let mut rows = BTreeMap::new();
        for change in given_up {
            let key = change.key();
            self.uncover(&mut rows, (change, key), is_given_up, |_| true);
            if let Some(from) = change.from().filter(|_| knew(change)) {
                let is_own = |kept: &Pending| kept.row.writer == change.row.writer;
                self.uncover(&mut rows, (change, from), is_given_up, is_own);
            }
        }
        rows.into_values().collect()
    }

    /// Those that build on `change` at `key`, are kept and `go_on`, on what is there without those that are given up.
    fn uncover(
        &self,
        rows: &mut BTreeMap<u64, AcceptedRow>,
        (change, key): (&Pending, &Key),
        is_given_up: impl Fn(u64) -> bool,
        go_on: impl Fn(&Pending) -> bool,
    ) {
        let Some(below) = self.basis_below(change, key, &is_given_up) else { return };
        for kept in self.followers_at(change, key).filter(|kept| !is_given_up(kept.row.number) && go_on(kept))
        {
            let row = rows.entry(kept.row.number).or_insert_with(|| kept.row.clone());
            *row = row.rebased(key.as_str(), key.as_str(), below.clone());
        }
    }

    /// What the oldest of those builds on at `key` that lead to `change` there and are given up.
    fn basis_below(&self, change: &Pending, key: &Key, is_given_up: impl Fn(u64) -> bool) -> Option<Basis> {
        let mut basis = change.row.basis_at(key.as_str())?.clone();
        while let Basis::After(number) = basis
            && is_given_up(number)
        {
            basis = self.by_number.get(&number)?.row.basis_at(key.as_str())?.clone();
        }
        Some(basis)
    }

    /// What builds on something of which nothing is known, as after a damage, is to be made where nothing is.
    pub(super) fn ground(&mut self) {
        for change in self.everything().cloned().collect::<Vec<_>>() {
            let mut row = change.row.clone();
            for key in change.keys() {
                let is_known = |number: &u64| self.by_number.contains_key(number);
                if let Some(Basis::After(number)) = row.basis_at(key.as_str())
                    && !is_known(number)
                {
                    row = row.rebased(key.as_str(), key.as_str(), Basis::Absent);
                }
            }
            if row != change.row {
                self.replace(&row);
            }
        }
    }

    /// Those that build on what was written over, as `etag`.
    pub(super) fn beyond(&self, changes: &[Arc<Pending>], etag: &ETag) -> Vec<AcceptedRow> {
        let mut rows = BTreeMap::new();
        for change in changes {
            self.rebase(&mut rows, change, change.key(), (change.key(), Some(etag)));
        }
        changes.iter().for_each(|change| drop(rows.remove(&change.row.number)));
        rows.into_values().collect()
    }

    fn rebase(
        &self,
        rows: &mut BTreeMap<u64, AcceptedRow>,
        change: &Pending,
        key: &Key,
        (now, etag): (&Key, Option<&ETag>),
    ) {
        let ended = change.row.number;
        let mut line = vec![ended];
        for follower in self.by_key.get(key).into_iter().flatten() {
            // A move that comes to nothing and what was saved where it was build on the same.
            let Some(before) = line.iter().copied().find(|number| follower.builds_on(key, *number)) else {
                continue;
            };
            let basis = match etag {
                _ if before != ended => Basis::After(before),
                Some(etag) => Basis::Version(etag.quoted().to_owned()),
                None => Basis::Absent,
            };
            line.push(follower.row.number);
            let row = rows.entry(follower.row.number).or_insert_with(|| follower.row.clone());
            *row = row.rebased(key.as_str(), now.as_str(), basis);
        }
    }

    /// What builds on changes that end and is none of `changed`: it is to be made where nothing is.
    pub(super) fn left_over(&self, ended: &[u64], changed: &[AcceptedRow]) -> Vec<AcceptedRow> {
        let keys =
            ended.iter().filter_map(|number| self.by_number.get(number)).flat_map(|change| change.keys());
        let mut rows: BTreeMap<u64, AcceptedRow> = BTreeMap::new();
        for key in keys {
            let chain = self.by_key.get(key).into_iter().flatten();
            let is_left = |other: &&Arc<Pending>| {
                let number = other.row.number;
                !ended.contains(&number) && changed.iter().all(|row| row.number != number)
            };
            for other in chain.filter(is_left) {
                let row = rows.get(&other.row.number).unwrap_or(&other.row);
                if matches!(row.basis_at(key.as_str()), Some(Basis::After(before)) if ended.contains(before))
                {
                    let row = row.rebased(key.as_str(), key.as_str(), Basis::Absent);
                    rows.insert(row.number, row);
                }
            }
        }
        rows.into_values().collect()
    }
}
