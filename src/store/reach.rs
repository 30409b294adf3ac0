//! Whether S3 can be reached: a circuit breaker.
//!
//! A request that waits while nobody hears anything of S3, for a while and then not even the answer to a question, says that
//! S3 is out of reach. From then on look-ups and reads wait for a short time only, since each holds a client up, and
//! others behind it, and what is saved may be accepted on this machine. Each of them is a probe all the same: the first answer, to whatever request of whomever,
//! says that S3 is back.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// See the module. Of one endpoint; cloning shares it.
#[derive(Debug, Clone)]
pub struct Reach(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    wait: Duration,
    silence: Duration,
    heard: Mutex<Heard>,
    server: Mutex<Option<String>>,
    /// It answers again.
    back: Notify,
}

#[derive(Debug, Default)]
struct Heard {
    last: Option<Instant>,
    is_lost: bool,
}

impl Default for Reach {
    fn default() -> Self {
        Self::new(LOST_WAIT, SILENCE)
    }
}

impl Reach {
    /// `wait`: how long a look-up or a read may wait while S3 is out of reach. `silence`: how long S3 may say nothing
    /// before it is asked whether it is there.
    pub fn new(wait: Duration, silence: Duration) -> Self {
        Self(Arc::new(Inner {
            wait,
            silence,
            heard: Mutex::default(),
            server: Mutex::default(),
            back: Notify::new(),
        }))
    }

    /// S3 has answered, whatever.
    pub fn heard(&self) {
        let was_lost = {
            let mut heard = self.0.heard.lock();
            heard.last = Some(Instant::now());
            std::mem::take(&mut heard.is_lost)
        };
        if was_lost {
            self.0.back.notify_waiters();
            tracing::info!("S3 answers again");
        }
    }

    /// Waits until S3 answers again, after it was lost.
    pub async fn back(&self) {
        self.0.back.notified().await;
    }

    /// What the server says that it is.
    pub(super) fn is_served_by(&self, server: &str) {
        let mut known = self.0.server.lock();
        if known.as_deref() != Some(server) {
            *known = Some(server.to_owned());
        }
    }

    /// What the server last said that it is, if it says so.
    pub(super) fn server(&self) -> Option<String> {
        self.0.server.lock().clone()
    }

    /// A request that has waited since `begun` gives up.
    pub fn gave_up(&self, begun: Instant) {
        let is_new = {
            let mut heard = self.0.heard.lock();
            let is_new = !heard.is_lost && heard.last.is_none_or(|last| last < begun);
            heard.is_lost |= is_new;
            is_new
        };
        if is_new {
            let wait = self.0.wait;
            tracing::warn!(
                ?wait,
                "S3 is unreachable; until it answers, look-ups and reads wait no longer than this"
            );
        }
    }

    /// Since when S3 has said nothing, as far as it is looked at: from `begun` on.
    pub(super) fn silent_since(&self, begun: Instant) -> Instant {
        self.0.heard.lock().last.map_or(begun, |last| last.max(begun))
    }

    /// How long S3 may say nothing before it is asked whether it is there.
    pub(super) fn silence(&self) -> Duration {
        self.0.silence
    }

    /// Whether S3 has ever answered.
    pub fn has_heard(&self) -> bool {
        self.0.heard.lock().last.is_some()
    }

    /// Whether S3 is out of reach.
    pub fn is_lost(&self) -> bool {
        self.0.heard.lock().is_lost
    }

    /// How long a look-up or a read may wait while S3 is out of reach.
    pub(super) fn wait(&self) -> Duration {
        self.0.wait
    }
}

/// Beyond the time for a connection, so that each is a probe; a Mac's five workers and its user stand it.
pub const LOST_WAIT: Duration = Duration::from_secs(5);
/// A look-up takes a fraction of a second when all is well.
const SILENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_loses_s3_and_any_answer_finds_it() {
        let reach = Reach::default();
        let begun = Instant::now();
        reach.heard();
        tokio::time::advance(Duration::from_secs(1)).await;
        reach.gave_up(begun);
        assert!(!reach.is_lost(), "it has answered meanwhile, though not this request");
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        reach.gave_up(begun);
        reach.gave_up(begun);
        assert!(reach.clone().is_lost());
        reach.heard();
        assert!(!reach.is_lost());
    }
}
