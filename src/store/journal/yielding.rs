//! What the store refuses gives way to what else is to become of its names.
//!
//! A content is kept until the user sees to it, or something builds on it that has no need of it. What moves or deletes has no
//! content to lose: it is kept as long as nothing waits for it.

use std::sync::Arc;

use super::Journal;
use super::chains::Chains;
use super::change::Pending;
use crate::object::Key;
use crate::spool::KeptBody;
use crate::state::{AcceptedRow, Basis, Change};

/// What a refused change leaves to the one that builds on it.
#[derive(Debug, Default)]
struct HandedOn {
    /// These are not pending any more.
    ended: Vec<Arc<Pending>>,
    /// These are others now.
    changed: Vec<AcceptedRow>,
    /// These too; they may be tried, and have these bodies.
    renewed: Vec<(AcceptedRow, Option<KeptBody>)>,
}

impl Journal {
    /// Has refused changes give way to what waits for them. Those that are to be undone are returned, and are under way.
    pub async fn give_way(&self) -> Vec<Arc<Pending>> {
        let mut undone = Vec::new();
        for change in self.yielding() {
            let turns = self.turns_of(&[&change]).await;
            // It may have got another basis meanwhile, or nothing may build on it any more.
            let (change, handed_on) = {
                let mut chains = self.0.chains.lock();
                let Some(change) = chains.numbered(change.row.number) else { continue };
                let handed_on = chains.handed_on(&change);
                if handed_on.is_none() && matches!(change.row.change, Change::Put { .. }) {
                    chains.set_waiting(&change);
                    continue;
                }
                (change, handed_on)
            };
            match handed_on {
                Some(HandedOn { ended, changed, renewed }) => {
                    let ended: Vec<&Pending> = ended.iter().map(|change| &**change).collect();
                    self.end_and_renew(&ended, &changed, renewed).await;
                }
                None => undone.push(change),
            }
            drop(turns);
        }
        undone
    }

    fn yielding(&self) -> Vec<Arc<Pending>> {
        let chains = self.0.chains.lock();
        let is_followed = |change: &Pending| change.keys().any(|key| chains.follower(change, key).is_some());
        let yields =
            |change: &&Arc<Pending>| (change.is_in_the_way() || is_followed(change)) && change.take_anyway();
        chains.refused().filter(yields).cloned().collect()
    }
}

impl Chains {
    /// What is shown of a key, and before it what it builds on there, the oldest first.
    pub(super) fn leading_to_shown(&self, key: &Key) -> Vec<Arc<Pending>> {
        let mut line: Vec<_> = self.shown(key).into_iter().collect();
        while let Some(Basis::After(number)) = line.last().and_then(|last| last.row.basis_at(key.as_str()))
            && let Some(before) = self.numbered(*number)
        {
            line.push(before);
        }
        line.reverse();
        line
    }

    /// `None`: it is to be undone, since nothing can go on from it.
    fn handed_on(&self, refused: &Arc<Pending>) -> Option<HandedOn> {
        let key = refused.key();
        let follower = self.follower(refused, key).filter(|_| refused.from().is_none())?;
        let is_moved_away = follower.from() == Some(key);
        match &follower.row.change {
            Change::Move(_) if is_moved_away => Some(self.moved_on(refused, follower)),
            Change::Delete if refused.row.basis == Basis::Absent => {
                let ended = vec![Arc::clone(refused), Arc::clone(follower)];
                Some(HandedOn {
                    ended,
                    changed: self.based_at(key, follower, &Basis::Absent),
                    ..Default::default()
                })
            }
            Change::Put { .. } | Change::Delete | Change::Move(_) => {
                let row = follower.row.rebased(key.as_str(), key.as_str(), refused.row.basis.clone());
                Some(HandedOn { ended: vec![Arc::clone(refused)], changed: vec![row], ..Default::default() })
            }
        }
    }

    /// A refused content that is moved is to be stored where it goes; what it was to replace is to be deleted.
    fn moved_on(&self, refused: &Arc<Pending>, follower: &Arc<Pending>) -> HandedOn {
        let key = refused.key();
        let change = refused.row.change.clone();
        let there = (AcceptedRow { change, ..follower.row.clone() }, refused.body().cloned());
        if refused.row.basis == Basis::Absent {
            let changed = self.based_at(key, follower, &Basis::Absent);
            return HandedOn { ended: vec![Arc::clone(refused)], changed, renewed: vec![there] };
        }
        let here = (AcceptedRow { change: Change::Delete, ..refused.row.clone() }, None);
        let changed = self.based_at(key, follower, &Basis::After(refused.row.number));
        HandedOn { changed, renewed: vec![there, here], ..Default::default() }
    }

    /// What builds on `change` at `key`, on another basis.
    fn based_at(&self, key: &Key, change: &Pending, basis: &Basis) -> Vec<AcceptedRow> {
        let follower = self.follower(change, key);
        follower.map(|row| row.row.rebased(key.as_str(), key.as_str(), basis.clone())).into_iter().collect()
    }
}
