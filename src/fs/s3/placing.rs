//! Objects copied or moved to their places, one by one or thousands at once.
//!
//! Both ends are conditional. A source that changed meanwhile is copied again in its new version; a
//! destination that changed keeps what it has, and the copy goes beside it.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::conflict::{beside, unless_taken};
use super::{Failure, Shared};
use crate::fs::RequestContext;
use crate::fs::error::log_failure;
use crate::fs::file_system::Transfer;
use crate::fs::following::Following;
use crate::object::{Condition, ETag, Key, Written};
use crate::store::namespace::Namespace;
use crate::store::tree::{self, Leaf};
use crate::store::{CopyObject, Foreseen, ObjectStore, StoreError};

/// One object to copy or move.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) from: Leaf,
    pub(super) to: Key,
    /// Of the destination.
    pub(super) condition: Condition,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Placing {
    pub(super) store: Namespace,
    pub(super) shared: Arc<Shared>,
    pub(super) context: Arc<RequestContext>,
    pub(super) kind: Transfer,
    /// Of the whole, as the state database names them.
    pub(super) ends: (String, String),
    /// The client lets the destination be replaced; otherwise it is told that there is something.
    pub(super) may_replace: bool,
}

/// What is known of a copy or a move before it has ended.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What is kept of it and has not followed yet.
    pub(super) following: Option<Following>,
    /// Where the file is, of which version of its source: that may be deleted by now.
    pub(super) copied: Option<Placed>,
}

/// Where a copy went, of which version of its source: to its destination, or beside what somebody else made there.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) from: Leaf,
    pub(super) to: Key,
    pub(super) written: Written,
}

