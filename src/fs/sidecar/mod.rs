//! Finder's own files, kept off what is served: a file system before another one.
//!
//! macOS puts `._name` beside every file that has tags or a resource fork, `.DS_Store` into every folder,
//! and asks for a dozen more names all the time. What of these macOS's client asks for is answered from
//! memory, what it writes is kept on a shelf in the state directory: no request to S3, no junk in the
//! bucket. It goes along when the file or folder that it belongs to is moved, copied or deleted.

mod carry;
mod export;
mod file;
mod preparing;
mod watch;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::apple_files::is_virtual;
use super::file_system::{FileSystem, Meta, OpenFile, OpenMode, Transfer};
use super::following::recover;
use super::{
    Children, ExportStatus, Failure, HotFile, Locate, RequestContext, Resource, ResourcePath, Share,
};
use crate::object::ETag;
use crate::path_key::PathKey;
use crate::shutdown::Shutdown;
use crate::state::{PropertyChange, ShelfRow, State, StoredProperty, TransferRow, millis};

pub use super::apple_files::AppleMetadata;
pub use export::{ExportError, export};

use carry::Carried;

/// What the shelf takes, and how much.
#[derive(Debug, Clone, Copy)]
pub struct ShelfOptions {
    pub metadata: AppleMetadata,
    /// Bytes of all contents together.
    pub limit: u64,
}

impl Default for ShelfOptions {
    fn default() -> Self {
        Self { metadata: AppleMetadata::default(), limit: DEFAULT_LIMIT }
    }
}

/// What is served, with a shelf for Finder's own files.
pub struct Shelved {
    inner: Arc<dyn Share>,
    shelf: Shelf,
}

/// What all requests share.
#[derive(Debug, Clone)]
struct Shelf {
    options: ShelfOptions,
    state: State,
    shutdown: Shutdown,
    carried: Carried,
    /// What is served.
    source: Arc<dyn Locate>,
    /// What was there from the start has this date.
    started: SystemTime,
}

impl Shelved {
    /// Puts a shelf in `state` before `source`.
    pub fn new(
        source: impl Share + Locate + 'static,
        options: ShelfOptions,
        state: State,
        shutdown: Shutdown,
    ) -> Self {
        let (carried, started) = (Carried::default(), SystemTime::now());
        let source = Arc::new(source);
        let inner = Arc::<_>::clone(&source);
        Self { inner, shelf: Shelf { options, state, shutdown, carried, source, started } }
    }

    /// Sees to what an earlier life was moving or deleting when it was cut. Returns when that is done, or when it
    /// goes on in the background since what is served does not answer.
    pub async fn recover(&self, left: Vec<TransferRow>) {
        if left.is_empty() {
            return;
        }
        let (shelf, (done, is_done)) = (self.shelf.clone(), oneshot::channel());
        self.shelf.shutdown.background(async move {
            recover(shelf.source, shelf.state, left, shelf.shutdown).await;
            let _ = done.send(());
        });
        let _ = timeout(RECOVERY_WAIT, is_done).await;
    }
}

#[async_trait]
impl Share for Shelved {
    fn for_request(&self, context: Arc<RequestContext>) -> Arc<dyn FileSystem> {
        let inner = self.inner.for_request(Arc::clone(&context));
        Arc::new(ShelvedFileSystem { inner, shelf: self.shelf.clone(), context })
    }

    async fn hot(&self, context: &RequestContext) -> Option<HotFile> {
        if self.shelf.options.metadata.shelves(&context.client, &context.path) {
            None
        } else {
            self.inner.hot(context).await
        }
    }

    async fn offered(&self, context: &RequestContext) {
        self.inner.offered(context).await;
    }

    fn delivered(&self, context: &RequestContext, first: u64, count: u64) {
        self.inner.delivered(context, first, count);
    }

    fn unlocked(&self, context: &RequestContext) {
        self.inner.unlocked(context);
    }

    fn unanswered(&self, context: &RequestContext) {
        self.inner.unanswered(context);
    }
}

impl Shelf {
    fn find(&self, path: &ResourcePath) -> Option<ShelfRow> {
        let found = self.state.shelf().get(&path.path_key()).cloned();
        found.or_else(|| is_virtual(path).then(|| file::empty(path.name(), self.started)))
    }
}

/// What is served and the shelf before it, for one request.
#[derive(Clone)]
struct ShelvedFileSystem {
    inner: Arc<dyn FileSystem>,
    shelf: Shelf,
    context: Arc<RequestContext>,
}

impl ShelvedFileSystem {
    fn is_shelved(&self, path: &ResourcePath) -> bool {
        self.shelf.options.metadata.shelves(&self.context.client, path)
    }

    /// What the shelf has at `path`, noted for the locks.
    fn find(&self, path: &ResourcePath) -> Result<ShelfRow, Failure> {
        let found = self.shelf.find(path);
        self.context.outcome.note_existence(path, found.is_some());
        found.ok_or(Failure::NotFound)
    }

