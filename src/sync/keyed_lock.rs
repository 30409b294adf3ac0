//! One at a time, by name.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Lane = tokio::sync::Mutex<()>;

/// Locks by key, made as they are asked for. Whoever waits gets his turn in order.
#[derive(Debug)]
pub struct KeyedLock<K>(Mutex<HashMap<K, Weak<Lane>>>);

/// A key's turn; ends when dropped.
#[derive(Debug)]
pub struct KeyedGuard(#[expect(dead_code, reason = "held, and let go of")] OwnedMutexGuard<()>);

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> KeyedLock<K> {
    /// Waits until nobody else has `key`.
    pub async fn lock(&self, key: K) -> KeyedGuard {
        KeyedGuard(self.lane(key).lock_owned().await)
    }

    /// The same on a thread that may block.
    pub fn blocking_lock(&self, key: K) -> KeyedGuard {
        KeyedGuard(self.lane(key).blocking_lock_owned())
    }

    fn lane(&self, key: K) -> Arc<Lane> {
        let mut lanes = self.0.lock();
        if lanes.len() > SWEEP_ABOVE {
            lanes.retain(|_, lane| lane.strong_count() > 0);
        }
        let slot = lanes.entry(key).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let lane = Arc::<Lane>::default();
            *slot = Arc::downgrade(&lane);
            lane
        })
    }
}

/// Keys that nobody has any more are few bytes each.
const SWEEP_ABOVE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_each_other_by_key() {
        let (locks, count) = (KeyedLock::default(), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _turn = locks.blocking_lock("a");
                        let before = *count.lock();
                        std::thread::yield_now();
                        *count.lock() = before + 1;
                    }
                });
            }
            let _other = locks.blocking_lock("b");
        });
        assert_eq!(*count.lock(), 800);
    }

    #[tokio::test]
    async fn keys_that_nobody_has_are_forgotten() {
        let locks = KeyedLock::default();
        let held = locks.lock(0).await;
        for key in 1..3 * SWEEP_ABOVE {
            locks.lock(key).await;
        }
        assert!(locks.0.lock().len() <= SWEEP_ABOVE + 1);
        let waiting = locks.lock(0);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending(), "the lock that is held was not swept");
        drop(held);
        waiting.await;
    }
}
