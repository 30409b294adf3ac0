//! The room on this machine's disk that all bodies of a source share.
//!
//! What is kept leaves some of it to what arrives: a body that had to pause would be given up by its client.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::futures::Notified;

use crate::sync::{Budget, Portion, blocking_aside};

/// How much of the disk there is for all bodies together: a tenth of what is free, within these bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes.
    pub most: u64,
    /// Bytes, however little is free.
    pub least: u64,
}

impl Quota {
    /// So many bytes, whatever is free.
    pub fn of(bytes: u64) -> Self {
        Self { most: bytes, least: bytes }
    }

    /// Bytes that all bodies may take: `used` of them do, beside which so many are free.
    fn allowed(self, free: u64, used: u64) -> u64 {
        (free.saturating_add(used) / SHARE).max(self.least).min(self.most)
    }
}

impl Default for Quota {
    fn default() -> Self {
        Self { most: DEFAULT_ROOM, least: 0 }
    }
}

/// The room, for bodies of one kind. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Room {
    /// What those of this kind may take.
    own: Budget,
    /// What those of all kinds may.
    all: Budget,
    quota: Quota,
    disk: Arc<Disk>,
}

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    own: Option<Portion>,
    /// Dropped after the own one: whoever waits is told when both are back.
    all: Option<Portion>,
}

/// What is free where the bodies lie.
#[derive(Debug)]
struct Disk {
    directory: PathBuf,
    /// Bytes.
    free: AtomicU64,
    looked: Mutex<Instant>,
}

impl Room {
    /// For bodies that arrive, in `directory`. Blocks, for a moment.
    pub(super) fn new(directory: &Path, quota: Quota) -> Self {
        let (free, looked) = (AtomicU64::new(free(directory)), Mutex::new(Instant::now()));
        let disk = Arc::new(Disk { directory: directory.to_owned(), free, looked });
        let all = Budget::of_bytes(quota.most);
        Self { own: Budget::of_bytes(quota.most), all, quota, disk }
    }

    /// Of the same room, for bodies that are kept.
    pub(super) fn for_kept(&self) -> Self {
        Self { own: Budget::of_bytes(self.quota.most - self.quota.most / ARRIVING), ..self.clone() }
    }

    /// Bytes that bodies of this kind may still take.
    pub(super) fn left(&self) -> u64 {
        let used = self.all.used();
        let allowed = self.quota.allowed(self.disk.free(), used);
        allowed.saturating_sub(used).min(self.all.left()).min(self.own.left())
    }

    /// Bytes that those of this kind use.
    pub(super) fn used(&self) -> u64 {
        self.own.used()
    }

    /// So much of it, if it is there at once.
    pub(super) fn try_take(&self, bytes: u64) -> Option<Taken> {
        if bytes > self.left() {
            return None;
        }
        let (own, all) = (self.own.try_take(bytes)?, self.all.try_take(bytes)?);
        Some(Taken { own: Some(own), all: Some(all) })
    }

    /// For what lies there already, whatever is allowed now.
    pub(super) fn note(&self, bytes: u64) -> Taken {
        let part = |budget: &Budget| budget.try_take(bytes.min(budget.left()));
        Taken { own: part(&self.own), all: part(&self.all) }
    }

    /// When some of it is given back, once this is enabled.
    pub(super) fn returned(&self) -> Notified<'_> {
        self.all.returned()
    }
}

impl Taken {
    /// Adds what was taken of the same room.
    pub(super) fn merge(&mut self, other: Self) {
        for (own, other) in [(&mut self.own, other.own), (&mut self.all, other.all)] {
            match (own, other) {
                (Some(own), Some(other)) => own.merge(other),
                (own @ None, other) => *own = other,
                (Some(_), None) => {}
            }
        }
    }
}

impl Disk {
    /// Bytes, as of a moment ago: a disk that does not answer keeps nobody waiting.
    fn free(self: &Arc<Self>) -> u64 {
        let mut looked = self.looked.lock();
        if looked.elapsed() >= LOOK_AGE {
            *looked = Instant::now();
            let disk = Arc::clone(self);
            blocking_aside(move || disk.free.store(free(&disk.directory), Ordering::Relaxed));
        }
        self.free.load(Ordering::Relaxed)
    }
}

/// What is free on the disk of a directory, in bytes. Where nobody can tell, little is made of it.
fn free(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(0, |disk| disk.f_bavail * disk.f_frsize)
}

/// Bytes on disk for all bodies by default: a video, or many photos.
pub const DEFAULT_ROOM: u64 = 10 << 30;
/// Of what is free: one part in so many.
const SHARE: u64 = 10;
/// Of the room, for bodies that arrive alone: one part in so many.
const ARRIVING: u64 = 16;
/// How old a look at the disk may be.
const LOOK_AGE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_tenth_of_what_is_free_is_the_most_by_default_and_what_was_given_always_holds() {
        let by_default = Quota::default();
        assert_eq!(by_default.allowed(1000 * GIB, 0), 10 * GIB);
        assert_eq!((by_default.allowed(50 * GIB, 0), by_default.allowed(0, 0)), (5 * GIB, 0));
        // What they use themselves does not lessen it, what others use does.
        assert_eq!(
            (by_default.allowed(47 * GIB, 3 * GIB), by_default.allowed(7 * GIB, 3 * GIB)),
            (5 * GIB, GIB)
        );
        assert_eq!((Quota::of(20 * GIB).allowed(GIB, 0), Quota::of(0).allowed(100 * GIB, 0)), (20 * GIB, 0));
        let at_least = Quota { least: 2 * GIB, ..by_default };
        assert_eq!((at_least.allowed(GIB, 0), at_least.allowed(50 * GIB, 0)), (2 * GIB, 5 * GIB));
    }

    #[tokio::test]
    async fn one_room_bounds_all_and_what_is_kept_leaves_some_to_what_arrives() {
        let place = tempfile::tempdir().unwrap();
        let arriving = Room::new(place.path(), Quota::of(16 << 20));
        let kept = arriving.for_kept();
        assert!(kept.try_take((15 << 20) + 1).is_none());
        let first = kept.try_take(15 << 20).unwrap();
        assert_eq!((kept.left(), arriving.left(), arriving.used()), (0, 1 << 20, 0));
        let mut second = arriving.try_take(1 << 20).unwrap();
        assert!(arriving.try_take(1).is_none() && kept.try_take(1).is_none());
        let mut returned = std::pin::pin!(arriving.returned());
        returned.as_mut().enable();
        drop(first);
        returned.await;
        second.merge(arriving.try_take(2 << 20).unwrap());
        assert_eq!((arriving.used(), kept.used(), kept.left()), (3 << 20, 0, 13 << 20));
        let noted = kept.note(20 << 20);
        assert_eq!(
            (kept.left(), arriving.left()),
            (0, 0),
            "what lies there already counts as far as it goes"
        );
        drop((noted, second));
        assert_eq!((kept.left(), arriving.left()), (15 << 20, 16 << 20));
    }

    #[tokio::test]
    async fn the_disk_is_looked_at_while_it_runs() {
        let place = tempfile::tempdir().unwrap();
        let room = Room::new(place.path(), Quota::default());
        room.disk.free.store(0, Ordering::Relaxed);
        assert_eq!(room.left(), 0);
        *room.disk.looked.lock() -= LOOK_AGE;
        while room.left() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