    /// Whether the engine asks only for the folder that something is to be put into, and that something
    /// goes on the shelf: looking for the folder would cost a request.
    fn is_taken_for_granted(&self, path: &ResourcePath) -> bool {
        let target = self.context.destination.as_ref().unwrap_or(&self.context.path);
        self.is_shelved(target) && path.same_resource(&target.parent())
    }

    /// Refuses to put something where there is no folder for it. What lies beside the user's files needs
    /// none.
    fn check_parent(&self, path: &ResourcePath) -> Result<(), Failure> {
        let parent = path.parent();
        if self.is_shelved(&parent) && !self.shelf.find(&parent).is_some_and(|row| row.is_folder) {
            Err(Failure::ParentMissing)
        } else {
            Ok(())
        }
    }

    /// Runs `work` to its end even if the client goes away.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.shelf.shutdown.complete(work).await?
    }
}

#[async_trait]
impl FileSystem for ShelvedFileSystem {
    async fn metadata(&self, path: &ResourcePath) -> Result<Meta, Failure> {
        if !self.is_shelved(path) {
            return if self.is_taken_for_granted(path) {
                Ok(folder(self.shelf.started))
            } else {
                self.inner.metadata(path).await
            };
        }
        match self.find(path) {
            Err(Failure::NotFound) => Ok(meta(&self.find(&self.carried_to(path)?)?)),
            found => Ok(meta(&found?)),
        }
    }

    async fn open(&self, path: ResourcePath, mode: OpenMode) -> Result<OpenFile, Failure> {
        if !self.is_shelved(&path) {
            return self.inner.open(path, mode).await;
        }
        match mode {
            OpenMode::Read => self.open_shelved(&path).await,
            OpenMode::Write { size, .. } => self.shelve_file(&path, size).await,
            OpenMode::CreateEmpty => self.shelve_empty(&path).await,
        }
    }

    async fn make_folder(&self, path: &ResourcePath) -> Result<(), Failure> {
        if self.is_shelved(path) {
            self.shelve_folder(path).await
        } else {
            self.inner.make_folder(path).await
        }
    }

    async fn copy_folder_alone(&self, to: &ResourcePath) -> Result<(), Failure> {
        match (self.is_shelved(&self.context.path), self.is_shelved(to)) {
            (false, false) => self.inner.copy_folder_alone(to).await,
            (true, true) => self.shelve_folder(to).await,
            _ => Err(carry::between()),
        }
    }

    async fn delete(&self, path: &ResourcePath) -> Result<(), Failure> {
        self.remove(path).await
    }

    async fn transfer(&self, from: ResourcePath, to: ResourcePath, kind: Transfer) -> Result<(), Failure> {
        self.carry(from, to, kind).await
    }

    async fn change_properties(
        &self,
        path: &ResourcePath,
        changes: Vec<PropertyChange>,
    ) -> Result<(), Failure> {
        if self.is_shelved(path) {
            Err(Failure::Forbidden("Finder's own files have no properties".to_owned()))
        } else {
            self.inner.change_properties(path, changes).await
        }
    }

    async fn stat(&self, path: &ResourcePath) -> Result<Resource, Failure> {
        if self.is_shelved(path) {
            Ok(resource(path.path_key(), self.find(path)?))
        } else {
            self.inner.stat(path).await
        }
    }

    async fn list(&self, path: &ResourcePath) -> Result<(Resource, Children), Failure> {
        if self.is_shelved(path) {
            Ok((resource(path.path_key(), self.find(path)?), self.shelved_children(path)))
        } else {
            let (folder, children) = self.inner.list(path).await?;
            Ok((folder, self.watched(path, children)))
        }
    }

    async fn properties(&self, id: &str) -> Result<Vec<StoredProperty>, Failure> {
        self.inner.properties(id).await
    }

    async fn export(&self, resource: &Resource) -> Result<Option<ExportStatus>, Failure> {
        if resource.id.starts_with('/') { Ok(None) } else { self.inner.export(resource).await }
    }
}

fn folder(modified: SystemTime) -> Meta {
    Meta { is_folder: true, size: 0, etag: None, modified }
}

fn meta(row: &ShelfRow) -> Meta {
    let etag = (!row.is_folder).then(|| ETag::new(&row.version));
    Meta { is_folder: row.is_folder, size: row.size, etag, modified: date(row) }
}

/// The id begins with a slash as no key does, so that it never has the properties of another.
fn resource(path: PathKey, row: ShelfRow) -> Resource {
    Resource {
        is_folder: row.is_folder,
        size: row.size,
        modified: date(&row),
        is_date_stored: true,
        etag: (!row.is_folder).then(|| ETag::new(&row.version)),
        content_type: None,
        kept_mtime: None,
        export: None,
        name: row.name,
        id: path.to_string(),
    }
}

fn date(row: &ShelfRow) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(row.modified)
}

/// Now, in milliseconds since 1970.
fn now() -> u64 {
    millis(SystemTime::now())
}

/// Nobody is served before what was cut is seen to, unless that takes longer.
const RECOVERY_WAIT: Duration = Duration::from_secs(5);
/// Bytes: some KiB for each file, and room for a few large resource forks.
pub const DEFAULT_LIMIT: u64 = 1 << 30;
