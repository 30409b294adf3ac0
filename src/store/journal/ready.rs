//! Which changes may be begun, so that nobody looks through all that is pending.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::change::{Pending, Turn};
use crate::state::Change;

/// Changes that may be begun. Each is looked at again when its turn comes, and offered again when what it waits for ends.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) deletions: Kind,
    pub(super) others: Kind,
    /// How long they rest.
    delay: Duration,
}

impl Ready {
    pub(super) fn resting(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// It may be that it can be begun.
    pub(super) fn offer(&mut self, change: &Pending) {
        let is_due = change.rests(self.delay).is_zero();
        let kind = if change.row.change == Change::Delete { &mut self.deletions } else { &mut self.others };
        kind.offer(change.turn(), is_due);
    }

    /// It cannot be begun any more.
    pub(super) fn withdraw(&mut self, number: u64) {
        self.deletions.withdraw(number);
        self.others.withdraw(number);
    }

    /// Nothing rests any more.
    pub(super) fn hurry(&mut self) {
        self.delay = Duration::ZERO;
    }

    pub(super) fn has_due(&self) -> bool {
        !self.deletions.due.is_empty() || !self.others.due.is_empty()
    }

    /// Those that rest, and were accepted first.
    pub(super) fn first_resting(&self) -> impl Iterator<Item = u64> {
        [&self.deletions, &self.others].into_iter().filter_map(|kind| kind.resting.first().copied())
    }

    /// How long a change rests still.
    pub(super) fn rest(&self, change: &Pending) -> Duration {
        change.rests(self.delay)
    }
}

/// Those of one kind.
#[derive(Debug, Default)]
pub(super) struct Kind {
    /// They have rested long enough.
    due: BTreeSet<Turn>,
    turns: HashMap<u64, Turn>,
    /// By their numbers: the first was accepted first.
    resting: BTreeSet<u64>,
}

impl Kind {
    fn offer(&mut self, turn: Turn, is_due: bool) {
        self.withdraw(turn.number);
        if is_due {
            self.due.insert(turn);
            self.turns.insert(turn.number, turn);
        } else {
            self.resting.insert(turn.number);
        }
    }

    fn withdraw(&mut self, number: u64) {
        self.resting.remove(&number);
        if let Some(turn) = self.turns.remove(&number) {
            self.due.remove(&turn);
        }
    }

    /// The first that is due, which is not offered any more then.
    pub(super) fn take_due(&mut self) -> Option<u64> {
        let Turn { number, .. } = self.due.pop_first()?;
        self.turns.remove(&number);
        Some(number)
    }

    /// The same of those that rest.
    pub(super) fn take_resting(&mut self) -> Option<u64> {
        self.resting.pop_first()
    }
}
