//! Whether S3 takes anything of a change, and what may be accepted when it does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{S3FileSystem, Shared};
use crate::fs::Client;
use crate::store::journal::Writer;
use crate::tally;

/// How long S3 has taken nothing of a change. Cloning goes on from the same begin.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    shared: Arc<Shared>,
    /// Since when it is looked at.
    begun: Instant,
}

impl Silence {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), begun: Instant::now() }
    }

    /// What was before does not count.
    pub(super) fn begin_again(&mut self) {
        self.begun = Instant::now();
    }

    /// When S3 last took something.
    fn since(&self) -> Instant {
        tally::current().and_then(|tally| tally.taken()).map_or(self.begun, |taken| taken.max(self.begun))
    }

    /// Whether S3 has taken nothing for longer than it is waited for, or is known to be away.
    pub(super) fn is_long(&self) -> bool {
        self.shared.store.reach().is_lost() || self.since().elapsed() >= self.shared.options.store_patience
    }

    /// Waits until it is.
    pub(super) async fn grown(&self) {
        while !self.is_long() {
            let end = self.since() + self.shared.options.store_patience;
            sleep_until(end.min(Instant::now() + LOOK)).await;
        }
        // Others need not find that out by themselves.
        self.shared.store.reach().gave_up(self.since());
    }

    /// What `work` comes to; `None`: S3 takes nothing, and it was broken off, whatever S3 has of it.
    pub(super) async fn or_none<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.grown() => None,
        }
    }
}

impl S3FileSystem {
    /// Whether changes of this client may be accepted before S3 has them: it cannot be told of all that fails, and does
    /// not repeat it.
    pub(super) fn may_accept(&self) -> bool {
        self.shared.options.keeps && self.context.client.quirks().hides_failed_close
    }
}

/// A client, as what was accepted tells of it.
pub(super) fn writer(client: &Client) -> Writer {
    Writer { row: client.to_row(), name: client.to_string() }
}

/// How often it is looked whether S3 is known to be away.
const LOOK: Duration = Duration::from_millis(250);
