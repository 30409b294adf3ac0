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

    /// Those that build on what is given up: they are to be made where nothing is.
    pub(super) fn left_by(&self, changes: &[Arc<Pending>]) -> Vec<AcceptedRow> {
        let mut rows = BTreeMap::new();
        for change in changes {
            change.keys().for_each(|key| self.rebase(&mut rows, change, key, (key, None)));
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
        let mut before = change.row.number;
        for follower in self.by_key.get(key).into_iter().flatten() {
            if !follower.builds_on(key, before) {
                continue;
            }
            let basis = match etag {
                _ if before != change.row.number => Basis::After(before),
                Some(etag) => Basis::Version(etag.quoted().to_owned()),
                None => Basis::Absent,
            };
            before = follower.row.number;
            let row = rows.entry(before).or_insert_with(|| follower.row.clone());
            *row = row.rebased(key.as_str(), now.as_str(), basis);
        }
    }
}
