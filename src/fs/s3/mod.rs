//! A bucket as a file system. What it promises stands in `SEMANTICS.md` beside this file.

mod conflict;
mod covering;
mod delivery;
mod directory;
mod download;
mod drain;
mod file;
mod folder_dates;
mod given_up;
mod hidden;
mod looking;
mod making;
mod markers;
mod metadata;
mod neighbours;
mod placing;
mod relocation;
mod removal;
mod silence;
mod spellings;
mod transfer;
mod undo;
mod upload;
mod watched;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::file_system::{FileSystem, Meta, OpenFile, OpenMode, Transfer};
use super::names::other_spellings;
use super::new_names::{Maker, NewNames};
use super::seen_versions::SeenVersions;
use super::{Children, ExportStatus, Failure, HotFile, RequestContext, Resource, ResourcePath, Share};
use crate::metrics::Metrics;
use crate::object::Key;
use crate::shutdown::Shutdown;
use crate::state::{PropertyChange, State, StateError, StoredProperty};
use crate::store::ListPage;
use crate::store::journal::{Durability, Told};
use crate::store::layers::retry::{Limit, RetryPolicy};
use crate::store::multipart::Uploads;
use crate::store::namespace::Namespace;
use crate::store::read_ahead::ReadAheads;
use crate::store::stack::Stack;
use crate::sync::{Entered, TreeLock, Use};

use covering::Covering;
use folder_dates::FolderDates;
use given_up::GivenUp;
use metadata::{Located, folder_prefix};
use neighbours::Neighbours;
use watched::Watched;

/// What the file system is to do with doubtful wishes.
#[derive(Debug, Clone, Copy)]
pub struct S3FileSystemOptions {
    /// The root holds the folders of several buckets, which cannot be deleted, moved or written beside.
    pub bucket_folders: bool,
    /// DELETE of a folder takes along what no path can show.
    pub delete_hidden: bool,
    /// What a client saves that cannot be told of a failure is accepted on this machine's disk when S3 takes nothing.
    pub keeps: bool,
    /// When changes are answered. `Journal` needs `keeps`.
    pub durability: Durability,
    /// How long S3 may take nothing before that.
    pub store_patience: Duration,
    /// The longest pause between two attempts to make what was accepted.
    pub drain_pause: Duration,
    /// How long what was accepted may still be made when the program ends.
    pub drain_timeout: Duration,
    /// What was accepted is not sent: nothing is to be changed.
    pub read_only: bool,
}

impl Default for S3FileSystemOptions {
    fn default() -> Self {
        Self {
            bucket_folders: false,
            delete_hidden: false,
            keeps: false,
            durability: Durability::Store,
            store_patience: DEFAULT_STORE_PATIENCE,
            drain_pause: DRAIN_PAUSE,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            read_only: false,
        }
    }
}

/// A bucket (or several, as folders) that can be served.
#[derive(Debug, Clone)]
pub struct S3Share(Arc<Shared>);

/// What all requests share.
#[derive(Debug)]
struct Shared {
    store: Stack,
    uploads: Uploads,
    read_aheads: ReadAheads,
    state: State,
    metrics: Metrics,
    shutdown: Shutdown,
    options: S3FileSystemOptions,
    dates: FolderDates,
    seen_versions: SeenVersions,
    tree_locks: TreeLock,
    new_names: NewNames,
    watched: Watched,
    covering: Covering,
    neighbours: Neighbours,
    given_up: GivenUp,
}

impl S3Share {
    /// Serves a store; `state` keeps what S3 has no place for.
    pub async fn new(
        store: Stack,
        uploads: Uploads,
        read_aheads: ReadAheads,
        state: State,
        metrics: Metrics,
        shutdown: Shutdown,
        options: S3FileSystemOptions,
    ) -> Result<Self, StateError> {
        let dates = FolderDates::load(state.clone(), shutdown.clone()).await?;
        let seen_versions = SeenVersions::load(state.clone()).await?;
        seen_versions.recall(&store.journal().made());
        let share = Self(Arc::new(Shared {
            store,
            uploads,
            read_aheads,
            seen_versions,
            state,
            metrics,
            shutdown,
            options,
            dates,
            tree_locks: TreeLock::default(),
            new_names: NewNames::default(),
            watched: Watched::default(),
            covering: Covering::default(),
            neighbours: Neighbours::default(),
            given_up: GivenUp::default(),
        }));
        drain::start(&share.0);
        Ok(share)
    }

