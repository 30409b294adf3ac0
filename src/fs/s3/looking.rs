//! What is in the bucket, for nobody's request.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{S3Share, Shared};
use crate::fs::names::other_spellings;
use crate::fs::{Failure, Locate, ResourcePath};
use crate::object::Key;
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::sync::Use;

#[async_trait]
impl Locate for S3Share {
    async fn find(&self, path: &ResourcePath) -> Result<Option<String>, Failure> {
        let policy = RetryPolicy { limit: Limit::Each(RETRY_TIME), for_credentials: false };
        let store = self.0.store.namespace(policy);
        for path in [path.clone()].iter().chain(&other_spellings(path)) {
            let Ok(key) = Key::new(path.key()) else { continue };
            let stat = store.stat(&key).await?;
            match (stat.is_prefix, stat.object) {
                (true, _) => return Ok(Some(format!("{key}/"))),
                (false, Some(_)) => return Ok(Some(key.to_string())),
                (false, None) => {}
            }
        }
        Ok(None)
    }

    fn keep(&self, paths: &[&ResourcePath]) -> Option<Box<dyn Any + Send>> {
        let uses = paths.iter().map(|path| (path.path_key(), Use::Tree));
        Some(Box::new(self.0.tree_locks.enter(uses).ok()?))
    }

    fn came_or_went(&self, id: &str) {
        self.0.dates.touch_parent(id);
    }
}

impl Shared {
    pub(super) fn looking(self: &Arc<Self>) -> Arc<dyn Locate> {
        Arc::new(S3Share(Arc::clone(self)))
    }
}

/// As long as a client may wait at the end of a request that failed; whoever needs longer asks again.
const RETRY_TIME: Duration = Duration::from_secs(5);
