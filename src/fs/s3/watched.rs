//! Folders by whose dates macOS's client judges what it remembers.
//!
//! What it has looked for in vain it does not look for again until the folder's date is another one, and a
//! folder that it shows it may only ask for its date. So where it looked, a folder is listed when its date
//! is asked for; the listing comes from memory as long as it is fresh.

use std::time::Duration;

use futures_util::StreamExt;
use moka::sync::Cache;
use tokio::time::{Instant, timeout};

use super::S3FileSystem;
use super::metadata::{Located, folder_prefix};
use crate::fs::{Failure, ResourcePath};
use crate::store::ListRequest;

/// The folders, by prefix.
#[derive(Debug)]
pub(super) struct Watched(Cache<String, Look>);

#[derive(Debug, Clone, Copy)]
enum Look {
    /// Something was looked for there, and is not there.
    InVain,
    /// All of it was seen at this moment.
    At(Instant),
}

impl Default for Watched {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_WATCHED).time_to_idle(WATCHED_TIME).build())
    }
}

impl S3FileSystem {
    /// This request asks for a listing, and gets it.
    pub(super) fn note_listing(&self, prefix: String) {
        if self.context.client.is_webdavfs() {
            self.shared.watched.0.insert(prefix, Look::At(Instant::now()));
        }
    }

    /// There is nothing at `path`.
    pub(super) fn note_absence(&self, path: &ResourcePath) {
        if self.context.client.is_webdavfs() {
            self.shared.watched.0.insert(folder_prefix(&path.parent().key()), Look::InVain);
        }
    }

    /// Sees whether the children of `folder` are others now, if that may matter to the client.
    pub(super) async fn look_again(&self, folder: &Located) {
        let prefix = folder.prefix();
        let look = match self.context.client.is_webdavfs() {
            true => self.shared.watched.0.get(&prefix),
            false => None,
        };
        match look {
            None => return,
            Some(Look::At(moment)) if moment.elapsed() < LOOK_PAUSE => return,
            // What came before the first listing would not show as a change.
            Some(Look::InVain) => self.shared.dates.expect_change(&prefix),
            Some(Look::At(_)) => {}
        }
        match timeout(LOOK_TIME, self.list_all(folder)).await {
            Ok(Ok(())) => self.shared.watched.0.insert(prefix, Look::At(Instant::now())),
            Ok(Err(error)) => tracing::debug!(prefix, %error, "whether the folder has changed is not known"),
            Err(_) => tracing::debug!(prefix, "whether the folder has changed takes long to find out"),
        }
    }

    /// Lists a folder for what its end does to the folder's date.
    async fn list_all(&self, folder: &Located) -> Result<(), Failure> {
        let request = ListRequest::children(&folder.prefix());
        let first = self.store.list(&request).await?;
        let (_, mut children) = self.children(folder, request, first);
        while let Some(child) = children.next().await {
            child?;
        }
        Ok(())
    }
}

/// About 100 bytes each; more windows are not open.
const MOST_WATCHED: u64 = 1000;
/// Who has not asked for so long has no window open.
const WATCHED_TIME: Duration = Duration::from_secs(600);
/// Bursts of questions are answered by one look.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// What takes longer is told with the next question.
const LOOK_TIME: Duration = Duration::from_secs(3);
