//! Folders by whose dates macOS's client judges what it remembers.
//!
//! What it has looked for in vain it does not look for again until the folder's date is another one, and a
//! folder that it shows it may only ask for its date. So where it looked, a folder is listed when its date
//! is asked for; the listing comes from memory as long as it is fresh.

use std::time::Duration;

use futures_util::StreamExt;
use moka::sync::Cache;
use tokio::time::{Instant, timeout};
use unicode_normalization::UnicodeNormalization;

use super::S3FileSystem;
use super::metadata::{Located, folder_prefix};
use crate::fs::{Failure, ResourcePath};
use crate::store::{ListRequest, ObjectStore};

/// The folders, by prefix; composed, since the client asks in spellings of its own.
#[derive(Debug)]
pub(super) struct Watched(Cache<String, Look>);

#[derive(Debug, Clone, Copy, Default)]
struct Look {
    /// When all of it was seen last.
    seen: Option<Instant>,
    /// Something was looked for there since, and is not there.
    in_vain: bool,
}

impl Look {
    fn at(moment: Instant) -> Self {
        Self { seen: Some(moment), in_vain: false }
    }
}

impl Default for Watched {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST_WATCHED).time_to_idle(WATCHED_TIME).build())
    }
}

impl S3FileSystem {
    /// The client was shown all of a folder.
    pub(super) fn note_listing(&self, prefix: &str) {
        if self.context.client.quirks().caches_negative_lookups {
            self.shared.watched.0.insert(prefix.nfc().collect(), Look::at(Instant::now()));
        }
    }

    /// There is nothing at `path`.
    pub(super) fn note_absence(&self, path: &ResourcePath) {
        if self.context.client.quirks().caches_negative_lookups {
            let prefix: String = folder_prefix(&path.parent().key()).nfc().collect();
            let look = self.shared.watched.0.get(&prefix).unwrap_or_default();
            self.shared.watched.0.insert(prefix, Look { in_vain: true, ..look });
        }
    }

    /// Sees whether the children of `folder` are others now, if that may matter to the client.
    pub(super) async fn look_again(&self, folder: &Located) {
        if !self.context.client.quirks().caches_negative_lookups {
            return;
        }
        let (prefix, watched) = (folder.prefix(), &self.shared.watched.0);
        let name: String = prefix.nfc().collect();
        let Some(look) = watched.get(&name) else { return };
        if look.seen.is_some_and(|moment| moment.elapsed() < LOOK_PAUSE) {
            return;
        }
        if look.in_vain {
            // What came before the first listing would not show as a change.
            self.shared.dates.expect_change(&prefix);
        }
        match timeout(LOOK_TIME, self.list_all(folder)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(prefix, %error, "whether the folder has changed is not known"),
            Err(_) => {
                tracing::debug!(prefix, "whether the folder has changed takes too long to find out");
                watched.insert(name, Look::at(Instant::now() + LATER));
            }
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
/// What takes longer is not worth the waiting.
const LOOK_TIME: Duration = Duration::from_secs(3);
/// Until it is tried again.
const LATER: Duration = Duration::from_secs(60);
