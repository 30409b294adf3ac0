//! What one request of a client costs: a tally that goes with the work for it, from task to task.
//!
//! A task that is spawned for a request must be given the tally with [`carried`], or what it sends is nobody's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

tokio::task_local! {
    /// Of the request that this task works for.
    static CURRENT: Option<Tally>;
}

/// The counts of one request. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Tally(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    number: u64,
    s3_requests: AtomicU64,
    received: AtomicU64,
    /// When S3 last took something of what the request sends.
    taken: Mutex<Option<Instant>>,
    /// When S3 last failed it for a passing reason.
    failed: Mutex<Option<Instant>>,
}

impl Tally {
    /// `number`: by which the log names the request.
    pub fn new(number: u64) -> Self {
        Self(Arc::new(Counts {
            number,
            s3_requests: AtomicU64::new(0),
            received: AtomicU64::new(0),
            taken: Mutex::default(),
            failed: Mutex::default(),
        }))
    }

    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// HTTP requests sent to S3, each attempt counted.
    pub fn s3_requests(&self) -> u64 {
        self.0.s3_requests.load(Ordering::Relaxed)
    }

    /// Bytes of the request's body that have come.
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    pub fn add_s3_request(&self) {
        self.0.s3_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub fn add_received(&self, bytes: u64) {
        self.0.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// When S3 last took bytes of what the request sends that it had not taken before, or all of an object or a part.
    pub fn taken(&self) -> Option<Instant> {
        *self.0.taken.lock()
    }

    pub fn note_taken(&self) {
        *self.0.taken.lock() = Some(Instant::now());
    }

    /// When S3 last failed the request for a passing reason.
    pub fn failed(&self) -> Option<Instant> {
        *self.0.failed.lock()
    }

    pub fn note_failed(&self) {
        *self.0.failed.lock() = Some(Instant::now());
    }

    /// Does `work` for this request.
    pub async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(Some(self.clone()), work).await
    }

    /// The same for work that does not wait.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(Some(self.clone()), work)
    }
}

/// Of the request that this task works for, if for one.
pub fn current() -> Option<Tally> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// `work` for a task of its own, which goes on for the same request.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    CURRENT.scope(current(), work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tally_goes_along_into_other_tasks_where_it_is_carried() {
        let tally = Tally::new(7);
        let count = || async { current().iter().for_each(Tally::add_s3_request) };
        count().await;
        tally.enter(|| current().iter().for_each(Tally::add_s3_request));
        tally
            .scope(async {
                count().await;
                tokio::spawn(carried(count())).await.unwrap();
                tokio::spawn(count()).await.unwrap();
            })
            .await;
        assert_eq!((tally.s3_requests(), tally.number()), (3, 7));
        assert!(current().is_none());
    }
}
