//! When a folder last changed, as far as this gateway saw.
//!
//! S3 keeps no date for a folder, but clients judge by it whether what they remember of its
//! children still holds. So a folder's date is the later of its marker's and the time at which this
//! gateway last saw its set of children change, by its own doing or in a listing; at first sight it
//! is that moment. It is kept over restarts, and is the same in the parent's listing and in the
//! folder's own PROPFIND.
//!
//! After a change the date is later than any that was shown, by a whole second if need be; it is not
//! moved for each change, so that many in a moment do not take the folder into the future.

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
    /// Changed only while `unwritten` is locked.
    known: Cache<String, Known>,
    /// What the database does not have yet.
    unwritten: Mutex<HashMap<String, FolderDate>>,
    state: State,
    shutdown: Shutdown,
}

/// What is known of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    date: FolderDate,
    /// The latest date that a client was told; after a restart it may have been any.
    shown: Option<SystemTime>,
}

impl Known {
    fn at(now: SystemTime) -> Self {
        Self { date: FolderDate { changed: now, children: None }, shown: None }
    }

    /// Of an earlier life.
    fn loaded(date: FolderDate) -> Self {
        Self { date, shown: Some(date.changed) }
    }

    /// The date of a change: not behind any before, and another one than was shown, by the second that is the
    /// finest that clients are told.
    fn next(&self, now: SystemTime) -> SystemTime {
        let after_shown = self.shown.map_or(now, |shown| shown + Duration::from_secs(1));
        now.max(after_shown).max(self.date.changed)
    }

    /// The children are others now.
    fn touched(&self, now: SystemTime) -> Self {
        Self { date: FolderDate { changed: self.next(now), children: None }, ..*self }
    }

    /// The folder was listed to its end.
    fn listed(&self, children: Option<u64>, marker: Option<SystemTime>, now: SystemTime) -> Self {
        let is_other = self.date.children.is_some() && self.date.children != children;
        let changed = if is_other { self.next(now) } else { self.date.changed };
        let changed = marker.map_or(changed, |marker| changed.max(marker));
        Self { date: FolderDate { changed, children }, ..*self }
    }
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
        rows.into_iter().for_each(|(prefix, date)| known.insert(prefix, Known::loaded(date)));
        Ok(Self(Arc::new(Inner { known, unwritten: Mutex::default(), state, shutdown })))
    }

    /// The folder's date; from now on, if it was never seen before.
    pub(super) fn of(&self, prefix: &str) -> SystemTime {
        let known = self.0.known.get(prefix);
        let known =
            known.unwrap_or_else(|| self.change(prefix, |known, now| known.unwrap_or(Known::at(now))));
        known.date.changed
    }

    /// The same, for a client to see.
    pub(super) fn show(&self, prefix: &str) -> SystemTime {
        match self.0.known.get(prefix) {
            Some(known) if known.shown == Some(known.date.changed) => known.date.changed,
            _ => {
                let show = |known: Known| Known { shown: Some(known.date.changed), ..known };
                self.change(prefix, |known, now| show(known.unwrap_or(Known::at(now)))).date.changed
            }
        }
    }

    /// The children of `prefix` are others now. The date is a later one than any that was shown.
    pub(super) fn touch(&self, prefix: &str) {
        self.change(prefix, |known, now| known.map_or(Known::at(now), |known| known.touched(now)));
    }

    /// Others may have changed the children of `prefix`, and nobody has seen them before.
    pub(super) fn expect_change(&self, prefix: &str) {
        if self.0.known.get(prefix).is_none_or(|known| known.date.children.is_none()) {
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
        if self.0.known.contains_key(prefix) {
            self.change(prefix, |known, now| known.unwrap_or(Known::at(now)).listed(children, marker, now));
        }
    }

    /// Makes another one of what is known of a folder, in one step: what was shown meanwhile counts.
    fn change(&self, prefix: &str, make: impl FnOnce(Option<Known>, SystemTime) -> Known) -> Known {
        let mut unwritten = self.0.unwritten.lock();
        let before = self.0.known.get(prefix);
        let after = make(before, SystemTime::now());
        if before != Some(after) {
            self.0.known.insert(prefix.to_owned(), after);
        }
        if before.is_none_or(|before| before.date != after.date) {
            let is_first = unwritten.is_empty();
            unwritten.insert(prefix.to_owned(), after.date);
            if is_first {
                let dates = self.clone();
                self.0.shutdown.background(async move { dates.write_soon().await });
            }
        }
        after
    }

    async fn write_soon(&self) {
        let inner = &self.0;
        let _ = tokio::time::timeout(WRITE_AFTER, inner.shutdown.begun()).await;
        let rows = std::mem::take(&mut *inner.unwritten.lock()).into_iter().collect();
        if let Err(error) = inner.state.store_folder_dates(rows, Vec::new()).await {
            tracing::warn!(error = with_causes(&error), "the dates of folders cannot be stored");
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
/// Many changes are written at once.
const WRITE_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn shown(known: Known) -> Known {
        Known { shown: Some(known.date.changed), ..known }
    }

    #[test]
    fn many_changes_that_nobody_saw_are_one() {
        let mut known = shown(Known::at(at(10_200)));
        for number in 0..600 {
            known = known.touched(at(10_300 + number));
        }
        assert_eq!(known.date.changed, at(11_200), "a second more than was shown");
        assert_eq!(known.touched(at(15_000)).date.changed, at(15_000), "then it is now");
        assert_eq!(Known::at(at(10_200)).touched(at(10_300)).date.changed, at(10_300), "nobody saw it");
    }

    #[test]
    fn a_change_differs_from_what_was_shown() {
        let mut known = Known::at(at(10_900));
        for _ in 0..3 {
            known = shown(known);
            let next = known.touched(at(10_950));
            assert_eq!(next.date.changed, known.date.changed + Duration::from_secs(1));
            known = next;
        }
        // A marker's date within the second that was shown does not stand for it.
        let known = shown(Known::at(at(10_200))).listed(Some(1), Some(at(10_900)), at(10_910));
        assert_eq!(known.date.changed, at(10_900));
        assert_eq!(known.touched(at(10_950)).date.changed, at(11_200));
        let loaded = Known::loaded(FolderDate { changed: at(10_900), children: None });
        assert_eq!(loaded.touched(at(10_950)).date.changed, at(11_900), "an earlier life may have shown it");
    }

    #[test]
    fn no_date_steps_back() {
        let known = shown(Known::at(at(10_000_000)));
        assert_eq!(known.touched(at(5000)).date.changed, at(10_001_000), "the clock was set back");
        let marked = Known::at(at(10_000)).listed(Some(1), Some(at(900_000)), at(10_000));
        assert_eq!(marked.touched(at(11_000)).date.changed, at(900_000), "nobody saw it");
        assert_eq!(shown(marked).touched(at(11_000)).date.changed, at(901_000));
    }

    #[test]
    fn a_listing_moves_the_date_if_it_tells_of_others() {
        let known = shown(Known::at(at(10_000))).listed(Some(1), None, at(20_000));
        assert_eq!(
            (known.date.changed, known.date.children),
            (at(10_000), Some(1)),
            "the first one tells nothing"
        );
        assert_eq!(known.listed(Some(1), None, at(30_000)), known);
        assert_eq!(known.listed(Some(2), None, at(30_000)).date.changed, at(30_000));
    }
}
