//! One file for the engine, being read or written, and what is known of files and folders.

use std::fmt;
use std::io::SeekFrom;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Buf, Bytes};
use dav_server::fs::{DavFile, DavMetaData, FsError, FsFuture, FsResult};
use parking_lot::Mutex;

use super::reported;
use crate::fs::{Meta, OpenFile, RequestContext};

pub(super) struct EngineFile {
    context: Arc<RequestContext>,
    /// Never locked: the engine wants files to be shareable, and a body's stream is not.
    file: Mutex<OpenFile>,
}

impl EngineFile {
    pub(super) fn new(context: Arc<RequestContext>, file: OpenFile) -> Self {
        Self { context, file: Mutex::new(file) }
    }
}

impl fmt::Debug for EngineFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineFile").finish_non_exhaustive()
    }
}

impl DavFile for EngineFile {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let meta = self.file.get_mut().meta().ok_or(FsError::GeneralFailure);
        Box::pin(
            async move { Ok(Box::new(EngineMeta { meta: meta?, is_opaque: false }) as Box<dyn DavMetaData>) },
        )
    }

    fn write_buf(&mut self, mut buffer: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        self.write_bytes(bytes)
    }

    fn write_bytes(&mut self, bytes: Bytes) -> FsFuture<'_, ()> {
        let Self { context, file } = self;
        Box::pin(
            async move { file.get_mut().write(bytes).await.map_err(|failure| reported(context, failure)) },
        )
    }

    fn read_bytes(&mut self, count: usize) -> FsFuture<'_, Bytes> {
        let Self { context, file } = self;
        Box::pin(
            async move { file.get_mut().read(count).await.map_err(|failure| reported(context, failure)) },
        )
    }

    fn seek(&mut self, to: SeekFrom) -> FsFuture<'_, u64> {
        let sought = match (self.file.get_mut(), to) {
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
            let committed = self.file.get_mut().commit().await;
            let meta = committed.map_err(|failure| reported(&self.context, failure))?;
            // Where the source has not said so: it goes on without the client.
            self.context.stored(meta.size).await;
            Ok(())
        })
    }
}

#[derive(Debug, Clone)]
pub(super) struct EngineMeta {
    pub(super) meta: Meta,
    /// A tree to be handled in one call.
    pub(super) is_opaque: bool,
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
