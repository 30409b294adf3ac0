//! Listing a folder: streamed, as fast as the directory comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cap_std::fs::{Dir, ReadDir};
use futures_util::stream::{self, StreamExt};
use tokio::time::Instant as Deadline;

use super::conflicts::Conflicts;
use super::names::{self, Owner};
use super::part::remove_part;
use super::root::{DirEntry, leads_nowhere};
use super::stat::Stat;
use super::{Located, PathFileSystem, Shared};
use crate::fs::error::log_failure;
use crate::fs::resource_path::is_showable_key;
use crate::fs::{Children, Failure, Resource};

impl PathFileSystem {
    /// A folder's children; none of a file. The first ones are there when this returns.
    pub(super) async fn children(&self, located: &Located) -> Result<Children, Failure> {
        if !located.stat.is_folder {
            return Ok(stream::empty().boxed());
        }
        if let Some(shown) = &located.shown {
            let below = shown.split_once('/').map_or("", |(_, below)| below).to_owned();
            let shown = self.disk(move |shared| match &shared.conflicts {
                Some(conflicts) => conflicts.children(shared, &below),
                None => Ok(Vec::new()),
            });
            return Ok(stream::iter(shown.await?.into_iter().map(Ok)).boxed());
        }
        let (shared, id) = (Arc::clone(&self.shared), located.id());
        let opened = self.disk(move |_| Listing::open(shared, id)).await?;
        let (first, rest) = opened.more(&self.shared).await?;
        let shared = Arc::clone(&self.shared);
        let later = stream::unfold(rest, move |listing| {
            let shared = Arc::clone(&shared);
            async move {
                let page = match listing?.more(&shared).await {
                    Ok((children, rest)) => (children.into_iter().map(Ok).collect(), rest),
                    Err(failure) => (vec![Err(failure)], None),
                };
                Some(page)
            }
        });
        let later = later.flat_map(|page: Vec<Result<Resource, Failure>>| stream::iter(page));
        Ok(stream::iter(first.into_iter().map(Ok)).chain(later).boxed())
    }
}

/// A folder being read.
struct Listing {
    shared: Arc<Shared>,
    folder: Arc<Dir>,
    entries: ReadDir,
    /// What the children's keys begin with.
    prefix: String,
}

impl Listing {
    /// Blocks.
    fn open(shared: Arc<Shared>, prefix: String) -> Result<Self, Failure> {
        let folder = shared.root.folder(&prefix)?;
        let entries = folder.entries()?;
        Ok(Self { shared, folder, entries, prefix })
    }

    /// The next children, and the rest if there is one.
    async fn more(self, shared: &Shared) -> Result<(Vec<Resource>, Option<Self>), Failure> {
        shared.disk.by(Deadline::now() + PATIENCE, move || self.read()).await
    }

    /// Blocks.
    fn read(mut self) -> Result<(Vec<Resource>, Option<Self>), Failure> {
        let (begun, mut children) = (Instant::now(), Vec::new());
        while children.len() < BATCH && (children.is_empty() || begun.elapsed() < NO_LONGER) {
            let Some(entry) = self.entries.next() else { return Ok((children, None)) };
            let entry = entry?;
            let name = entry.file_name();
            let shows = |name: &&str| is_showable_key(&format!("{}{name}", self.prefix));
            let Some(name) = name.to_str().filter(shows) else {
                self.hide(&name);
                continue;
            };
            match names::owner(name) {
                Some(Owner::Gateway) => self.clean(name),
                Some(Owner::S3Files) => children.extend(self.conflicts(name)?),
                Some(Owner::Nfs) => {}
                // What is shown stands in its place.
                None if self.shown().is_some_and(|conflicts| conflicts.is_named(name)) => {
                    self.hide(name.as_ref())
                }
                None => children.extend(self.child(name, entry.metadata())?),
            }
        }
        Ok((children, Some(self)))
    }

    /// What is shown of S3 Files' own in this folder.
    fn shown(&self) -> Option<&Conflicts> {
        self.shared.conflicts.as_ref().filter(|_| self.prefix.is_empty())
    }

    fn conflicts(&self, name: &str) -> Result<Option<Resource>, Failure> {
        self.shown().map_or(Ok(None), |conflicts| conflicts.stands_for(&self.shared, name))
    }

    fn child(
        &self,
        name: &str,
        meta: std::io::Result<cap_std::fs::Metadata>,
    ) -> Result<Option<Resource>, Failure> {
        let key = format!("{}{name}", self.prefix);
        let meta = match meta {
            Ok(meta) if meta.is_symlink() => self.shared.root.follow(&key),
            meta => meta,
        };
        let stat = match meta {
            Ok(meta) => Stat::of(&meta),
            // Gone in this moment, or a link that leads nowhere, or where the gateway may not go.
            Err(error) if leads_nowhere(&error) || is_denied(&error) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(stat) = stat else {
            self.hide(name.as_ref());
            return Ok(None);
        };
        Ok(Some(Located { key, stat, is_link: false, shown: None }.resource()))
    }

    fn hide(&self, name: &std::ffi::OsStr) {
        tracing::debug!(folder = self.prefix, ?name, "left out of a listing: no path can show it");
        self.shared.metrics.hidden_keys(1);
    }

    /// Removes what a killed gateway left.
    fn clean(&self, name: &str) {
        if !self.shared.parts.is_orphan(name) {
            return;
        }
        tracing::info!(folder = self.prefix, name, "removing what the last run left unfinished");
        let place = DirEntry { folder: Arc::clone(&self.folder), name: name.into() };
        log_failure(remove_part(&place));
    }
}

fn is_denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// Entries that are read at once.
const BATCH: usize = 256;
/// What is there is shown after this time, be it little.
const NO_LONGER: Duration = Duration::from_millis(50);
/// Amazon S3 Files imports a folder when it is first listed: seconds for a thousand files, minutes
/// for very many.
const PATIENCE: Duration = Duration::from_secs(600);