    /// What is served.
    pub fn store(&self) -> &Stack {
        &self.0.store
    }

    /// Gives up what is pending of the keys that fit, and tells of it; see [`Journal::discard`]. Who made it knows what it knew
    /// before.
    ///
    /// [`Journal::discard`]: crate::store::journal::Journal::discard
    pub async fn discard(&self, fits: impl Fn(&str) -> bool) -> Vec<Told> {
        given_up::discard(&self.0, fits).await
    }
}

#[async_trait]
impl Share for S3Share {
    fn for_request(&self, context: Arc<RequestContext>) -> Arc<dyn FileSystem> {
        self.0.seen_versions.meet(&context.client);
        let policy = RetryPolicy {
            limit: Limit::At(context.deadline),
            for_credentials: context.client.quirks().takes_5xx_for_absence,
        };
        // What is saved is worth any wait, and so is all that must be known to store it; unless it can be accepted, or its
        // client told.
        let is_told = !context.client.quirks().hides_failed_close;
        let waits_for_nothing = is_told && self.0.options.durability == Durability::Journal;
        let store = self.0.store.for_request(policy, context.has_content && !waits_for_nothing);
        Arc::new(S3FileSystem {
            shared: Arc::clone(&self.0),
            store,
            context,
            located: Arc::default(),
            tree: Arc::default(),
            ended_trees: Arc::new(self.0.tree_locks.ended().into()),
            maker: self.0.new_names.for_request(),
        })
    }

    async fn hot(&self, context: &RequestContext) -> Option<HotFile> {
        let path = &context.path;
        let may_be_folder = path.is_root() || path.has_trailing_slash() || path.is_reserved();
        let key = Key::new(path.key()).ok().filter(|_| !may_be_folder)?;
        let (meta, content) = self.0.store.names().cached_content(&key)?;
        self.0.seen_versions.offer(context, key.as_str(), &meta.etag, meta.size);
        self.0.reads_whole(context, &key);
        Some(HotFile {
            content,
            etag: meta.etag,
            modified: meta.last_modified,
            content_type: meta.content_type,
        })
    }

    async fn offered(&self, context: &RequestContext) {
        self.0.seen_versions.note_offered(context).await;
    }

    fn delivered(&self, context: &RequestContext, first: u64, count: u64) {
        self.0.seen_versions.delivered(context, first, count);
    }

    fn unlocked(&self, context: &RequestContext) {
        let (shared, path) = (Arc::clone(&self.0), context.path.path_key());
        self.0.shutdown.background(async move {
            if let Err(error) = shared.store.names().release(&path).await {
                tracing::debug!(%path, %error, "an empty file is stored in S3 later");
            }
        });
    }

    fn unanswered(&self, context: &RequestContext) {
        let parent = context.path.parent();
        for spelling in other_spellings(&parent).iter().chain([&parent]) {
            self.0.dates.touch_told(&folder_prefix(&spelling.key()));
        }
    }
}

impl Shared {
    /// Says that what was meant for `key` lies at `copy`.
    fn report_conflict(&self, key: &str, copy: &str) {
        tracing::warn!(key, copy, "someone else has changed the file; both versions are kept");
        self.metrics.conflict();
        self.dates.touch_parent(copy);
    }
}

