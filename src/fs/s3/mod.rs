//! A bucket as a file system. What it promises stands in `SEMANTICS.md` beside this file.

mod basis;
mod conflict;
mod directory;
mod download;
mod file;
mod folder_dates;
mod hidden;
mod metadata;
mod names;
mod placing;
mod properties;
mod removal;
mod transfer;
mod upload;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavFileSystem, DavMetaData, DavProp, FsError, FsFuture, FsStream,
    GuardedFileSystem, OpenOptions, ReadDirMeta,
};
use http::StatusCode;
use parking_lot::Mutex;

use super::{Children, Failure, HotFile, RequestContext, Resource, ResourcePath, Share, View};
use crate::metrics::Metrics;
use crate::object::Key;
use crate::shutdown::Shutdown;
use crate::state::{PropertyChange, PropertyName, State, StateError, StoredProperty};
use crate::store::multipart::Uploads;
use crate::store::patient::{Limit, Patience, Patient};
use crate::store::read_ahead::ReadAheads;
use crate::store::{Content, ListPage, ObjectStore};

use basis::Bases;
use folder_dates::FolderDates;
use metadata::Located;

/// What the file system is to do with doubtful wishes.
#[derive(Debug, Clone, Copy, Default)]
pub struct S3FileSystemOptions {
    /// Levels below the root that cannot be deleted, moved or written beside: 1 where the root
    /// holds the folders of several buckets.
    pub bucket_folders: bool,
    /// DELETE of a folder takes along what no path can show.
    pub delete_hidden: bool,
}

/// A bucket (or several, as folders) that can be served.
#[derive(Debug, Clone)]
pub struct S3Share(Arc<Shared>);

/// What all requests share.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn ObjectStore>,
    uploads: Uploads,
    read_aheads: ReadAheads,
    state: State,
    metrics: Metrics,
    shutdown: Shutdown,
    options: S3FileSystemOptions,
    dates: FolderDates,
    bases: Bases,
}

impl S3Share {
    /// Serves `store`; `state` keeps what S3 has no place for.
    pub async fn new(
        store: Arc<dyn ObjectStore>,
        uploads: Uploads,
        read_aheads: ReadAheads,
        state: State,
        metrics: Metrics,
        shutdown: Shutdown,
        options: S3FileSystemOptions,
    ) -> Result<Self, StateError> {
        let dates = FolderDates::load(state.clone(), shutdown.clone()).await?;
        let bases = Bases::default();
        Ok(Self(Arc::new(Shared {
            store,
            uploads,
            read_aheads,
            state,
            metrics,
            shutdown,
            options,
            dates,
            bases,
        })))
    }

    fn for_request(&self, context: Arc<RequestContext>) -> S3FileSystem {
        let patience =
            Patience { limit: Limit::At(context.deadline), for_credentials: context.client.is_webdavfs() };
        let store: Arc<dyn ObjectStore> = Arc::new(Patient::new(Arc::clone(&self.0.store), patience));
        S3FileSystem {
            shared: Arc::clone(&self.0),
            store,
            context,
            located: Arc::default(),
            begun: Arc::default(),
            tree: Arc::default(),
        }
    }
}

impl Share for S3Share {
    fn engine(&self, context: Arc<RequestContext>) -> Box<dyn GuardedFileSystem<()>> {
        Box::new(self.for_request(context))
    }

    fn hot(&self, context: &RequestContext) -> Option<HotFile> {
        let path = &context.path;
        let may_be_folder = path.is_root() || path.has_trailing_slash() || path.is_reserved();
        let key = Key::new(path.key()).ok().filter(|_| !may_be_folder)?;
        let (meta, content) = self.0.store.held(&key)?;
        self.0.bases.saw(&context.client, key.as_str(), &meta.etag);
        Some(HotFile {
            content,
            etag: meta.etag,
            modified: meta.last_modified,
            content_type: meta.content_type,
        })
    }

    fn view(&self, context: Arc<RequestContext>) -> Box<dyn View> {
        Box::new(self.for_request(context))
    }
}

impl Shared {
    /// Says that what was meant for `key` lies at `copy`.
    fn report_conflict(&self, key: &str, copy: &str) {
        tracing::warn!(key, copy, "somebody else changed the file meanwhile; both versions are kept");
        self.metrics.conflict();
        self.dates.touch_parent(copy);
    }

    /// What follows a finished operation must not make it look unfinished.
    fn afterwards<E: Into<Failure>>(&self, result: Result<(), E>) {
        if let Err(error) = result {
            let error = error.into();
            tracing::warn!(%error, "done, but not all that goes with it");
        }
    }
}

