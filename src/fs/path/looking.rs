//! What is in the directory, for nobody's request.

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
}

/// A disk that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
