//! File systems as the engine wants them: dav-server's traits on one side, [`FileSystem`] on the other.
//!
//! What both of ours do alike stands here: paths are read, failures are told to the request's context,
//! and trees are opaque, neither file nor folder, so that the engine hands each to one call instead of
//! walking it.

use std::fmt;
use std::io::SeekFrom;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavFileSystem, DavMetaData, DavProp, FsError, FsFuture, FsResult, FsStream,
    GuardedFileSystem, OpenOptions, ReadDirMeta,
};
use http::StatusCode;

use super::context::Depth;
use super::{Failure, RequestContext, ResourcePath};
use crate::object::ETag;
use crate::state::{PropertyChange, PropertyName, StoredProperty};

/// What can be done to files and folders, in one request.
#[async_trait]
pub trait FileSystem: Clone + Send + Sync + 'static {
    fn context(&self) -> &Arc<RequestContext>;

    /// What is at `path`.
    async fn metadata(&self, path: &ResourcePath) -> Result<Meta, Failure>;

    /// Opens for reading (GET, HEAD), or for writing a whole file (PUT), or makes the empty file that
    /// a LOCK of nothing asks for.
    async fn open(&self, path: ResourcePath, options: OpenOptions) -> Result<OpenFile, Failure>;

    /// MKCOL.
    async fn make_folder(&self, path: &ResourcePath) -> Result<(), Failure>;

    /// COPY of the request's folder with `Depth: 0`: the folder and its properties, no children.
    async fn copy_folder_alone(&self, to: &ResourcePath) -> Result<(), Failure>;

    /// DELETE of a file, or of a folder with everything in it.
    async fn delete(&self, path: &ResourcePath) -> Result<(), Failure>;

    /// COPY or MOVE of a file, or of a folder with everything in it; what is at the destination is
    /// replaced.
    async fn transfer(&self, from: ResourcePath, to: ResourcePath, kind: Transfer) -> Result<(), Failure>;

    /// Changes dead properties, all or none.
    async fn change_properties(
        &self,
        path: &ResourcePath,
        changes: Vec<PropertyChange>,
    ) -> Result<(), Failure>;
}

/// Whether the source stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    Copy,
    Move,
}

/// A file being read, or being written as a whole.
pub enum OpenFile {
    Reading(Box<dyn Reading>),
    Writing(Box<dyn Writing>),
    /// It is in its place.
    Written(Meta),
}

/// One version of a file being read.
#[async_trait]
pub trait Reading: Send + Sync {
    fn meta(&self) -> Meta;

    /// Up to `most` bytes, at least one where the range that was asked for goes on.
    async fn read(&mut self, most: usize) -> Result<Bytes, Failure>;

    /// Goes on reading at `start`, in bytes.
    fn seek(&mut self, start: u64);
}

/// A file on its way.
#[async_trait]
pub trait Writing: Send + Sync {
    /// Of what has come so far.
    fn meta(&self) -> Meta;

    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure>;

    /// Puts what was written in its place.
    async fn commit(&mut self) -> Result<Meta, Failure>;
}

impl OpenFile {
    fn meta(&self) -> Meta {
        match self {
            Self::Reading(file) => file.meta(),
            Self::Writing(file) => file.meta(),
            Self::Written(meta) => meta.clone(),
        }
    }

    /// See [`Reading::read`].
    pub async fn read(&mut self, most: usize) -> Result<Bytes, Failure> {
        match self {
            Self::Reading(file) => file.read(most).await,
            _ => Err(Failure::BadRequest("the file is not open for reading".to_owned())),
        }
    }

    /// See [`Writing::write`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        match self {
            Self::Writing(file) => file.write(bytes).await,
            _ => Err(Failure::BadRequest("the file is not open for writing".to_owned())),
        }
    }

    /// See [`Writing::commit`].
    pub async fn commit(&mut self) -> Result<(), Failure> {
        if let Self::Writing(file) = self {
            *self = Self::Written(file.commit().await?);
        }
        Ok(())
    }
}

/// Metadata as the engine wants it.
#[derive(Debug, Clone)]
pub struct Meta {
    pub is_folder: bool,
    /// Bytes; 0 for folders.
    pub size: u64,
    pub etag: Option<ETag>,
    pub modified: SystemTime,
}

/// A file system for the engine.
pub fn for_engine<F: FileSystem>(fs: F) -> Box<dyn GuardedFileSystem<()>> {
    Box::new(ForEngine(fs))
}

#[derive(Clone)]
struct ForEngine<F>(F);

impl<F: FileSystem> ForEngine<F> {
    /// The engine's path as ours, if nothing has failed yet. The front has refused what cannot be one.
    fn begin(&self, path: &DavPath) -> Result<ResourcePath, FsError> {
        self.0.context().check()?;
        self.path(path)
    }

    fn path(&self, path: &DavPath) -> Result<ResourcePath, FsError> {
        self.report(match path.as_url_string().as_str() {
            "" => Ok(ResourcePath::default()),
            text => ResourcePath::parse(text).map_err(Failure::from),
        })
    }

    fn report<T>(&self, result: Result<T, Failure>) -> Result<T, FsError> {
        result.map_err(|failure| self.0.context().report(failure))
    }
}

/// Whether a folder is handled in one call: the target of DELETE, and source and destination of a
/// deep COPY or MOVE.
fn is_opaque(context: &RequestContext, path: &ResourcePath) -> bool {
    let is_target = path.same_resource(&context.path);
    let is_destination = context.destination.as_ref().is_some_and(|d| d.same_resource(path));
    match context.method.as_str() {
        "DELETE" | "MOVE" => is_target || is_destination,
        "COPY" if context.depth == Some(Depth::Zero) => is_destination,
        "COPY" => is_target || is_destination,
        _ => false,
    }
}

