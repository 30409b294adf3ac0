//! What is answered while S3 is away: what was known before.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

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
        let (end, mut pause) = (Instant::now() + KNOWN_WAIT, FIRST_PAUSE);
        let mut answer = asked().await;
        while is_known && matches!(&answer, Err(error) if error.is_transient()) {
            let next = Instant::now() + pause;
            if next >= end || self.is_in_vain() {
                self.vain.lock().get_or_insert_with(Instant::now);
                return answer;
            }
            tracing::debug!("asked again before what is known is answered");
            sleep_until(next).await;
            pause *= 2;
            answer = timeout_at(end, asked()).await.unwrap_or(answer);
        }
        if answer.is_ok() {
            *self.vain.lock() = None;
        }
        answer
    }

    /// Whether it has just been asked again and again in vain.
    fn is_in_vain(&self) -> bool {
        let mut vain = self.vain.lock();
        vain.take_if(|since| since.elapsed() >= VAIN_TIME);
        vain.is_some()
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
/// For so long a failure is no news, unless there is an answer.
const VAIN_TIME: Duration = Duration::from_secs(5);
/// A connection that S3 closed while it was idle is replaced at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cache::CacheOptions;
    use crate::metrics::Metrics;
    use crate::store::memory::MemoryStore;

    fn store() -> Cached {
        Cached::new(Arc::new(MemoryStore::default()), CacheOptions::default(), Metrics::default())
    }

    /// What comes of a question whose answer is known if the first attempts fail, each after a time: the answer, how often it was
    /// asked, and in how many milliseconds.
    async fn asked(store: &Cached, failures: usize, each: u64) -> (bool, usize, u128) {
        let (attempts, begun) = (AtomicUsize::new(0), Instant::now());
        let ask = || async {
            let number = attempts.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(each)).await;
            if number < failures { Err(StoreError::Unavailable("a test".into())) } else { Ok(()) }
        };
        let answer = store.reached(true, ask).await;
        (answer.is_ok(), attempts.into_inner(), begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_breaks_is_no_reason_to_answer_what_may_be_old() {
        let store = store();
        assert_eq!(asked(&store, 0, 10).await, (true, 1, 10));
        assert_eq!(asked(&store, 1, 10).await, (true, 2, 70));
        assert_eq!(asked(&store, 3, 10).await, (true, 4, 390));
        assert_eq!(asked(&store, 9, 10).await, (false, 4, 390), "half a second is enough");
        assert_eq!(asked(&store, 1, 10).await, (false, 1, 10), "it has just been in vain");
        assert_eq!(asked(&store, 0, 10).await, (true, 1, 10));
        assert_eq!(asked(&store, 1, 10).await, (true, 2, 70), "it has answered since");
        assert_eq!(asked(&store, 9, 600).await, (false, 1, 600), "that took long enough");
        assert_eq!(asked(&store, 1, 10).await, (false, 1, 10));
        tokio::time::advance(VAIN_TIME).await;
        assert_eq!(asked(&store, 1, 10).await, (true, 2, 70), "that is long ago");
        assert_eq!(asked(&store, 9, 240).await, (false, 2, 500), "the last one is cut off");
    }
}
