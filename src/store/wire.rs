//! What a store must be able to do: S3, reduced to what a file system needs.
//!
//! All methods are required, so that a layer which forgets one does not compile; what a layer hands on as it is stands
//! in one line, `forward!`.

use std::fmt::Debug;

use async_trait::async_trait;

use super::{
    CompleteUpload, Content, CopyObject, CopyPart, Foreseen, GetObject, ListPage, ListParts, ListRequest,
    Part, PartsPage, PutObject, StoreError, StoreResult, Upload, UploadPart,
};
use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key, ObjectAddress, ObjectMeta, Written};

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
    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content>;

    /// One page of keys, in byte order.
    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage>;

    /// Writes a whole object.
    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written>;

    /// Many copies are going to be made, soon and in about this order: where their conditions must be made up for by
    /// looks, one serves many of them.
    async fn foresee(&self, copies: &[Foreseen]);

    /// Copies an object within the store's reach, keeping its attributes.
    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written>;

    /// Deletes one object. Without a condition a missing object is a success.
    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()>;

    /// Deletes up to [`PAGE_KEYS`] objects; returns those that failed. One that is missing already
    /// is a success.
    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>>;

    /// Everything that is stored beside a version's content, for a copy in parts.
    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes>;

    /// Where the object at `key` lies, for a [`CopySource`](super::CopySource).
    fn address(&self, key: &Key) -> ObjectAddress;
}

/// A bucket that takes large objects in parts.
#[async_trait]
pub trait MultipartStore: ObjectStore {
    /// Begins a multipart upload.
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload>;

    /// Uploads one part.
    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part>;

    /// Makes a part of a range of another object.
    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part>;

    /// Makes the object from its parts.
    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written>;

    /// Gives an upload up. An upload that is gone already is a success.
    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()>;

    /// The multipart uploads under way to exactly this key, whoever began them; up to [`PAGE_KEYS`].
    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>>;

    /// One page of the parts that the store has of an upload, by number.
    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage>;
}
