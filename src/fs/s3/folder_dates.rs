//! When a folder last changed, as far as this gateway saw.
//!
//! S3 keeps no date for a folder, but clients judge by it whether what they remember of its
//! children still holds. So a folder's date is that of the last change of its set of children made
//! here, else the moment this gateway started: never in the past of a change, and the same in the
//! parent's listing and in its own PROPFIND.

use std::time::SystemTime;

use moka::sync::Cache;

use crate::object::parent_prefix;

/// The dates, by folder prefix (`a/b/`; empty for the root).
#[derive(Debug)]
pub(super) struct FolderDates {
    started: SystemTime,
    changed: Cache<String, SystemTime>,
}

impl Default for FolderDates {
    fn default() -> Self {
        Self { started: SystemTime::now(), changed: Cache::new(MAX_FOLDERS) }
    }
}

impl FolderDates {
    pub(super) fn of(&self, prefix: &str) -> SystemTime {
        self.changed.get(prefix).unwrap_or(self.started)
    }

    /// The children of `prefix` are others now.
    pub(super) fn touch(&self, prefix: &str) {
        self.changed.insert(prefix.to_owned(), SystemTime::now());
    }

    /// A child of the folder that holds `key` came or went.
    pub(super) fn touch_parent(&self, key: &str) {
        self.touch(parent_prefix(key));
    }
}

/// About 200 bytes each: 20 MB at most.
const MAX_FOLDERS: u64 = 100_000;
