//! One change of a path at a time.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// The paths that are being changed. Waiting blocks: for threads that may.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyedLock(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    keys: Mutex<HashSet<String>>,
    freed: Condvar,
}

/// The right to change a path; ends when dropped.
#[derive(Debug)]
pub(super) struct KeyedGuard<'a> {
    busy: &'a KeyedLock,
    key: String,
}

impl KeyedLock {
    /// Waits until nobody else changes `key`.
    pub(super) fn turn(&self, key: &str) -> KeyedGuard<'_> {
        let mut keys = self.0.keys.lock();
        while keys.contains(key) {
            self.0.freed.wait(&mut keys);
        }
        keys.insert(key.to_owned());
        KeyedGuard { busy: self, key: key.to_owned() }
    }
}

impl Drop for KeyedGuard<'_> {
    fn drop(&mut self) {
        self.busy.0.keys.lock().remove(&self.key);
        self.busy.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_each_other_by_key() {
        let (busy, count) = (KeyedLock::default(), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _turn = busy.turn("a");
                        let before = *count.lock();
                        std::thread::yield_now();
                        *count.lock() = before + 1;
                    }
                });
            }
            let _other = busy.turn("b");
        });
        assert_eq!(*count.lock(), 800);
    }
}
