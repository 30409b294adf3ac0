//! Files of macOS's client whose content could not be stored, or was not stored yet.
//!
//! Its close(2) tells no program that an upload has failed. One that saves to a temporary file would go on
//! and move that over the document: what had been saved before would be replaced by nothing. So such a file
//! is not moved until its content has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::fs::resource_path::is_within;
use crate::fs::{RequestContext, ResourcePath};

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Unstored(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    coming: Mutex<Uploads>,
    /// Where the latest one failed.
    failed: Cache<String, ()>,
}

/// Uploads under way.
#[derive(Debug, Default)]
struct Uploads {
    /// How many were begun so far.
    begun: u64,
    /// By path.
    at: HashMap<String, At>,
}

#[derive(Debug, Default)]
struct At {
    count: usize,
    /// What becomes of uploads up to this number does not matter any more.
    settled: u64,
}

impl Unstored {
    /// Knows of `empty` files, by [`ResourcePath::spelled_once`], that the content has not come.
    pub(super) fn new(empty: Vec<String>) -> Self {
        let failed = Cache::builder().max_capacity(MOST_FAILED).time_to_live(FAILED_TIME).build();
        empty.into_iter().for_each(|path| failed.insert(path, ()));
        Self(Arc::new(Inner { coming: Mutex::default(), failed }))
    }

    /// An upload begins, if this request is one; it has failed unless it is said to be stored.
    pub(super) fn begin(&self, context: &RequestContext) -> Option<Coming> {
        let is_content = context.client.is_webdavfs() && context.method == Method::PUT && context.has_content;
        // No program saves to these, and a shelf without room must not keep folders where they are.
        let name = context.path.name();
        if !is_content || name.starts_with("._") || name == ".DS_Store" {
            return None;
        }
        Some(self.begin_at(context.path.spelled_once()))
    }

    fn begin_at(&self, path: String) -> Coming {
        let mut coming = self.0.coming.lock();
        coming.begun += 1;
        coming.at.entry(path.clone()).or_default().count += 1;
        Coming { unstored: self.clone(), path, number: coming.begun, is_stored: false }
    }

    /// Whether something at `path`, or below it, lacks its content.
    pub(super) fn has(&self, path: &ResourcePath) -> bool {
        let path = path.spelled_once();
        self.0.coming.lock().at.keys().any(|at| is_within(at, &path))
            || self.0.failed.iter().any(|(at, ())| is_within(&at, &path))
    }

    /// What is at `path`, and below it, is gone, or is something else now.
    pub(super) fn forget(&self, path: &ResourcePath) {
        let path = path.spelled_once();
        let mut coming = self.0.coming.lock();
        let begun = coming.begun;
        coming.at.iter_mut().filter(|(at, _)| is_within(at, &path)).for_each(|(_, at)| at.settled = begun);
        for (at, ()) in self.0.failed.iter().filter(|(at, ())| is_within(at, &path)) {
            self.0.failed.invalidate(&*at);
        }
    }
}

/// An upload under way.
pub(super) struct Coming {
    unstored: Unstored,
    path: String,
    number: u64,
    is_stored: bool,
}

impl Coming {
    pub(super) fn end(mut self, is_stored: bool) {
        self.is_stored = is_stored;
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let inner = &self.unstored.0;
        let mut coming = inner.coming.lock();
        let Some(at) = coming.at.get_mut(&self.path) else { return };
        if self.is_stored {
            at.settled = at.settled.max(self.number);
            inner.failed.invalidate(&self.path);
        } else if at.settled < self.number {
            inner.failed.insert(self.path.clone(), ());
        }
        at.count -= 1;
        if at.count == 0 {
            coming.at.remove(&self.path);
        }
    }
}

/// About 100 bytes each.
const MOST_FAILED: u64 = 10_000;
/// A program moves what it has saved within seconds; later it is the user who renames what is there.
const FAILED_TIME: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ResourcePath {
        ResourcePath::parse(text).unwrap()
    }

    fn begin(unstored: &Unstored) -> Coming {
        unstored.begin_at("/d/file".to_owned())
    }

    #[test]
    fn the_latest_upload_counts() {
        let unstored = Unstored::new(Vec::new());
        let (stale, again) = (begin(&unstored), begin(&unstored));
        assert!(unstored.has(&path("/d")) && !unstored.has(&path("/d/fil")));
        again.end(true);
        assert!(unstored.has(&path("/d/file")), "one is under way");
        stale.end(false);
        assert!(!unstored.has(&path("/d")), "what was sent again is stored");
        begin(&unstored).end(false);
        assert!(unstored.has(&path("/d/file")));
        begin(&unstored).end(true);
        assert!(!unstored.has(&path("/d/file")));
    }

    #[test]
    fn of_what_is_gone_nothing_is_known() {
        let unstored = Unstored::new(vec!["/d/empty".to_owned(), "/e".to_owned()]);
        let cancelled = begin(&unstored);
        unstored.forget(&path("/d/"));
        drop(cancelled);
        assert!(!unstored.has(&path("/d")) && unstored.has(&path("/e")));
        assert!(unstored.0.coming.lock().at.is_empty());
    }
}
