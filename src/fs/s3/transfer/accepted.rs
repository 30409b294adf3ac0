//! A move that is accepted, and made later.

use super::Transferring;
use crate::fs::Failure;
use crate::fs::conflict::keys_beside;
use crate::fs::error::log_failure;
use crate::fs::following::Following;
use crate::fs::losers::unseen;
use crate::fs::s3::conflict::room;
use crate::fs::s3::metadata::{Located, Node};
use crate::fs::s3::placing::{Placed, Progress};
use crate::fs::s3::silence::{Silence, writer};
use crate::object::{Condition, ETag, Key, ObjectMeta, Written};
use crate::store::ObjectStore;
use crate::store::journal::{MovedFile, is_unstored};

/// Where a file is moved to.
struct Place {
    key: Key,
    condition: Condition,
    /// Beside its destination, since somebody else's is there.
    is_beside: bool,
}

impl Transferring {
    /// Moves a file, or accepts that it is moved if S3 takes nothing.
    pub(super) async fn run_or_accept(&self) -> Result<(), Failure> {
        let mut progress = Progress::default();
        let Node::File(meta) = &self.source.node else { return self.run(&mut progress).await };
        let (from, to) = (Key::new(&self.source.key)?, Key::new(&self.target.key)?);
        let mut was_sent = false;
        let sending = async {
            was_sent = true;
            self.run(&mut progress).await
        };
        let journal = self.shared.store.journal();
        let asked = if journal.has(&from) { &from } else { &to };
        if let Some(moved) = Silence::begin(&self.shared, asked).or_none(sending).await {
            return moved;
        }
        let loser = self.shared.loser(&self.context.client, &self.target.key);
        let mut meta = meta.clone();
        // What is there has only its source to lose.
        let (place, copied) = match progress.copied.take() {
            Some(Placed { from, to, written }) => {
                (meta.etag, meta.size) = (from.etag, from.size);
                (Place { key: to, condition: Condition::IfAbsent, is_beside: false }, Some(written.etag))
            }
            None => (self.place(&from, to, loser.clone()).await?, None),
        };
        let version = (meta.etag.clone(), meta.size);
        let (to, condition) = (place.key.clone(), place.condition.clone());
        let moved = MovedFile { from, meta, to, condition, was_sent, copied, loser };
        let writer = writer(&self.context.client);
        let accepted = journal.accept_move(moved, &writer).await;
        let written = match accepted.map_err(Failure::from) {
            Ok(written) => written,
            Err(failure) if self.shared.is_for_store(&place.key, &failure) => {
                return Box::pin(self.run(&mut progress)).await;
            }
            Err(failure) => {
                if let Some(following) = progress.following {
                    following.failed(&failure, &self.shared.looking(), &self.shared.shutdown).await;
                }
                return Err(failure);
            }
        };
        self.shared.note_accepted(&place.key, "a move");
        self.note_accepted(&place, &version, &written).await;
        progress.following.into_iter().for_each(Following::end);
        Ok(())
    }

    /// To `to`, or beside it where it is known that somebody else's is there: it would come to nothing.
    /// `own`: what its client had lost there before.
    async fn place(&self, from: &Key, to: Key, own: Option<(Key, ETag)>) -> Result<Place, Failure> {
        let old = match &self.target.old {
            Some(Located { node: Node::File(old), .. }) => Some(old),
            _ => None,
        };
        let condition = self.condition(&to, old.map(|old| &old.etag));
        if !old.is_some_and(|old| is_others(old, &condition)) {
            return Ok(Place { key: to, condition, is_beside: false });
        }
        if let Some((key, etag)) = own.filter(|(copy, _)| copy != from)
            && self.store.head(&key).await.is_ok_and(|there| there.etag == etag)
        {
            return Ok(Place { key, condition: Condition::IfMatch(etag), is_beside: true });
        }
        let journal = self.shared.store.journal();
        let is_free = |key: &Key| key != from && !journal.has(key);
        let mut names = keys_beside(to.as_str(), room(&self.store, &to)).filter_map(|key| Key::new(key).ok());
        let key = names.find(is_free).ok_or(Failure::UnderWay)?;
        Ok(Place { key, condition: Condition::IfAbsent, is_beside: true })
    }

    async fn note_accepted(&self, place: &Place, (moved, size): &(ETag, u64), written: &Written) {
        let (shared, client, from) = (&self.shared, &self.context.client, &self.source.key);
        let (to, seen_versions) = (place.key.as_str(), &shared.seen_versions);
        let has_seen = seen_versions.of(client, from).is_some_and(|seen| seen == *moved);
        seen_versions.made(client, to, &written.etag);
        let is_unseen = seen_versions.moved_as(&self.context, (from, to), (moved, *size));
        if place.is_beside {
            self.context.outcome.set_lost();
            shared.report_conflict(&self.target.key, to);
            seen_versions.moved_beside(client, &self.target.key, to, (&written.etag, has_seen));
        }
        if place.is_beside || is_unseen {
            // Whoever has lost must not replace the winner after a crash, nor what it has moved and not got.
            log_failure(shared.state.sync().await);
        }
        seen_versions.forget(client, from);
        shared.dates.touch_parent(from);
        shared.dates.touch_parent(to);
        log_failure(shared.state.remove_properties(to).await);
        log_failure(shared.state.transfer_properties(from, to, false).await);
    }
}

/// Whether what is there is known to be another version than the condition allows. What waits for S3 may be stored as that yet.
fn is_others(there: &ObjectMeta, condition: &Condition) -> bool {
    let may_be = |meant: &ETag| {
        // What was made empty the store may call otherwise.
        let is_nothing = *meant == ETag::of_nothing() && there.size == 0;
        is_unstored(meant) || is_unstored(&there.etag) || *meant == there.etag || is_nothing
    };
    match condition {
        Condition::IfMatch(meant) => *meant == unseen() || !may_be(meant),
        Condition::IfAbsent => !is_unstored(&there.etag),
        Condition::None => false,
    }
}
