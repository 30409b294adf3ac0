//! Files and folders for the engine: its paths are read, its calls carried out, failures told to the request's
//! context.

use std::pin::Pin;
use std::sync::Arc;

use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavFileSystem, DavMetaData, DavProp, FsError, FsFuture, FsStream, OpenOptions,
    ReadDirMeta,
};
use http::StatusCode;
use parking_lot::Mutex;

use super::file::{EngineFile, EngineMeta};
use super::reported;
use crate::fs::context::Depth;
use crate::fs::{
    Failure, FileSystem, Meta, OpenFile, OpenMode, Reading, RequestContext, ResourcePath, Transfer,
};
use crate::state::{PropertyChange, PropertyName, StoredProperty};

/// A file system that the engine has for one request. Cloning shares it.
#[derive(Clone)]
pub(super) struct LentFileSystem {
    fs: Arc<dyn FileSystem>,
    context: Arc<RequestContext>,
    /// The target of a GET, opened: the engine asks what it is before it opens it, and the first request for a file's
    /// content tells both.
    opened: Arc<Mutex<Option<Box<dyn Reading>>>>,
}

impl LentFileSystem {
    pub(super) fn new(fs: Arc<dyn FileSystem>, context: Arc<RequestContext>) -> Self {
        Self { fs, context, opened: Arc::default() }
    }

    /// What is at `path`. What is going to be read is opened.
    async fn look(&self, path: &ResourcePath) -> Result<Meta, Failure> {
        if !self.context.surely_reads(path) {
            return self.fs.metadata(path).await;
        }
        match self.fs.open(path.clone(), OpenMode::Read).await {
            Ok(OpenFile::Reading(file)) => {
                let meta = file.meta();
                *self.opened.lock() = Some(file);
                Ok(meta)
            }
            Ok(_) | Err(Failure::IsFolder) => self.fs.metadata(path).await,
            Err(failure) => Err(failure),
        }
    }

    async fn open_file(&self, path: ResourcePath, mode: OpenMode) -> Result<OpenFile, Failure> {
        let opened = if self.context.surely_reads(&path) { self.opened.lock().take() } else { None };
        match opened {
            Some(file) => Ok(OpenFile::Reading(file)),
            None => self.fs.open(path, mode).await,
        }
    }

    /// The engine's path as ours, if nothing has failed yet: a store that is away is not an absent file, for which the
    /// engine may have taken it. The front has refused what cannot be a path.
    fn begin(&self, path: &DavPath) -> Result<ResourcePath, FsError> {
        if self.context.outcome.has_failed() {
            return Err(FsError::GeneralFailure);
        }
        self.path(path)
    }

    fn path(&self, path: &DavPath) -> Result<ResourcePath, FsError> {
        self.report(match path.as_url_string().as_str() {
            "" => Ok(ResourcePath::default()),
            text => ResourcePath::parse(text).map_err(Failure::from),
        })
    }

    fn report<T>(&self, result: Result<T, Failure>) -> Result<T, FsError> {
        result.map_err(|failure| reported(&self.context, failure))
    }

    fn mode(&self, options: &OpenOptions) -> Result<OpenMode, Failure> {
        if !options.write {
            Ok(OpenMode::Read)
        } else if self.context.method.as_str() == "LOCK" {
            Ok(OpenMode::CreateEmpty)
        } else if options.truncate {
            Ok(OpenMode::Write { size: options.size, create_new: options.create_new })
        } else {
            Err(Failure::BadRequest("writing a part of a file is not supported".to_owned()))
        }
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

impl DavFileSystem for LentFileSystem {
    fn open<'a>(&'a self, path: &'a DavPath, options: OpenOptions) -> FsFuture<'a, Box<dyn DavFile>> {
        Box::pin(async move {
            let path = self.begin(path)?;
            let mode = self.report(self.mode(&options))?;
            let file = self.report(self.open_file(path, mode).await)?;
            Ok(Box::new(EngineFile::new(Arc::clone(&self.context), file)) as Box<dyn DavFile>)
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
            let meta = self.report(self.look(&path).await)?;
            let is_opaque = meta.is_folder && is_opaque(&self.context, &path);
            Ok(Box::new(EngineMeta { meta, is_opaque }) as Box<dyn DavMetaData>)
        })
    }

    fn symlink_metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        DavFileSystem::metadata(self, path)
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let path = self.begin(path)?;
            self.report(match self.context.method.as_str() {
                "COPY" => self.fs.copy_folder_alone(&path).await,
                _ => self.fs.make_folder(&path).await,
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
            if self.context.destination.is_some() {
                // The destination of a COPY or MOVE: replaced in one step later, never removed first.
                return Ok(());
            }
            self.report(self.fs.delete(&path).await)
        })
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let (from, to) = (self.begin(from)?, self.begin(to)?);
            self.report(self.fs.transfer(from, to, Transfer::Move).await)
        })
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let (from, to) = (self.begin(from)?, self.begin(to)?);
            self.report(self.fs.transfer(from, to, Transfer::Copy).await)
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
            self.report(self.fs.change_properties(&path, changes).await)?;
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
