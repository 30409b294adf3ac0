//! Object stores: the trait, and what is built on the trait alone.
//!
//! [`ObjectStore`] is S3 reduced to what a file system needs. [`s3`] speaks to a real endpoint and
//! is the only place that sees the SDK; [`memory`] is complete and serves tests. New behaviour is a
//! layer ([`layers`]) or keeps state over one ([`cached`], [`creates`], [`journal`], [`multipart`], [`read_ahead`]); it
//! is not an `if`.

#[macro_use]
mod forward;

pub mod advice;
pub mod cached;
pub mod comparing;
pub mod creates;
mod error;
pub mod journal;
pub mod layers;
pub mod listing;
pub mod looked;
pub mod memory;
pub mod multipart;
pub mod namespace;
pub mod obstacle;
mod overlay;
mod payload;
pub mod reach;
pub mod read_ahead;
mod reader;
mod requests;
pub mod s3;
pub mod stack;
pub mod tree;
mod wire;

use std::fmt::Debug;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};

use crate::object::{ByteRange, ETag, Key, ObjectAddress, ObjectMeta};

pub use crate::object::ListPage;

pub use payload::{Payload, PayloadBuffer};
pub use requests::{CompleteUpload, CopyObject, CopyPart, GetObject, ListParts, PutObject, UploadPart};
pub use wire::{MultipartStore, ObjectStore};

pub use error::{NotFoundAnywhere, NotSignedIn, Setting, StoreError, StoreResult, existing};

/// The most keys a listing's page or a batch of deletes holds; S3's own limit.
pub const PAGE_KEYS: usize = 1000;

/// The object of a HEAD, if there is one. What must not be looked at is not seen beside a folder of its name.
pub fn seen(head: StoreResult<ObjectMeta>, is_prefix: bool) -> StoreResult<Option<ObjectMeta>> {
    match existing(head) {
        Err(StoreError::AccessDenied(_)) if is_prefix => Ok(None),
        found => found,
    }
}

/// What to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// The source's key in the store that is asked to copy.
    pub key: Key,
    pub address: ObjectAddress,
    /// The version meant; another one fails with [`StoreError::ConditionFailed`].
    pub etag: Option<ETag>,
    /// Bytes; large objects are copied in parts.
    pub size: u64,
    /// The copy's storage class; `None` is STANDARD.
    pub storage_class: Option<String>,
}

/// A copy that is going to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    pub from: Key,
    pub to: Key,
    /// The source is deleted afterwards, in the version that was copied: it need not be looked at before that.
    pub is_move: bool,
}

/// A multipart upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub key: Key,
    pub id: String,
    /// When it began, by the store's clock where it tells; the object gets this date.
    pub begun: SystemTime,
    /// An earlier attempt may have begun another one, whose id nobody knows.
    pub may_have_twin: bool,
}

/// An uploaded part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub number: u32,
    pub etag: ETag,
    /// The part's CRC-32C as the store echoed it, in base64; sent along at completion.
    pub crc32c: Option<String>,
}

/// A part that the store has of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    pub part: Part,
    /// Bytes.
    pub size: u64,
}

/// A page of the parts of an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartsPage {
    pub parts: Vec<StoredPart>,
    /// The number behind which it goes on; `None`: that is all.
    pub next: Option<u32>,
}

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListRequest {
    /// Keys that start with this; empty: all.
    pub prefix: String,
    /// Roll up everything behind the next `/` into a common prefix.
    pub delimited: bool,
    /// 1 to [`PAGE_KEYS`].
    pub max_keys: usize,
    /// Where the page before ended.
    pub continuation: Option<String>,
    /// Only keys behind this one.
    pub start_after: Option<String>,
}

impl ListRequest {
    /// The direct children of a folder: `prefix` is empty or ends with a slash.
    pub fn children(prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self { prefix, delimited: true, max_keys: PAGE_KEYS, continuation: None, start_after: None }
    }

    /// Everything below a prefix.
    pub fn tree(prefix: &str) -> Self {
        Self { delimited: false, ..Self::children(prefix) }
    }

    /// Whether anything has this prefix: the first name is enough. As a folder is listed, for policies let one
    /// list some prefixes with a delimiter only.
    pub fn probe(prefix: &str) -> Self {
        Self { max_keys: 1, ..Self::children(prefix) }
    }
}

/// An object's content on its way.
pub struct Content {
    pub meta: ObjectMeta,
    /// Where in the object `body` begins, in bytes.
    pub first: u64,
    /// Length of `body` in bytes.
    pub length: u64,
    /// Ends with an error if the content does not arrive whole.
    pub body: BoxStream<'static, StoreResult<Bytes>>,
}

impl Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content")
            .field("first", &self.first)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The first byte of a range of so many bytes, and the one behind its last.
fn bounds(size: u64, range: Option<ByteRange>) -> StoreResult<(u64, u64)> {
    let first = range.map_or(0, |range| range.first);
    let end = range.and_then(|range| range.last).map_or(size, |last| size.min(last.saturating_add(1)));
    if range.is_some() && first >= end { Err(StoreError::RangeNotSatisfiable) } else { Ok((first, end)) }
}

impl Content {
    /// Content that lies in memory, or a range of it.
    pub fn of_memory(meta: ObjectMeta, content: &Bytes, range: Option<ByteRange>) -> StoreResult<Self> {
        let (first, end) = bounds(content.len() as u64, range)?;
        let body = content.slice(first as usize..end as usize);
        let chunks: Vec<StoreResult<Bytes>> = (!body.is_empty()).then_some(Ok(body)).into_iter().collect();
        Ok(Self { meta, first, length: end - first, body: Box::pin(stream::iter(chunks)) })
    }

    /// The whole body at once; for small objects and tests.
    pub async fn collect(mut self) -> StoreResult<Bytes> {
        use futures_util::StreamExt;
        let mut all = bytes::BytesMut::new();
        while let Some(chunk) = self.body.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all.freeze())
    }
}

#[cfg(test)]
mod properties;