/// The bucket, for one request.
#[derive(Debug, Clone)]
struct S3FileSystem {
    shared: Arc<Shared>,
    /// Patient within this request's budget.
    store: Namespace,
    context: Arc<RequestContext>,
    /// What was found in this request: the engine asks more than once.
    located: Arc<Mutex<HashMap<ResourcePath, Option<Located>>>>,
    /// The first page of the tree that is to be deleted, with its prefix.
    tree: Arc<Mutex<Option<(String, ListPage)>>>,
    /// See [`TreeLock::ended`]; as it was when this request began to look.
    ended_trees: Arc<AtomicU64>,
    maker: Maker,
}

impl S3FileSystem {
    /// The store for work that goes on after the request's budget, such as an upload's parts.
    fn patient_store(&self) -> Namespace {
        let policy = RetryPolicy {
            limit: Limit::Each(self.context.budget),
            for_credentials: self.context.client.quirks().hides_failed_close,
        };
        self.shared.store.namespace(policy)
    }

    /// See [`TreeLock::enter`]. What is found from then on stays where it is.
    fn enter(&self, uses: &[(&ResourcePath, Use)]) -> Result<Entered, Failure> {
        let entered =
            self.shared.tree_locks.enter(uses.iter().map(|(path, what)| (path.path_key(), *what)))?;
        let ended = self.shared.tree_locks.ended();
        if self.ended_trees.swap(ended, Ordering::Relaxed) != ended {
            // What was found before may have gone with its folder.
            self.located.lock().clear();
            self.tree.lock().take();
        }
        Ok(entered)
    }

    /// Whether `path` is the root or the folder of a bucket.
    fn is_protected(&self, path: &ResourcePath) -> bool {
        path.segments().len() <= usize::from(self.shared.options.bucket_folders)
    }

    /// Runs `work` to its end even if the client goes away.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.shared.shutdown.complete(work).await?
    }
}

#[async_trait]
impl FileSystem for S3FileSystem {
    async fn metadata(&self, path: &ResourcePath) -> Result<Meta, Failure> {
        self.engine_metadata(path).await
    }

    async fn open(&self, path: ResourcePath, mode: OpenMode) -> Result<OpenFile, Failure> {
        self.open_file(path, mode).await
    }

    async fn make_folder(&self, path: &ResourcePath) -> Result<(), Failure> {
        self.put_folder(path).await
    }

    async fn copy_folder_alone(&self, to: &ResourcePath) -> Result<(), Failure> {
        self.copy_marker(to).await
    }

    async fn delete(&self, path: &ResourcePath) -> Result<(), Failure> {
        self.remove(path).await
    }

    async fn transfer(&self, from: ResourcePath, to: ResourcePath, kind: Transfer) -> Result<(), Failure> {
        self.place_tree(from, to, kind).await
    }

    async fn change_properties(
        &self,
        path: &ResourcePath,
        changes: Vec<PropertyChange>,
    ) -> Result<(), Failure> {
        let entered = self.enter(&[(path, Use::Inside)])?;
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        let (state, id) = (self.shared.state.clone(), located.id());
        self.detached(async move {
            let _entered = entered;
            Ok(state.change_properties(&id, changes).await?)
        })
        .await
    }

    async fn stat(&self, path: &ResourcePath) -> Result<Resource, Failure> {
        let Some(located) = self.locate(path).await? else {
            self.note_absence(path);
            return Err(Failure::NotFound);
        };
        if located.is_folder() {
            self.look_again(&located).await;
        }
        Ok(self.resource(&located))
    }

    async fn list(&self, path: &ResourcePath) -> Result<(Resource, Children), Failure> {
        self.list_folder(path).await
    }

    async fn properties(&self, id: &str) -> Result<Vec<StoredProperty>, Failure> {
        Ok(self.shared.state.properties(id).await?)
    }

    /// There is nowhere else: what is pending has a list of its own.
    async fn export(&self, _: &Resource) -> Result<Option<ExportStatus>, Failure> {
        Ok(None)
    }
}

/// A save of a small file takes a second at most when all is well, and whoever waits for it begins to wonder.
pub const DEFAULT_STORE_PATIENCE: Duration = Duration::from_secs(5);
/// Whoever ends the gateway waits for it.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// An end of an outage is noticed within this time.
const DRAIN_PAUSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod simulation;
