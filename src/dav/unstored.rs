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

use crate::fs::{RequestContext, ResourcePath};

/// See the module. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Unstored(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// How many uploads to a path are under way.
    coming: Mutex<HashMap<String, usize>>,
    /// Where the latest one failed.
    failed: Cache<String, ()>,
}

impl Default for Unstored {
    fn default() -> Self {
        let failed = Cache::builder().max_capacity(MOST_FAILED).time_to_live(FAILED_TIME).build();
        Self(Arc::new(Inner { coming: Mutex::default(), failed }))
    }
}

impl Unstored {
    /// An upload begins, if this request is one; it has failed unless it is said to be stored.
    pub(super) fn begin(&self, context: &RequestContext) -> Option<Coming> {
        let is_content = context.client.is_webdavfs() && context.method == Method::PUT && context.has_content;
        is_content.then(|| {
            let path = context.path.spelled_once();
            *self.0.coming.lock().entry(path.clone()).or_default() += 1;
            Coming { unstored: self.clone(), path, is_stored: false }
        })
    }

    /// Whether something at `path`, or below it, lacks its content.
    pub(super) fn has(&self, path: &ResourcePath) -> bool {
        let (path, below) = (path.spelled_once(), format!("{}/", path.spelled_once()));
        let is_meant = |at: &str| at == path || at.starts_with(&below);
        self.0.coming.lock().keys().any(|at| is_meant(at))
            || self.0.failed.iter().any(|(at, ())| is_meant(&at))
    }

    /// What is at `path` is gone.
    pub(super) fn forget(&self, path: &ResourcePath) {
        let (path, below) = (path.spelled_once(), format!("{}/", path.spelled_once()));
        for (at, ()) in self.0.failed.iter().filter(|(at, ())| **at == path || at.starts_with(&below)) {
            self.0.failed.invalidate(&*at);
        }
    }
}

/// An upload under way.
pub(super) struct Coming {
    unstored: Unstored,
    path: String,
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
        {
            let mut coming = inner.coming.lock();
            if let Some(count) = coming.get_mut(&self.path) {
                *count -= 1;
                if *count == 0 {
                    coming.remove(&self.path);
                }
            }
        }
        match self.is_stored {
            true => inner.failed.invalidate(&self.path),
            false => inner.failed.insert(std::mem::take(&mut self.path), ()),
        }
    }
}

/// About 100 bytes each.
const MOST_FAILED: u64 = 10_000;
/// A program moves what it has saved within seconds; later it is the user who renames what is there.
const FAILED_TIME: Duration = Duration::from_secs(600);
