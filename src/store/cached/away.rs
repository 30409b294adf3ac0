//! What is answered while S3 is away: what was known before.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::Cached;
use crate::cache::Freshness;
use crate::object::{Key, Stat, parent_prefix};
use crate::store::{StoreError, StoreResult};

impl Cached {
    /// What is known of a name, however old. Of a file that was read it need not be known that nothing lies below its
    /// name, nor of a folder that was listed that it covers no file.
    pub(super) fn recalled_stat(&self, name: &Key) -> Option<Stat> {
        let object = self.metadata.object(name, Freshness::Any);
        match (object, self.metadata.prefix(&format!("{name}/"), Freshness::Any)) {
            (object, Some(true)) => Some(Stat { object: object.flatten(), is_prefix: true }),
            (Some(Some(meta)), _) => Some(Stat { object: Some(meta), is_prefix: false }),
            (Some(None), Some(false)) if self.reach.is_lost() => {
                self.is_known_whole(name).then_some(Stat { object: None, is_prefix: false })
            }
            _ => None,
        }
    }

    /// Whether all of the folder that would hold a name is known, however old that is.
    fn is_known_whole(&self, name: &Key) -> bool {
        let page = self.metadata.page(parent_prefix(name.as_str()), None, Freshness::Any);
        page.is_some_and(|page| page.continuation.is_none() && page.unreadable == 0)
    }

    /// Asks; not for long where an answer is known and S3 is out of reach. One request that fails says nothing of S3: it
    /// is asked for a while before what may be old is answered, unless that has just been in vain.
    pub(super) async fn reached<T, F>(&self, is_known: bool, asked: impl Fn() -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        if is_known && self.reach.is_lost() {
            let out_of_reach = |_| Err(StoreError::Unavailable("it is out of reach".into()));
            return timeout(KNOWN_WAIT, asked()).await.unwrap_or_else(out_of_reach);
        }
        let (begun, mut pause, mut end) = (Instant::now(), FIRST_PAUSE, None);
        loop {
            match asked().await {
                Err(error) if is_known && error.is_transient() && !self.reach.is_doubted() => {
                    let next = Instant::now() + pause;
                    let is_slow = begun.elapsed() >= KNOWN_WAIT && self.reach.is_silent_since(begun);
                    if is_slow || next > *end.get_or_insert_with(|| Instant::now() + KNOWN_WAIT) {
                        self.reach.doubt(begun);
                        return Err(error);
                    }
                    tracing::debug!(%error, "asked again before what is known is answered");
                    sleep_until(next).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
    }

    /// An answer from memory for a store that is away.
    pub(super) fn recalled<T>(&self, error: StoreError, known: Option<T>) -> StoreResult<T> {
        let is_away = error.is_transient() || matches!(error, StoreError::Credentials(_));
        match known.filter(|_| is_away) {
            Some(known) => {
                tracing::debug!(%error, "answered from memory");
                self.metrics.stale_answer();
                Ok(known)
            }
            None => Err(error),
        }
    }
}

/// A connection that has not come by then does not come, and what fails for so long is more than a blip.
const KNOWN_WAIT: Duration = Duration::from_millis(500);
/// A connection that S3 closed while it was idle is replaced at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
