//! Whether S3 takes anything of a change, and what may be accepted when it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Failure, S3FileSystem, Shared};
use crate::fs::Client;
use crate::logging::with_causes;
use crate::object::{ETag, Key};
use crate::store::journal::{Durability, Writer};
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::{StoreError, StoreResult};
use crate::tally;

/// How long S3 has taken nothing of a change. Cloning goes on from the same begin.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    shared: Arc<Shared>,
    /// What is changed.
    key: Key,
    /// Since when it is looked at.
    begun: Instant,
}

impl Silence {
    pub(super) fn begin(shared: &Arc<Shared>, key: &Key) -> Self {
        Self { shared: Arc::clone(shared), key: key.clone(), begun: Instant::now() }
    }

    /// What was before does not count.
    pub(super) fn begin_again(&mut self) {
        self.begun = Instant::now();
    }

    fn patience(&self) -> Duration {
        self.shared.options.store_patience
    }

    fn is_lost(&self) -> bool {
        self.shared.store.reach().is_lost()
    }

    /// When S3 last took something.
    fn since(&self) -> Instant {
        tally::current().and_then(|tally| tally.taken()).map_or(self.begun, |taken| taken.max(self.begun))
    }

    /// Whether S3 is known to be away, or has failed since it last took something, for longer than it is waited for.
    pub(super) fn is_long(&self) -> bool {
        let since = self.since();
        let has_failed = || tally::current().and_then(|tally| tally.failed()).is_some_and(|at| at >= since);
        self.is_lost() || (since.elapsed() >= self.patience() && has_failed())
    }

    /// Waits until S3 has taken nothing for longer than it is waited for. One that is at work, such as on a copy or on
    /// putting parts together, may take its time: it answers other questions meanwhile.
    pub(super) async fn grown(&self) {
        let mut asked = self.begun;
        while !self.is_long() {
            let since = self.since().max(asked);
            // The last fifth is for asking.
            if since.elapsed() < self.patience().mul_f64(0.8) {
                sleep(LOOK.min(self.patience() / 5)).await;
            } else if self.is_silent().await {
                break;
            } else {
                asked = Instant::now();
            }
        }
        // Others need not find that out by themselves.
        self.shared.store.reach().gave_up(self.since());
    }

    /// Whether S3 does not even answer a question.
    async fn is_silent(&self) -> bool {
        let time = self.patience() / 5;
        let policy = RetryPolicy { limit: Limit::Each(time), for_credentials: false };
        timeout(time, ask(&self.shared, &self.key, policy)).await.map_or(true, |asked| asked.is_err())
    }

    /// What `work` comes to; `None`: S3 takes nothing, and it was not begun, or broken off, or has failed in a way that may
    /// pass, whatever S3 has of it.
    pub(super) async fn or_none<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Option<Result<T, Failure>> {
        if self.shared.accepts_at_once(&self.key) {
            return None;
        }
        // It is large, and lies below much else.
        let mut work = Box::pin(work);
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            () = self.grown() => return None,
        };
        let may_pass = matches!(&done, Err(Failure::Store(error)) if error.is_transient());
        (!may_pass).then_some(done)
    }
}

impl Shared {
    /// Whether what may be accepted need not be tried first: S3 could not be asked, or not before it has what was accepted of
    /// this file, and that may be large.
    pub(super) fn accepts_at_once(&self, key: &Key) -> bool {
        self.options.durability == Durability::Journal
            || self.store.reach().is_lost()
            || self.store.journal().has(key)
    }

    /// Whether a change that could not be accepted is made in S3 at once: this machine's disk takes nothing, and nobody has
    /// begun to make it.
    pub(super) fn is_for_store(&self, key: &Key, failure: &Failure) -> bool {
        let is_of_disk = matches!(failure, Failure::OwnDisk(_) | Failure::State(_));
        let is_untried = self.options.durability == Durability::Journal && !self.store.reach().is_lost();
        if is_of_disk && is_untried {
            let error = with_causes(failure);
            tracing::warn!(%key, error, "a change cannot be kept on this machine; it is made in S3 at once");
        }
        is_of_disk && is_untried
    }

    /// Tells that something was accepted.
    pub(super) fn note_accepted(&self, key: &Key, what: &str) {
        if self.options.durability == Durability::Journal && !self.store.reach().is_lost() {
            tracing::debug!(%key, what, "accepted on this machine, and made in S3 soon");
        } else {
            tracing::warn!(%key, what, "S3 takes nothing; it is accepted on this machine, and made in S3 when it does");
        }
    }
}

impl S3FileSystem {
    /// What `work` on `key` comes to, which nothing interrupts. A client that is not to be held up is told when S3 takes
    /// nothing of it, and it is not begun while S3 is away. What may end anywhere, `is_loose`, does not go on then.
    pub(super) async fn unless_silent<T: Send + 'static>(
        &self,
        key: &Key,
        is_loose: bool,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        if !self.shared.options.keeps || !self.context.client.quirks().hides_failed_close {
            return self.detached(work).await;
        }
        let silence = Silence::begin(&self.shared, key);
        let away = || StoreError::Unavailable("S3 takes nothing".into()).into();
        if silence.is_lost() && silence.is_silent().await {
            return Err(away());
        }
        let end = CancellationToken::new();
        let (end_of_work, gone) = (end.clone(), away());
        let work = async move { end_of_work.run_until_cancelled(work).await.unwrap_or(Err(gone)) };
        tokio::select! {
            biased;
            done = self.detached(work) => done,
            () = silence.grown() => {
                if is_loose {
                    end.cancel();
                }
                Err(away())
            }
        }
    }

    /// Whether changes of this client may be accepted before S3 has them: it cannot be told of all that fails, and does
    /// not repeat it.
    pub(super) fn may_accept(&self) -> bool {
        let is_wanted = self.shared.options.durability == Durability::Journal;
        self.shared.options.keeps && (is_wanted || self.context.client.quirks().hides_failed_close)
    }
}

/// Asks S3 something that is never answered from memory: whatever it answers, it is there. Why not, otherwise.
pub(super) async fn ask(shared: &Shared, key: &Key, policy: RetryPolicy) -> StoreResult<()> {
    // No version is called so.
    match shared.store.below_journal(policy).attributes(key, &ETag::new("none")).await {
        Err(error) if error.is_transient() => Err(error),
        _ => Ok(()),
    }
}

/// A client, as what was accepted tells of it.
pub(super) fn writer(client: &Client) -> Writer {
    Writer { row: client.to_row(), name: client.to_string() }
}

/// How often it is looked whether S3 is known to be away.
const LOOK: Duration = Duration::from_millis(250);
