//! When what was written survives a crash and a power cut.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redb::Durability;
use tokio_util::task::AbortOnDropHandle;

use super::{Inner, State, StateError, schema};
use crate::sync::blocking;

/// The sync that comes soon.
#[derive(Debug, Default)]
pub(super) struct Syncing {
    is_under_way: bool,
    task: Option<AbortOnDropHandle<()>>,
}

impl State {
    /// Makes everything written so far survive a crash and a power cut.
    pub async fn sync(&self) -> Result<(), StateError> {
        let (state, database) = (self.clone(), Arc::clone(&self.0.database));
        let work = move |database: &redb::Database| {
            let _turn = state.0.writing.lock();
            // Others may have done it meanwhile: those who come at once share one sync.
            if state.is_unsynced() {
                state.commit(database, Durability::Immediate, |_| Ok(()))
            } else {
                Ok(())
            }
        };
        blocking(move || database.run(work)).await?
    }

    /// The same, at the end: nothing more will be written.
    pub async fn close(&self) -> Result<(), StateError> {
        let (state, database) = (self.clone(), Arc::clone(&self.0.database));
        let work = move |database: &redb::Database| {
            let _turn = state.0.writing.lock();
            let ends_in_order = !state.0.leaves_crash();
            let note = |transaction: &_| if ends_in_order { schema::note_close(transaction) } else { Ok(()) };
            state.commit(database, Durability::Immediate, note)
        };
        blocking(move || database.run(work)).await?
    }

    /// As [`Self::sync`], within [`SYNC_WITHIN`].
    pub(super) fn sync_soon(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut syncing = self.0.syncing.lock();
        if !syncing.is_under_way {
            syncing.is_under_way = true;
            let task = sync_all(Arc::downgrade(&self.0));
            syncing.task = Some(AbortOnDropHandle::new(runtime.spawn(task)));
        }
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.0.is_unsynced.load(Ordering::Acquire) || self.0.pending.has_changes() || !self.0.seen.is_empty()
    }
}

impl Inner {
    /// Whether the life before did not end in order, and the next gateway is to find that.
    pub(super) fn leaves_crash(&self) -> bool {
        self.is_visit && self.unsure_since.is_some()
    }
}

/// Syncs until nothing is left, unless the state is gone by then.
async fn sync_all(state: Weak<Inner>) {
    let mut is_told = false;
    loop {
        tokio::time::sleep(SYNC_WITHIN).await;
        let Some(state) = state.upgrade().map(State) else { return };
        if let Err(error) = state.sync().await
            && !std::mem::replace(&mut is_told, true)
        {
            tracing::warn!(%error, "the newest state would not survive a crash");
        }
        // Whoever writes from now on begins anew, or is seen here.
        let mut syncing = state.0.syncing.lock();
        if !state.is_unsynced() {
            syncing.is_under_way = false;
            return;
        }
    }
}

/// What is written without a sync survives a crash from then on.
const SYNC_WITHIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_command_leaves_it_to_the_next_gateway_whether_the_last_one_crashed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let visit = async || {
            let state = State::visit(directory.path(), "a command").await.unwrap();
            state.sync().await.unwrap();
            state.close().await.unwrap();
        };
        let state = State::open(directory.path(), "a gateway").await.unwrap();
        state.write(Durability::Immediate, |_| Ok(())).await.unwrap();
        fs::copy(at("state.redb"), at("crashed")).unwrap();
        state.close().await.unwrap();
        drop(state);
        visit().await;
        let state = State::open(directory.path(), "a gateway").await.unwrap();
        assert_eq!(state.unsure_since(), None);
        drop(state);
        fs::rename(at("crashed"), at("state.redb")).unwrap();
        let found = State::visit(directory.path(), "a command").await.unwrap().unsure_since();
        visit().await;
        let state = State::open(directory.path(), "a gateway").await.unwrap();
        assert!(found.is_some() && state.unsure_since() == found);
    }
}
