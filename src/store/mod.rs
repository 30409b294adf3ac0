//! Object stores: the trait, and what is built on the trait alone.
//!
//! [`ObjectStore`] is S3 reduced to what a file system needs. [`s3`] speaks to a real endpoint and
//! is the only place that sees the SDK; [`memory`] is complete and serves tests. New behaviour is a
//! layer ([`layers`]) or keeps state over one ([`cached`], [`creates`], [`multipart`], [`read_ahead`]); it is not an `if`.

pub mod advice;
pub mod cached;
pub mod comparing;
pub mod creates;
mod error;
pub mod layers;
pub mod listing;
pub mod looked;
pub mod memory;
pub mod multipart;
pub mod obstacle;
mod payload;
pub mod reach;
pub mod read_ahead;
mod reader;
pub mod s3;
pub mod tree;

use std::fmt::Debug;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join;
use futures_util::stream::{self, BoxStream};

use crate::object::{
    Attributes, ByteRange, Condition, DeleteTarget, ETag, Key, ObjectAddress, ObjectMeta, ReadCondition,
    Spelling, Stat, Written,
};

pub use crate::object::ListPage;

pub use payload::{Payload, PayloadBuffer};

pub use error::{NotFoundAnywhere, NotSignedIn, Setting, StoreError, StoreResult, existing};

/// The most keys a listing's page or a batch of deletes holds; S3's own limit.
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

    /// The object's content, or a range of it. A condition that does not hold is
    /// [`StoreError::ConditionFailed`] (another version than wanted) or
    /// [`StoreError::NotModified`] (still the version that is known).
    async fn get(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        condition: &ReadCondition,
    ) -> StoreResult<Content>;

    /// What has the name `name`: asked in one round trip where nothing is known.
    async fn stat(&self, name: &Key) -> StoreResult<Stat> {
        look_up(self, name).await
    }

    /// As [`ObjectStore::stat`], for what is going to be listed as a tree: where that costs nothing
    /// more, its first page comes along.
    async fn stat_tree(&self, name: &Key) -> StoreResult<(Stat, Option<ListPage>)> {
        look_up_tree(self, name).await
    }

    /// Whether any key begins with `prefix`.
    async fn is_prefix(&self, prefix: &str) -> StoreResult<bool> {
        listing::any(self, prefix).await
    }

    /// How a child of `prefix` that means the same as `name` to Unicode is really spelled, as far as that
    /// is known without asking. ASCII has one spelling only: then the child is an object that is there.
    fn find_normalized(&self, _prefix: &str, _name: &str) -> Spelling {
        Spelling::Unknown
    }

    /// One page of keys, in byte order.
    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage>;

    /// Writes a whole object.
    async fn put(
        &self,
        key: &Key,
        body: Payload,
        attributes: &Attributes,
        condition: &Condition,
    ) -> StoreResult<Written>;

    /// Makes an empty object, unless there is one, that its content is expected to follow for: it may be
    /// put off until then.
    async fn create(&self, key: &Key, attributes: &Attributes) -> StoreResult<Written> {
        self.put(key, Payload::default(), attributes, &Condition::IfAbsent).await
    }

    /// Nobody expects more content for what was created at `path`: `/`, then its key, composed (NFC).
    async fn closed(&self, _path: &str) -> StoreResult<()> {
        Ok(())
    }

    /// Many copies are going to be made, soon and in about this order: where their conditions must be made up for by
    /// looks, one serves many of them.
    async fn foresee(&self, _copies: &[Foreseen]) {}

    /// Copies an object within the store's reach, keeping its attributes.
    async fn copy(&self, source: &CopySource, to: &Key, condition: &Condition) -> StoreResult<Written>;

    /// Deletes one object. Without a condition a missing object is a success.
    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()>;

    /// The whole content of a small object that is known to be the newest, from memory.
    fn held(&self, _key: &Key) -> Option<(ObjectMeta, Bytes)> {
        None
    }

    /// Deletes up to [`PAGE_KEYS`] objects; returns those that failed. One that is missing already
    /// is a success.
    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>>;

    /// Everything that is stored beside a version's content, for a copy in parts.
    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes>;

    /// Begins a multipart upload.
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload>;

    /// Uploads one part; `number` counts from 1.
    async fn upload_part(&self, upload: &Upload, number: u32, body: Payload) -> StoreResult<Part>;

    /// Makes a part of a range of another object.
    async fn copy_part(
        &self,
        upload: &Upload,
        number: u32,
        source: &CopySource,
        range: ByteRange,
    ) -> StoreResult<Part>;

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

    /// The multipart uploads under way to exactly this key, whoever began them; up to [`PAGE_KEYS`].
    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>>;

    /// Where the object at `key` lies, for [`ObjectStore::copy`].
    fn address(&self, key: &Key) -> ObjectAddress;
}

/// Asks for what has a name, in one round trip.
async fn look_up<S: ObjectStore + ?Sized>(store: &S, name: &Key) -> StoreResult<Stat> {
    let prefix = format!("{name}/");
    let (head, is_prefix) = join(store.head(name), store.is_prefix(&prefix)).await;
    // The listing says more of a failure than a HEAD, which has no body.
    let is_prefix = is_prefix?;
    Ok(Stat { object: seen(head, is_prefix)?, is_prefix })
}

/// The object of a HEAD, if there is one. What must not be looked at is not seen beside a folder of its name.
pub fn seen(head: StoreResult<ObjectMeta>, is_prefix: bool) -> StoreResult<Option<ObjectMeta>> {
    match existing(head) {
        Err(StoreError::AccessDenied(_)) if is_prefix => Ok(None),
        found => found,
    }
}

/// As [`look_up`], by the first page of the tree.
async fn look_up_tree<S: ObjectStore + ?Sized>(
    store: &S,
    name: &Key,
) -> StoreResult<(Stat, Option<ListPage>)> {
    let tree = ListRequest::tree(&format!("{name}/"));
    let (head, page) = join(store.head(name), store.list(&tree)).await;
    let page = page?;
    let is_prefix = !page.is_nothing();
    Ok((Stat { object: seen(head, is_prefix)?, is_prefix }, Some(page)))
}

/// Permits of a pool of memory for `bytes`, rounded up: one a KiB.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
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

impl Content {
    /// Content that lies in memory, or a range of it.
    pub fn of_memory(meta: ObjectMeta, content: &Bytes, range: Option<ByteRange>) -> StoreResult<Self> {
        let size = content.len() as u64;
        let first = range.map_or(0, |range| range.first);
        let end = range.and_then(|range| range.last).map_or(size, |last| size.min(last.saturating_add(1)));
        if range.is_some() && first >= end {
            return Err(StoreError::RangeNotSatisfiable);
        }
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