/// The bucket, for one request.
#[derive(Debug, Clone)]
struct S3FileSystem {
    shared: Arc<Shared>,
    /// Patient within this request's budget.
    store: Arc<dyn ObjectStore>,
    context: Arc<RequestContext>,
    /// What was found in this request: the engine asks more than once.
    located: Arc<Mutex<HashMap<ResourcePath, Option<Located>>>>,
    /// The content on its way that told that the target is a file.
    begun: Arc<Mutex<Option<Content>>>,
    /// The first page of the tree that is to be deleted, with its prefix.
    tree: Arc<Mutex<Option<(String, ListPage)>>>,
}

impl S3FileSystem {
    /// The store for work that goes on after the request's budget, such as an upload's parts.
    fn patient_store(&self) -> Arc<dyn ObjectStore> {
        let patience = Patience {
            limit: Limit::Each(self.context.budget),
            for_credentials: self.context.client.is_webdavfs(),
        };
        Arc::new(Patient::new(Arc::clone(&self.shared.store), patience))
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

    fn report<T>(&self, result: Result<T, Failure>) -> Result<T, FsError> {
        result.map_err(|failure| self.context.report(failure))
    }
}

/// The engine's path as ours. The front has refused what cannot be one.
fn resource_path(path: &DavPath) -> Result<ResourcePath, Failure> {
    match path.as_url_string().as_str() {
        "" => Ok(ResourcePath::default()),
        text => Ok(ResourcePath::parse(text)?),
    }
}

impl DavFileSystem for S3FileSystem {
    fn open<'a>(&'a self, path: &'a DavPath, options: OpenOptions) -> FsFuture<'a, Box<dyn DavFile>> {
        Box::pin(async move {
            self.context.check()?;
            let path = self.report(resource_path(path))?;
            self.report(self.open_file(path, options).await)
        })
    }

    fn read_dir<'a>(
        &'a self,
        _: &'a DavPath,
        _: ReadDirMeta,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        // Only the engine's own PROPFIND and its walks over trees list folders; neither is used.
        Box::pin(async { Err(FsError::NotImplemented) })
    }

    fn metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        Box::pin(async move {
            let path = self.report(resource_path(path))?;
            self.report(self.engine_metadata(&path).await)
        })
    }

    fn symlink_metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        DavFileSystem::metadata(self, path)
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            self.context.check()?;
            let path = self.report(resource_path(path))?;
            self.report(match self.context.method.as_str() {
                "COPY" => self.copy_folder_alone(&path).await,
                _ => self.make_folder(&path).await,
            })
        })
    }

    fn remove_dir<'a>(&'a self, _: &'a DavPath) -> FsFuture<'a, ()> {
        // Folders are deleted as one opaque tree, by `remove_file`.
        Box::pin(async { Err(FsError::NotImplemented) })
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            self.context.check()?;
            if self.context.destination.is_some() {
                // The destination of a COPY or MOVE: replaced in one step later, never removed first.
                return Ok(());
            }
            let path = self.report(resource_path(path))?;
            self.report(self.delete(&path).await)
        })
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            self.context.check()?;
            let (from, to) = (self.report(resource_path(from))?, self.report(resource_path(to))?);
            self.report(self.transfer(from, to, transfer::Kind::Move).await)
        })
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            self.context.check()?;
            let (from, to) = (self.report(resource_path(from))?, self.report(resource_path(to))?);
            self.report(self.transfer(from, to, transfer::Kind::Copy).await)
        })
    }

    fn have_props<'a>(&'a self, _: &'a DavPath) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async { true })
    }

    fn patch_props<'a>(
        &'a self,
        path: &'a DavPath,
        patch: Vec<(bool, DavProp)>,
    ) -> FsFuture<'a, Vec<(StatusCode, DavProp)>> {
        Box::pin(async move {
            self.context.check()?;
            let path = self.report(resource_path(path))?;
            self.report(self.change_properties(&path, patch).await)
        })
    }
}

#[async_trait]
impl View for S3FileSystem {
    async fn stat(&self, path: &ResourcePath) -> Result<Resource, Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        Ok(self.resource(&located))
    }

    async fn list(&self, path: &ResourcePath) -> Result<(Resource, Children), Failure> {
        self.list_folder(path).await
    }

    async fn properties(&self, id: &str) -> Result<Vec<StoredProperty>, Failure> {
        Ok(self.shared.state.properties(id).await?)
    }

    async fn remove_properties(&self, path: &ResourcePath, names: Vec<PropertyName>) -> Result<(), Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        let changes = names.into_iter().map(PropertyChange::Remove).collect();
        Ok(self.shared.state.change_properties(&located.id(), changes).await?)
    }
}
