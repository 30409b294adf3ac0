//! What is at a path of the directory.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::spellings::search;
use super::{Located, PathShare, Shared};
use crate::fs::{Failure, Locate, ResourcePath};

#[async_trait]
impl Locate for PathShare {
    async fn find(&self, path: &ResourcePath) -> Result<Option<String>, Failure> {
        let (shared, path) = (Arc::clone(&self.0), path.clone());
        let found = self.0.disk.by(Instant::now() + PATIENCE, move || search(&shared.root, &path)).await?;
        Ok(found.as_ref().map(Located::id))
    }

    /// The file system's own changes are atomic.
    fn keep(&self, _: &[&ResourcePath]) -> Option<Box<dyn Any + Send>> {
        None
    }

    /// The file system's own dates are told.
    fn came_or_went(&self, _: &str) {}
}

impl Shared {
    pub(super) fn looking(self: &Arc<Self>) -> Arc<dyn Locate> {
        Arc::new(PathShare(Arc::clone(self)))
    }

    /// What a client finds at `path`. Blocks.
    pub(super) fn search(&self, path: &ResourcePath) -> Result<Option<Located>, Failure> {
        match self.conflicts.as_ref().and_then(|conflicts| Some((conflicts, conflicts.below(path)?))) {
            Some((conflicts, below)) => conflicts.locate(self, &below),
            None => search(&self.root, path),
        }
    }

    /// The same as it is spelled, if that can be told without waiting.
    pub(super) fn find_at_once(&self, path: &ResourcePath) -> Option<Located> {
        if self.is_conflict(path) {
            return None;
        }
        let key = path.key();
        let stat = self.root.find_at_once(&key)?;
        Some(Located { key, stat, is_link: false, shown: None })
    }

    /// Whether `path` names what is shown of S3 Files' own.
    pub(super) fn is_conflict(&self, path: &ResourcePath) -> bool {
        self.conflicts.as_ref().is_some_and(|conflicts| conflicts.below(path).is_some())
    }
}

/// A disk that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
