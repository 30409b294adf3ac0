//! A store that slows down when it is told to.
//!
//! S3 answers a burst with SlowDown while it makes room. Going on at the same pace only makes it
//! last, so the number of writes under way is halved then, and grows again one by one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::object::{Attributes, Condition, DeleteTarget, Key, Written};
use crate::store::{
    CompleteUpload, CopyObject, CopyPart, ListParts, MultipartStore, ObjectStore, Part, PartsPage, PutObject,
    StoreError, StoreResult, Upload, UploadPart,
};

/// See the module. Reads are not held back: somebody waits for them.
#[derive(Debug)]
pub struct Throttle {
    inner: Arc<dyn MultipartStore>,
    places: Semaphore,
    concurrency: Mutex<ConcurrencyLimit>,
}

#[derive(Debug)]
struct ConcurrencyLimit {
    /// Writes that may be under way.
    limit: usize,
    /// Places to be taken away as they become free.
    debt: usize,
    /// Writes that S3 answered since the limit last changed.
    successes: usize,
    slowed: Option<Instant>,
}

impl Throttle {
    pub fn new(inner: Arc<dyn MultipartStore>) -> Self {
        let concurrency = ConcurrencyLimit { limit: MOST_WRITES, debt: 0, successes: 0, slowed: None };
        Self { inner, places: Semaphore::new(MOST_WRITES), concurrency: Mutex::new(concurrency) }
    }

    async fn throttled<T>(&self, write: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        // The semaphore is never closed.
        let place = self.places.acquire().await.map_err(|closed| StoreError::Unavailable(closed.into()))?;
        let result = write.await;
        let mut concurrency = self.concurrency.lock();
        match &result {
            Err(StoreError::SlowDown(_)) => concurrency.slow_down(),
            // S3 that is away is not in want of more.
            Err(error) if error.is_transient() => {}
            _ if concurrency.speeds_up() => self.places.add_permits(1),
            _ => {}
        }
        if concurrency.debt > 0 {
            concurrency.debt -= 1;
            place.forget();
        }
        result
    }
}

impl ConcurrencyLimit {
    fn slow_down(&mut self) {
        let now = Instant::now();
        self.successes = 0;
        // Writes that were under way together are told together; that is one sign, not many.
        if self.slowed.is_some_and(|before| now < before + ONE_SIGN) {
            return;
        }
        self.slowed = Some(now);
        let less = (self.limit / 2).max(1);
        self.debt += self.limit - less;
        self.limit = less;
        tracing::info!(limit = less, "S3 asks to slow down");
    }

    /// Whether one more place is to be made; after as many successes as there are places.
    fn speeds_up(&mut self) -> bool {
        self.successes += 1;
        if self.limit == MOST_WRITES || self.successes < self.limit {
            return false;
        }
        self.limit += 1;
        self.successes = 0;
        match self.debt {
            0 => true,
            _ => {
                self.debt -= 1;
                false
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for Throttle {
    forward!(inner: head, get, list, foresee, attributes, address);

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        self.throttled(self.inner.put(request)).await
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        self.throttled(self.inner.copy(request)).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        self.throttled(self.inner.delete(key, condition)).await
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        self.throttled(self.inner.delete_many(objects)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for Throttle {
    forward!(inner: abort_upload);

    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        self.throttled(self.inner.create_upload(key, attributes)).await
    }

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        self.throttled(self.inner.upload_part(request)).await
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        self.throttled(self.inner.copy_part(request)).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        self.throttled(self.inner.complete_upload(request)).await
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        self.throttled(self.inner.list_uploads(key)).await
    }

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        self.throttled(self.inner.list_parts(request)).await
    }
}

/// As many as there are connections for them.
const MOST_WRITES: usize = 64;
/// About the time that a write takes.
const ONE_SIGN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pace_halves_once_a_burst_and_grows_back() {
        let store = Throttle::new(Arc::new(crate::store::memory::MemoryStore::default()));
        let told =
            || async { store.throttled(async { Err::<(), _>(StoreError::SlowDown("busy".into())) }).await };
        for _ in 0..10 {
            told().await.unwrap_err();
        }
        assert_eq!(store.concurrency.lock().limit, 32, "one burst");
        tokio::time::advance(ONE_SIGN).await;
        told().await.unwrap_err();
        assert_eq!(store.concurrency.lock().limit, 16);
        for _ in 0..16 {
            store.throttled(async { Ok(()) }).await.unwrap();
        }
        assert_eq!(store.concurrency.lock().limit, 17);
        for _ in 0..10_000 {
            store.throttled(async { Ok(()) }).await.unwrap();
        }
        assert_eq!(
            (store.concurrency.lock().limit, store.places.available_permits()),
            (MOST_WRITES, MOST_WRITES)
        );
    }
}
