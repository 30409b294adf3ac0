//! Object stores: the trait, and what is built on the trait alone.
//!
//! [`ObjectStore`] is S3 reduced to what a file system needs. [`s3`] speaks to a real endpoint and
//! is the only place that sees the SDK; [`memory`] is complete and serves tests. New behaviour is a
//! wrapper ([`prefixed`], [`buckets`], [`patient`]), not an `if`.

pub mod buckets;
mod error;
pub mod listing;
pub mod memory;
pub mod multipart_writer;
pub mod patient;
pub mod prefixed;
pub mod reader;
pub mod s3;
pub mod tree;

use std::fmt::Debug;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::object::{
    Attributes, ByteRange, Condition, ETag, Key, ListedObject, ObjectAddress, ObjectMeta, Written,
};

pub use error::{StoreError, StoreResult};

/// The most keys a listing page or a batch of deletes holds; S3's own limit.
pub const PAGE_KEYS: usize = 1000;

/// A bucket, or something that behaves like one.
///
/// Every method is one exchange with the store; none waits for more than its own deadline.
/// Implementations classify every failure as a [`StoreError`]; a missing object is
/// [`StoreError::NotFound`] and nothing else is.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// What is known of the object at `key`.
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta>;

    /// The object's content, or a range of it. `if_match` makes it fail with
    /// [`StoreError::ConditionFailed`] if the object has another ETag.
    async fn get(&self, key: &Key, range: Option<ByteRange>, if_match: Option<&ETag>)
    -> StoreResult<Content>;

    /// One page of keys, in byte order.
    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage>;

    /// Writes a whole object.
    async fn put(
        &self,
        key: &Key,
        body: Bytes,
        attributes: &Attributes,
        condition: &Condition,
    ) -> StoreResult<Written>;

    /// Copies an object within the store's reach, keeping its attributes.
    async fn copy(&self, source: &CopySource, to: &Key, condition: &Condition) -> StoreResult<Written>;

    /// Deletes one object. Without a condition a missing object is a success.
    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()>;

    /// Deletes up to [`PAGE_KEYS`] objects; returns those that failed.
    async fn delete_many(&self, keys: &[Key]) -> StoreResult<Vec<(Key, StoreError)>>;

    /// Begins a multipart upload.
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload>;

    /// Uploads one part; `number` counts from 1.
    async fn upload_part(&self, upload: &Upload, number: u32, body: Bytes) -> StoreResult<Part>;

    /// Makes the object from its parts, in order. `size` is the whole object's length in bytes.
    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[Part],
        size: u64,
        condition: &Condition,
    ) -> StoreResult<Written>;

    /// Gives an upload up. An upload that is gone already is a success.
    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()>;

    /// Where the object at `key` lies, for [`ObjectStore::copy`].
    fn address(&self, key: &Key) -> ObjectAddress;
}

/// What to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    pub address: ObjectAddress,
    /// The version meant; another one fails with [`StoreError::ConditionFailed`].
    pub etag: Option<ETag>,
    /// The copy's storage class; `None` is STANDARD.
    pub storage_class: Option<String>,
}

/// A multipart upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub key: Key,
    pub id: String,
    /// When it began, by the store's clock where it tells; the object gets this date.
    pub begun: SystemTime,
}

/// An uploaded part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub number: u32,
    pub etag: ETag,
    /// The part's checksum as the store echoed it, base64 of CRC32; sent along at completion.
    pub crc32: Option<String>,
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
}

impl ListRequest {
    /// The direct children of a folder: `prefix` is empty or ends with a slash.
    pub fn children(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), delimited: true, max_keys: PAGE_KEYS, continuation: None }
    }

    /// Everything below a prefix.
    pub fn tree(prefix: &str) -> Self {
        Self { delimited: false, ..Self::children(prefix) }
    }

    /// Whether anything has this prefix: the first key is enough.
    pub fn probe(prefix: &str) -> Self {
        Self { max_keys: 1, ..Self::tree(prefix) }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListPage {
    /// Objects in byte order of their keys.
    pub objects: Vec<ListedObject>,
    /// Common prefixes in byte order, each ending with a slash.
    pub prefixes: Vec<String>,
    /// How to ask for the next page; `None`: this is the last.
    pub continuation: Option<String>,
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

impl Content {
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
