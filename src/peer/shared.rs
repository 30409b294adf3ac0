//! One reading for all who wait: a list of all sockets takes long to make, and holds everybody's answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// What is read anew for whoever asks, but only once for all who ask meanwhile.
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), allow(dead_code))]
#[derive(Debug)]
pub(super) struct Shared<T> {
    read: fn() -> io::Result<T>,
    /// Counts questions and readings, in the order in which they began.
    clock: AtomicU64,
    latest: Mutex<Latest<T>>,
}

#[derive(Debug)]
struct Latest<T> {
    begun: u64,
    value: Option<Arc<T>>,
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// `read` blocks; it is run off the runtime's threads, one at a time.
    pub(super) fn new(read: fn() -> io::Result<T>) -> Self {
        Self { read, clock: AtomicU64::new(1), latest: Mutex::new(Latest { begun: 0, value: None }) }
    }

    /// What was read by a reading that began after this was called.
    pub(super) async fn get(&self) -> io::Result<Arc<T>> {
        let asked = self.clock.fetch_add(1, Ordering::Relaxed);
        // Whoever waits here waits for a reading, which is the point.
        let mut latest = self.latest.lock().await;
        if let Some(value) = latest.value.as_ref().filter(|_| latest.begun > asked) {
            return Ok(Arc::clone(value));
        }
        let begun = self.clock.fetch_add(1, Ordering::Relaxed);
        let value = Arc::new(tokio::task::spawn_blocking(self.read).await.map_err(io::Error::other)??);
        *latest = Latest { begun, value: Some(Arc::clone(&value)) };
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_share_a_reading_that_began_after_they_asked() {
        static READINGS: AtomicUsize = AtomicUsize::new(0);
        let shared = Arc::new(Shared::new(|| {
            std::thread::sleep(Duration::from_millis(50));
            Ok(READINGS.fetch_add(1, Ordering::Relaxed))
        }));
        let get = || {
            let shared = Arc::clone(&shared);
            async move { *shared.get().await.unwrap() }
        };
        let first = tokio::spawn(get());
        while shared.latest.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(get())).collect();
        assert_eq!(first.await.unwrap(), 0);
        for waiting in waiting {
            assert_eq!(waiting.await.unwrap(), 1, "not the one that had begun before");
        }
        assert_eq!(get().await, 2, "nor one that is over");
    }
}
