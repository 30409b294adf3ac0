//! Folders that are being copied or moved.
//!
//! That may take longer than a client waits. What it then sees is a copy that is not whole beside a source
//! that is; if it deleted the one while the other is about to be deleted, both would be gone. So nothing
//! else is changed there meanwhile.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::fs::resource_path::is_within;
use crate::fs::{Failure, ResourcePath};

/// What no other request may change now, by [`ResourcePath::spelled_once`]. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Trees(Arc<Mutex<Vec<String>>>);

impl Trees {
    /// Nothing else changes at `paths`, and above and below them, until what this returns is dropped.
    pub(super) fn enter(&self, paths: &[&ResourcePath]) -> Result<Entered, Failure> {
        let mut under_way = self.0.lock();
        let paths: Vec<String> = paths.iter().map(|path| path.spelled_once()).collect();
        for path in &paths {
            refuse(&under_way, path)?;
        }
        under_way.extend(paths.iter().cloned());
        Ok(Entered { trees: self.clone(), paths })
    }

    /// Refuses to change what is at `path` while a tree that holds it, or that it holds, is under way.
    pub(super) fn refuse(&self, path: &ResourcePath) -> Result<(), Failure> {
        let under_way = self.0.lock();
        match under_way.is_empty() {
            true => Ok(()),
            false => refuse(&under_way, &path.spelled_once()),
        }
    }
}

/// A folder's transfer, until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    trees: Trees,
    paths: Vec<String>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Each is there once: what overlaps is refused.
        self.trees.0.lock().retain(|path| !self.paths.contains(path));
    }
}

fn refuse(under_way: &[String], path: &str) -> Result<(), Failure> {
    match under_way.iter().any(|other| is_within(path, other) || is_within(other, path)) {
        true => Err(Failure::UnderWay),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_changes_in_a_tree_that_is_under_way() {
        let path = |text: &str| ResourcePath::parse(text).unwrap();
        let trees = Trees::default();
        let entered = trees.enter(&[&path("/a/b"), &path("/c/caf%C3%A9")]).unwrap();
        for held in ["/a/b", "/a/b/c/d", "/a", "/c/cafe%CC%81/x", "/c/"] {
            assert!(trees.refuse(&path(held)).is_err(), "{held}");
        }
        for free in ["/a/bc", "/a/c", "/d"] {
            trees.refuse(&path(free)).unwrap();
        }
        assert!(trees.enter(&[&path("/d"), &path("/a/b/c")]).is_err());
        trees.refuse(&path("/d")).unwrap();
        drop(entered);
        trees.refuse(&path("/a/b")).unwrap();
    }
}
