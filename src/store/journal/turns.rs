//! The turns of changes: what is begun next, and when.

use std::sync::Arc;
use std::time::Duration;

use super::chains::Chains;
use super::change::Pending;
use super::ready::{Kind, Ready};

impl Chains {
    /// Somebody waits for it. Whether that is new.
    pub(super) fn hurry(&mut self, change: &Pending) -> bool {
        let is_new = change.hurry();
        if is_new {
            self.offer(change);
        }
        is_new
    }

    /// Nothing rests any more. Whether anything did.
    pub(super) fn hurry_all(&mut self) -> bool {
        self.ready.hurry();
        self.wake_rested();
        self.ready.has_due()
    }

    /// It could not be made, and waits for the next try.
    pub(super) fn set_failed(&mut self, change: &Pending, why: &str) {
        change.set_failed(why);
        self.offer(change);
    }

    /// The store will not take it, whenever it is asked.
    pub(super) fn set_refused(&mut self, change: &Pending, why: String) {
        change.set_refused(why);
        self.refused.insert(change.row.number);
        self.offer_after(change);
    }

    /// It is tried again.
    pub(super) fn set_retried(&mut self, change: &Pending) {
        change.set_retried();
        self.refused.remove(&change.row.number);
        self.offer(change);
    }

    /// Nobody makes it any more.
    pub(super) fn set_waiting(&mut self, change: &Pending) {
        change.set_waiting();
        self.offer(change);
    }

    /// It was not given up after all.
    pub(super) fn set_kept(&mut self, change: &Pending) {
        change.keep();
        self.offer(change);
    }

    /// What can be made next, unless it is being made or the store refuses it.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.everything().filter(|change| change.is_waiting() && self.is_first(change))
    }

    /// See [`super::Journal::begin`].
    pub(super) fn begin(&mut self, most: usize) -> Vec<Vec<Arc<Pending>>> {
        self.wake_rested();
        let mut groups = Vec::new();
        while groups.len() < most
            && let Some(change) = self.begin_next(others, Kind::take_due)
        {
            groups.push(vec![change]);
        }
        groups.extend((most > 0).then(|| self.begin_deletions()).filter(|group| !group.is_empty()));
        groups
    }

    /// Those that rest still go along with the first that does not.
    fn begin_deletions(&mut self) -> Vec<Arc<Pending>> {
        let mut group: Vec<_> = self.begin_next(deletions, Kind::take_due).into_iter().collect();
        if group.is_empty() {
            return group;
        }
        for take in [Kind::take_due, Kind::take_resting] {
            while group.len() < MOST_DELETED
                && let Some(change) = self.begin_next(deletions, take)
            {
                group.push(change);
            }
        }
        group
    }

    /// Begins the first that can be begun.
    fn begin_next(
        &mut self,
        of: fn(&mut Ready) -> &mut Kind,
        take: fn(&mut Kind) -> Option<u64>,
    ) -> Option<Arc<Pending>> {
        loop {
            let number = take(of(&mut self.ready))?;
            let offered = self.by_number.get(&number);
            let can_be =
                |change: &&Arc<Pending>| change.is_grounded() && self.is_first(change) && change.begin();
            if let Some(change) = offered.filter(can_be) {
                return Some(Arc::clone(change));
            }
        }
    }

    /// Those that have rested long enough are due.
    fn wake_rested(&mut self) {
        while let Some(change) = self.rested().cloned() {
            self.ready.offer(&change);
        }
    }

    fn rested(&self) -> Option<&Arc<Pending>> {
        let mut resting = self.ready.first_resting().filter_map(|number| self.by_number.get(&number));
        resting.find(|change| self.ready.rest(change).is_zero())
    }

    /// When something is to be begun that rests still; `None`: nothing is.
    pub(super) fn next_due(&self) -> Option<Duration> {
        if self.ready.has_due() {
            return Some(Duration::ZERO);
        }
        let resting = self.ready.first_resting().filter_map(|number| self.by_number.get(&number));
        resting.map(|change| self.ready.rest(change)).min()
    }
}

fn deletions(ready: &mut Ready) -> &mut Kind {
    &mut ready.deletions
}

fn others(ready: &mut Ready) -> &mut Kind {
    &mut ready.others
}

/// As many as S3 deletes in one request.
const MOST_DELETED: usize = 1000;
