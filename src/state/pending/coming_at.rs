//! What is under way to one path.

use std::time::SystemTime;

use super::millis;

/// The contents under way to one path.
#[derive(Debug, Default)]
pub(super) struct At {
    pub(super) count: usize,
    /// When the first of them was begun: milliseconds since 1970.
    pub(super) since: u64,
    /// What the newest one that told its size told.
    pub(super) bytes: Option<u64>,
    /// The number of the newest one.
    pub(super) newest: u64,
    /// What becomes of contents up to this number does not matter any more.
    pub(super) settled: u64,
    /// The newest one that failed.
    pub(super) failed: u64,
    /// What was stored last is shorter than announced.
    pub(super) is_incomplete: bool,
    pub(super) why: Option<String>,
}

impl At {
    pub(super) fn begin(&mut self, number: u64, announced: Option<u64>) {
        if self.count == 0 {
            self.since = millis(SystemTime::now());
        }
        self.count += 1;
        self.newest = number;
        self.bytes = announced.or(self.bytes);
    }

    /// Whether it was not stored since by a newer one, nor deleted.
    pub(super) fn matters(&self) -> bool {
        self.newest > self.settled
    }
}
