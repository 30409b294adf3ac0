//! dav-server, the WebDAV engine: the only place that sees its types.
//!
//! It is lent a [`FileSystem`] and the request's locks, in its own traits; what becomes of a request comes back as a
//! plain answer. Trees are opaque to it, neither file nor folder, so that it hands each to one call instead of walking
//! it. Its errors cannot say why something failed: what it cannot say is reported, see [`report`].

mod file;
mod file_system;
mod locks;

use std::sync::Arc;

use dav_server::fs::FsError;
use dav_server::{DavConfig, DavHandler};
use http::{Request, Response};
use http_body_util::BodyExt;

use super::locks::RequestLocks;
use super::{Body, report};
use crate::fs::{Failure, FileSystem, RequestContext};

use file_system::LentFileSystem;

/// Carries a request out. It may panic on what it does not understand.
pub(super) async fn handle(
    context: &Arc<RequestContext>,
    fs: Arc<dyn FileSystem>,
    locks: RequestLocks,
    request: Request<Body>,
) -> Response<Body> {
    let config = if context.prefix.is_empty() {
        DavConfig::new()
    } else {
        DavConfig::new().strip_prefix(context.prefix.decoded())
    };
    let config = config
        .filesystem(Box::new(LentFileSystem::new(fs, Arc::clone(context))))
        .locksystem(Box::new(locks))
        .read_buf_size(READ_SIZE);
    DavHandler::new().handle_with(config, request).await.map(BodyExt::boxed_unsync)
}

/// Reports a failure, and says what of it the engine understands.
fn reported(context: &RequestContext, failure: Failure) -> FsError {
    let error = match &failure {
        failure if failure.is_absence() => FsError::NotFound,
        Failure::Exists => FsError::Exists,
        Failure::Forbidden(_) => FsError::Forbidden,
        _ => FsError::GeneralFailure,
    };
    report(context, failure);
    error
}

/// Bytes per read: a chunk as S3 sends it fits, and nothing is split.
const READ_SIZE: usize = 1 << 20;

/// What the bare engine, over a file system in memory, answers to the last of these requests. The others succeed.
#[cfg(test)]
pub(crate) async fn answer_in_memory(requests: impl IntoIterator<Item = Request<Body>>) -> Response<Body> {
    use dav_server::{memfs::MemFs, memls::MemLs};

    let engine = DavHandler::builder().filesystem(MemFs::new()).locksystem(MemLs::new()).build_handler();
    let mut last = None;
    for request in requests {
        let before = last.replace(engine.handle(request).await);
        assert!(before.is_none_or(|answer| answer.status().is_success()));
    }
    last.unwrap().map(BodyExt::boxed_unsync)
}