impl<F: FileSystem> DavFileSystem for ForEngine<F> {
    fn open<'a>(&'a self, path: &'a DavPath, options: OpenOptions) -> FsFuture<'a, Box<dyn DavFile>> {
        Box::pin(async move {
            let path = self.begin(path)?;
            let file = self.report(self.0.open(path, options).await)?;
            Ok(Box::new(EngineFile { context: Arc::clone(self.0.context()), file }) as Box<dyn DavFile>)
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
            let path = self.path(path)?;
            let meta = self.report(self.0.metadata(&path).await)?;
            let is_opaque = meta.is_folder && is_opaque(self.0.context(), &path);
            Ok(Box::new(EngineMeta { meta, is_opaque }) as Box<dyn DavMetaData>)
        })
    }

    fn symlink_metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        DavFileSystem::metadata(self, path)
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let path = self.begin(path)?;
            self.report(match self.0.context().method.as_str() {
                "COPY" => self.0.copy_folder_alone(&path).await,
                _ => self.0.make_folder(&path).await,
            })
        })
    }

    fn remove_dir<'a>(&'a self, _: &'a DavPath) -> FsFuture<'a, ()> {
        // Folders are deleted as one opaque tree, by `remove_file`.
        Box::pin(async { Err(FsError::NotImplemented) })
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let path = self.begin(path)?;
            if self.0.context().destination.is_some() {
                // The destination of a COPY or MOVE: replaced in one step later, never removed first.
                return Ok(());
            }
            self.report(self.0.delete(&path).await)
        })
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let (from, to) = (self.begin(from)?, self.begin(to)?);
            self.report(self.0.transfer(from, to, Transfer::Move).await)
        })
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let (from, to) = (self.begin(from)?, self.begin(to)?);
            self.report(self.0.transfer(from, to, Transfer::Copy).await)
        })
    }

    fn have_props<'a>(&'a self, _: &'a DavPath) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async { true })
    }

    fn patch_props<'a>(
        &'a self,
        path: &'a DavPath,
        patch: Vec<(bool, DavProp)>,
    ) -> FsFuture<'a, Vec<(StatusCode, DavProp)>> {
        Box::pin(async move {
            let path = self.begin(path)?;
            let changes = patch.iter().map(|(set, prop)| change(*set, prop)).collect();
            self.report(self.0.change_properties(&path, changes).await)?;
            Ok(patch.into_iter().map(|(_, prop)| (StatusCode::OK, DavProp { xml: None, ..prop })).collect())
        })
    }
}

/// `true` sets, `false` removes.
fn change(set: bool, prop: &DavProp) -> PropertyChange {
    let name =
        PropertyName { namespace: prop.namespace.clone().unwrap_or_default(), local: prop.name.clone() };
    if set {
        PropertyChange::Set(StoredProperty { name, xml: element(prop.xml.as_deref().unwrap_or_default()) })
    } else {
        PropertyChange::Remove(name)
    }
}

/// The element without the XML declaration that the engine puts before it.
fn element(xml: &[u8]) -> Vec<u8> {
    let declaration =
        xml.starts_with(b"<?xml").then(|| xml.windows(2).position(|pair| pair == b"?>")).flatten();
    declaration.map_or(xml, |end| &xml[end + 2..]).trim_ascii().to_vec()
}

struct EngineFile {
    context: Arc<RequestContext>,
    file: OpenFile,
}

impl fmt::Debug for EngineFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineFile").finish_non_exhaustive()
    }
}

impl DavFile for EngineFile {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let meta = EngineMeta { meta: self.file.meta(), is_opaque: false };
        Box::pin(async move { Ok(Box::new(meta) as Box<dyn DavMetaData>) })
    }

    fn write_buf(&mut self, mut buffer: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        self.write_bytes(bytes)
    }

    fn write_bytes(&mut self, bytes: Bytes) -> FsFuture<'_, ()> {
        Box::pin(async move { self.file.write(bytes).await.map_err(|failure| self.context.report(failure)) })
    }

    fn read_bytes(&mut self, count: usize) -> FsFuture<'_, Bytes> {
        Box::pin(async move { self.file.read(count).await.map_err(|failure| self.context.report(failure)) })
    }

    fn seek(&mut self, to: SeekFrom) -> FsFuture<'_, u64> {
        let sought = match (&mut self.file, to) {
            (OpenFile::Reading(file), SeekFrom::Start(start)) => {
                file.seek(start);
                Ok(start)
            }
            _ => Err(FsError::NotImplemented),
        };
        Box::pin(async move { sought })
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        Box::pin(async move {
            self.file.commit().await.map_err(|failure| self.context.report(failure))?;
            // Where the source has not said so: it goes on without the client.
            self.context.stored(self.file.meta().size).await;
            Ok(())
        })
    }
}

#[derive(Debug, Clone)]
struct EngineMeta {
    meta: Meta,
    /// A tree to be handled in one call.
    is_opaque: bool,
}

impl DavMetaData for EngineMeta {
    fn len(&self) -> u64 {
        self.meta.size
    }

    fn modified(&self) -> FsResult<SystemTime> {
        Ok(self.meta.modified)
    }

    fn is_dir(&self) -> bool {
        self.meta.is_folder && !self.is_opaque
    }

    fn is_file(&self) -> bool {
        !self.meta.is_folder
    }

    fn is_symlink(&self) -> bool {
        false
    }

    fn etag(&self) -> Option<String> {
        self.meta.etag.as_ref().map(|etag| etag.unquoted().to_owned())
    }
}
