//! File systems as WebDAV sees them.
//!
//! A [`Share`] is what is served: buckets or a directory, or one of them with a shelf before it. For each request it
//! gives a [`FileSystem`], which knows the request by its [`RequestContext`]: the engine works on it, and our own
//! PROPFIND.

mod apple_files;
mod client_key;
mod conflict;
pub mod context;
mod dated_versions;
mod declared;
mod disk_error;
pub mod error;
mod export;
mod file_system;
mod following;
mod losers;
mod names;
mod new_names;
pub mod path;
mod ranges;
pub mod resource_path;
pub mod s3;
mod seen_versions;
pub mod sidecar;
mod unstored_versions;
mod url_prefix;
mod write_condition;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::object::ETag;

pub use crate::client::Client;
pub use context::RequestContext;
pub use error::Failure;
pub use export::{ExportState, ExportStatus, export_hint};
pub use file_system::{FileSystem, Meta, OpenFile, OpenMode, Reading, Transfer};
pub use following::Locate;
pub use resource_path::{PathError, ResourcePath};
pub use url_prefix::{NoPrefix, UrlPrefix};

/// Something that can be served.
#[async_trait]
pub trait Share: Send + Sync {
    /// The files and folders, for one request. What it finds it asks for once: who wants to look anew takes another.
    fn for_request(&self, context: Arc<RequestContext>) -> Arc<dyn FileSystem>;

    /// The content of a file that is in memory and known to be the newest.
    async fn hot(&self, context: &RequestContext) -> Option<HotFile>;

    /// What the answer to a request holds is going to be sent.
    async fn offered(&self, context: &RequestContext);

    /// The client's connection took `count` bytes from `first` on of what the request was offered.
    fn delivered(&self, context: &RequestContext, first: u64, count: u64);

    /// The request gave up a lock: whoever had the file open has closed it.
    fn unlocked(&self, context: &RequestContext);

    /// The request failed for no reason of its own: macOS takes that for an absence, until the folder's date
    /// is another one.
    fn unanswered(&self, context: &RequestContext);
}

/// A small file's whole content.
#[derive(Debug, Clone)]
pub struct HotFile {
    pub content: Bytes,
    pub etag: ETag,
    pub modified: SystemTime,
    pub content_type: Option<String>,
}

/// A file or a folder, as a listing shows it.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The last segment, as it is stored.
    pub name: String,
    /// How the state database names it: see `state::State::properties`.
    pub id: String,
    pub is_folder: bool,
    /// Bytes; 0 for folders.
    pub size: u64,
    pub modified: SystemTime,
    /// Whether what is served keeps that date. S3 keeps none for a folder: clients are told one that this gateway
    /// notes.
    pub is_date_stored: bool,
    /// Files only.
    pub etag: Option<ETag>,
    /// As stored; in a listing, as the name suggests.
    pub content_type: Option<String>,
    /// The modification time that a client asked to keep, in seconds since 1970.
    pub kept_mtime: Option<String>,
    /// See [`FileSystem::export`]: only where it was asked for.
    pub export: Option<ExportStatus>,
}

/// The content type that a name's extension suggests.
fn guessed_type(name: &str) -> Option<String> {
    mime_guess::from_path(name).first_raw().map(str::to_owned)
}

/// A folder's children, in an order of the store's choosing.
pub type Children = BoxStream<'static, Result<Resource, Failure>>;

#[cfg(test)]
pub(crate) mod properties;
