//! When a folder last changed, as far as this gateway saw.
//!
//! S3 keeps no date for a folder, but clients judge by it whether what they remember of its
//! children still holds. So a folder's date is the later of its marker's and the time at which this
//! gateway last saw its set of children change, by its own doing or in a listing; at first sight it
//! is that moment. It is kept over restarts, and is the same in the parent's listing and in the
//! folder's own PROPFIND.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::logging::with_causes;
use crate::object::parent_prefix;
use crate::shutdown::Shutdown;
use crate::state::{FolderDate, State};

/// The dates, by folder prefix (`a/b/`; empty for the root). Cloning shares them.
#[derive(Debug, Clone)]
pub(super) struct FolderDates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    known: Cache<String, FolderDate>,
    /// What the database does not have yet.
    unwritten: Mutex<HashMap<String, FolderDate>>,
    state: State,
    shutdown: Shutdown,
}

impl FolderDates {
    /// With the dates that the database has. Those of the longest unchanged folders are let go of if
    /// there are too many.
    pub(super) async fn load(state: State, shutdown: Shutdown) -> Result<Self, crate::state::StateError> {
        let mut rows = state.folder_dates().await?;
        if rows.len() > MAX_FOLDERS as usize {
            rows.sort_by_key(|(_, date)| std::cmp::Reverse(date.changed));
            let forget = rows.split_off(MAX_FOLDERS as usize).into_iter().map(|(prefix, _)| prefix);
            state.store_folder_dates(Vec::new(), forget.collect()).await?;
        }
        let known = Cache::new(MAX_FOLDERS);
        rows.into_iter().for_each(|(prefix, date)| known.insert(prefix, date));
        Ok(Self(Arc::new(Inner { known, unwritten: Mutex::default(), state, shutdown })))
    }

    /// The folder's date; from now on, if it was never seen before.
    pub(super) fn of(&self, prefix: &str) -> SystemTime {
        match self.0.known.get(prefix) {
            Some(date) => date.changed,
            None => self.put(prefix, FolderDate { changed: SystemTime::now(), children: None }),
        }
    }

    /// The children of `prefix` are others now. The date is a later one in any case, even within the second
    /// that is the finest that clients are told, up to [`MOST_AHEAD`].
    pub(super) fn touch(&self, prefix: &str) {
        let now = SystemTime::now();
        let next = self.0.known.get(prefix).map_or(now, |date| date.changed + Duration::from_secs(1));
        let changed = next.clamp(now, now + MOST_AHEAD);
        self.put(prefix, FolderDate { changed, children: None });
    }

    /// Others may have changed the children of `prefix`, and nobody has seen them before.
    pub(super) fn expect_change(&self, prefix: &str) {
        if self.0.known.get(prefix).is_none_or(|date| date.children.is_none()) {
            self.touch(prefix);
        }
    }

    /// The date that clients were told of `prefix` is not to be relied on.
    pub(super) fn touch_told(&self, prefix: &str) {
        if self.0.known.contains_key(prefix) {
            self.touch(prefix);
        }
    }

    /// A child of the folder that holds `key` came or went.
    pub(super) fn touch_parent(&self, key: &str) {
        self.touch(parent_prefix(key));
    }

    /// The folder was listed to its end.
    pub(super) fn saw(&self, prefix: &str, seen: Seen) {
        let (children, marker) = (Some(names(seen.names)), seen.marker);
        let Some(before) = self.0.known.get(prefix) else { return };
        if before.children.is_some() && before.children != children {
            self.touch(prefix);
        }
        let changed = self.of(prefix);
        let changed = marker.map_or(changed, |marker| changed.max(marker));
        if before.children != children || before.changed != changed {
            self.put(prefix, FolderDate { changed, children });
        }
    }

    fn put(&self, prefix: &str, date: FolderDate) -> SystemTime {
        self.0.known.insert(prefix.to_owned(), date);
        let is_first = {
            let mut unwritten = self.0.unwritten.lock();
            unwritten.insert(prefix.to_owned(), date);
            unwritten.len() == 1
        };
        if is_first {
            let dates = self.clone();
            self.0.shutdown.background(async move { dates.write_soon().await });
        }
        date.changed
    }

    async fn write_soon(&self) {
        let inner = &self.0;
        let _ = tokio::time::timeout(WRITE_AFTER, inner.shutdown.begun()).await;
        let rows = std::mem::take(&mut *inner.unwritten.lock()).into_iter().collect();
        if let Err(error) = inner.state.store_folder_dates(rows, Vec::new()).await {
            tracing::warn!(error = with_causes(&error), "the dates of folders are not kept");
        }
    }
}

/// What a listing told of a folder.
#[derive(Default)]
pub(super) struct Seen {
    names: Sha256,
    marker: Option<SystemTime>,
}

impl Seen {
    pub(super) fn child(&mut self, name: &str) {
        self.names.update(name);
        // No name has a slash but at its end.
        self.names.update("//");
    }

    pub(super) fn marker(&mut self, date: SystemTime) {
        self.marker = Some(date);
    }
}

/// The same for the same names, also in another version of this program.
fn names(hashed: Sha256) -> u64 {
    hashed.finalize().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// About 200 bytes each: 20 MB at most.
const MAX_FOLDERS: u64 = 100_000;
/// A folder in which many files are made at once is not of next week.
const MOST_AHEAD: Duration = Duration::from_secs(600);
/// Many changes are written at once.
const WRITE_AFTER: Duration = Duration::from_secs(1);