impl Placing {
    /// Carries out all jobs. A failure ends it; what was copied stays, and no source is deleted of
    /// which the copy is not there.
    ///
    /// Whose properties follow is noted in `progress` when all copies are there and no source is deleted yet.
    pub(super) async fn run(&self, mut jobs: Vec<Job>, progress: &mut Progress) -> Result<(), Failure> {
        for round in 0..MOST_ROUNDS {
            let placed = match self.copy_all(jobs, round == 0).await {
                // What was there is moved, and what came after it is somebody else's, and gone.
                Err(Failure::NotFound) if round > 0 => return Ok(()),
                placed => placed?,
            };
            if self.context.outcome.has_lost() || self.has_moved_unseen(&placed) {
                // Whoever has lost must not replace the winner after a crash, nor what it has moved and not got.
                log_failure(self.shared.state.sync().await);
            }
            if self.kind == Transfer::Copy {
                return Ok(());
            }
            progress.copied = match placed.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            };
            if round == 0 {
                let (from, to) = &self.ends;
                progress.following = Following::of_properties(&self.shared.state, from, Some(to)).await;
            }
            jobs = self.remove_sources(placed).await?;
            if jobs.is_empty() {
                return Ok(());
            }
        }
        Err(Failure::Conflict("it kept changing while it was moved".to_owned()))
    }

    fn has_moved_unseen(&self, placed: &[Placed]) -> bool {
        let is_unseen =
            |to: &Key| self.shared.seen_versions.has_moved_unseen(&self.context.client, to.as_str());
        self.kind == Transfer::Move && placed.iter().any(|placed| is_unseen(&placed.to))
    }

    /// `first`: no source has been deleted yet.
    async fn copy_all(&self, jobs: Vec<Job>, first: bool) -> Result<Vec<Placed>, Failure> {
        let total = jobs.len();
        let jobs: Vec<Vec<Job>> = jobs.chunks(FORESEEN).map(<[Job]>::to_vec).collect();
        let jobs = stream::iter(jobs).then(|jobs| {
            let placing = self.clone();
            async move {
                placing.foresee(&jobs).await;
                stream::iter(jobs)
            }
        });
        let copies = jobs.flatten().map(|job| {
            let (placing, key) = (self.clone(), job.from.key.to_string());
            async move { (key, placing.copy(job).await) }
        });
        let mut copies = std::pin::pin!(copies.buffer_unordered(PARALLEL_COPIES));
        let mut placed = Vec::with_capacity(total);
        while let Some((key, copy)) = copies.next().await {
            match copy {
                // Of a tree it is told how far it came; of a file there is nothing to tell.
                Err(Failure::Store(source)) if total > 1 && first => {
                    return Err(Failure::CopyIncomplete { done: placed.len(), total, key, source });
                }
                copy => placed.extend(copy?),
            }
        }
        if placed.is_empty() && total == 1 {
            return Err(Failure::NotFound);
        }
        Ok(placed)
    }

    async fn foresee(&self, jobs: &[Job]) {
        let foreseen = jobs.iter().map(|job| Foreseen {
            from: job.from.key.clone(),
            to: job.to.clone(),
            // One in parts would be made of several versions.
            is_move: self.kind == Transfer::Move && self.shared.uploads.is_copied_whole(job.from.size),
        });
        self.store.foresee(&foreseen.collect::<Vec<_>>()).await;
    }

    /// Copies one object; `None` if the source is gone, which in a tree is no failure.
    async fn copy(&self, mut job: Job) -> Result<Option<Placed>, Failure> {
        let loser = self.shared.loser(&self.context.client, job.to.as_str());
        let loser = loser.filter(|(copy, _)| *copy != job.from.key);
        for _ in 0..MOST_ROUNDS {
            let lost = match self.copy_to(&job.from, &job.to, &job.condition).await {
                Err(error @ (StoreError::ConditionFailed | StoreError::NotFound)) => error,
                written => return Ok(Some(self.placed(job, written?))),
            };
            // Either end may have changed. Both are in doubt now, so this asks S3.
            match self.store.head(&job.from.key).await {
                // It may have been copied by a try whose answer was lost, and moved away by somebody else since.
                Err(StoreError::NotFound) => {
                    return Ok(self.is_there(&job).await.map(|written| self.placed(job, written)));
                }
                meta => {
                    let meta = meta?;
                    if meta.etag != job.from.etag {
                        job.from = Leaf { key: job.from.key, etag: meta.etag, size: meta.size, ..job.from };
                        continue;
                    }
                }
            }
            if !self.may_replace {
                return Err(StoreError::ConditionFailed.into());
            }
            if let Some(written) = self.is_there(&job).await {
                return Ok(Some(self.placed(job, written)));
            }
            match lost {
                // What should be replaced was deleted.
                StoreError::NotFound => job.condition = Condition::IfAbsent,
                _ => return self.copy_beside(job, loser).await.map(Some),
            }
        }
        Err(Failure::Conflict("it kept changing while it was copied".to_owned()))
    }

    /// The destination, if it is this version already: a move that was cut is made again.
    async fn is_there(&self, job: &Job) -> Option<Written> {
        let there = self.store.head(&job.to).await.ok()?;
        let is_same = there.etag == job.from.etag && there.size == job.from.size;
        is_same.then_some(Written { etag: there.etag, last_modified: there.last_modified })
    }

    /// `loser`: what the client had lost there when this began; it saves that again.
    async fn copy_beside(&self, job: Job, loser: Option<(Key, ETag)>) -> Result<Placed, Failure> {
        let (to, written) = match self.copy_over(&job.from, loser).await? {
            Some(placed) => placed,
            None => self.copy_to_new(&job).await?,
        };
        self.context.outcome.set_lost();
        let (client, seen_versions) = (&self.context.client, &self.shared.seen_versions);
        let from = &job.from;
        let has_seen = seen_versions.of(client, from.key.as_str()).is_some_and(|seen| seen == from.etag);
        seen_versions.moved_beside(client, job.to.as_str(), to.as_str(), (&written.etag, has_seen));
        Ok(Placed { from: job.from, to, written })
    }

    /// Copies over what the client had lost before; `None`: there is none, or it is somebody else's by now.
    async fn copy_over(
        &self,
        from: &Leaf,
        loser: Option<(Key, ETag)>,
    ) -> Result<Option<(Key, Written)>, StoreError> {
        let Some((copy, etag)) = loser else { return Ok(None) };
        match self.copy_to(from, &copy, &Condition::IfMatch(etag)).await {
            Err(StoreError::ConditionFailed | StoreError::NotFound) => Ok(None),
            written => Ok(Some((copy, written?))),
        }
    }

    async fn copy_to_new(&self, job: &Job) -> Result<(Key, Written), StoreError> {
        let copy = |key: Key| async move {
            // What is moved may have such a name itself.
            if key == job.from.key {
                return Ok(None);
            }
            unless_taken(self.copy_to(&job.from, &key, &Condition::IfAbsent).await)
        };
        let (to, written) = beside(&self.store, &job.to, copy).await?;
        self.shared.report_conflict(job.to.as_str(), to.as_str());
        Ok((to, written))
    }

    async fn copy_to(&self, from: &Leaf, to: &Key, condition: &Condition) -> Result<Written, StoreError> {
        let source = &from.source(&self.store);
        self.shared.uploads.copy(&self.store.objects(), CopyObject { source, to, condition }).await
    }

    fn placed(&self, job: Job, written: Written) -> Placed {
        let (client, seen_versions) = (&self.context.client, &self.shared.seen_versions);
        seen_versions.saw(client, job.to.as_str(), &written.etag);
        if self.kind == Transfer::Move {
            let ends = (job.from.key.as_str(), job.to.as_str());
            seen_versions.moved_as(&self.context, ends, (&job.from.etag, job.from.size));
        }
        Placed { from: job.from, to: job.to, written }
    }

    /// Deletes what was copied, in the versions that were. Returns what must be done again since it
    /// changed in between.
    async fn remove_sources(&self, placed: Vec<Placed>) -> Result<Vec<Job>, Failure> {
        let mut again = Vec::new();
        for placed in self.changed_sources(placed).await? {
            let meta = match self.store.head(&placed.from.key).await {
                Err(StoreError::NotFound) => continue,
                meta => meta?,
            };
            let from = Leaf { etag: meta.etag, size: meta.size, ..placed.from };
            again.push(Job { from, to: placed.to, condition: Condition::IfMatch(placed.written.etag) });
        }
        Ok(again)
    }

    async fn changed_sources(&self, placed: Vec<Placed>) -> Result<Vec<Placed>, Failure> {
        let forget = |gone: &Placed| {
            self.shared.seen_versions.forget(&self.context.client, gone.from.key.as_str());
        };
        if let [only] = placed.as_slice() {
            let condition = Condition::IfMatch(only.from.etag.clone());
            return match self.store.delete(&only.from.key, &condition).await {
                Err(StoreError::ConditionFailed) => Ok(placed),
                Ok(()) | Err(StoreError::NotFound) => {
                    forget(only);
                    Ok(Vec::new())
                }
                Err(error) => Err(error.into()),
            };
        }
        let targets: Vec<_> = placed.iter().map(|placed| placed.from.delete_target()).collect();
        let failure = match tree::delete(&self.store.objects(), &targets).await {
            Ok(()) => {
                placed.iter().for_each(forget);
                return Ok(Vec::new());
            }
            Err(failure) => failure,
        };
        if failure.only_changed {
            let (left, gone): (Vec<_>, _) =
                placed.into_iter().partition(|placed| failure.keys.contains(&placed.from.key));
            gone.iter().for_each(forget);
            return Ok(left);
        }
        Err(failure.into())
    }
}

/// Copies are answered when S3 is done, mostly within 100 ms; half of the connections may wait so.
const PARALLEL_COPIES: usize = 32;
/// Copies that are announced together: a look that serves all of them must not be old for the last.
const FORESEEN: usize = 1000;
/// Who changes an object more often than this while it is moved is moving it himself.
const MOST_ROUNDS: usize = 3;
