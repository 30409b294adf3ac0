//! A store in memory: complete, exact, for tests and benches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use parking_lot::Mutex;

use super::{
    CompleteUpload, Content, CopyObject, CopyPart, Foreseen, GetObject, ListPage, ListParts, ListRequest,
    MultipartStore, ObjectStore, PAGE_KEYS, Part, PartsPage, PutObject, StoreError, StoreResult, StoredPart,
    Upload, UploadPart,
};
use crate::object::{
    Attributes, Condition, DeleteTarget, ETag, Key, ListedObject, ObjectAddress, ObjectMeta, ReadCondition,
    Written,
};

/// See the module. Cloning shares the objects.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Shelves>>);

#[derive(Debug, Default)]
struct Shelves {
    objects: BTreeMap<Key, Object>,
    uploads: BTreeMap<String, PendingUpload>,
    uploads_made: u64,
}

#[derive(Debug, Clone)]
struct Object {
    meta: ObjectMeta,
    content: Bytes,
}

#[derive(Debug)]
struct PendingUpload {
    upload: Upload,
    attributes: Attributes,
    parts: BTreeMap<u32, Bytes>,
}

impl Shelves {
    fn get(&self, key: &Key) -> StoreResult<&Object> {
        self.objects.get(key).ok_or(StoreError::NotFound)
    }

    fn check(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let current = self.objects.get(key).map(|object| &object.meta.etag);
        match (condition, current) {
            (Condition::None, _) | (Condition::IfAbsent, None) => Ok(()),
            (Condition::IfMatch(wanted), Some(etag)) if wanted == etag => Ok(()),
            (Condition::IfMatch(_), None) => Err(StoreError::NotFound),
            _ => Err(StoreError::ConditionFailed),
        }
    }

    fn store(&mut self, key: &Key, content: Bytes, attributes: &Attributes, etag: ETag) -> Written {
        let meta = ObjectMeta {
            size: content.len() as u64,
            etag: etag.clone(),
            last_modified: whole_seconds_now(),
            content_type: attributes.content_type.clone(),
            storage_class: None,
            user: attributes.user.clone(),
        };
        let written = Written { etag, last_modified: meta.last_modified };
        self.objects.insert(key.clone(), Object { meta, content });
        written
    }

    fn upload(&mut self, upload: &Upload) -> StoreResult<&mut PendingUpload> {
        self.uploads.get_mut(&upload.id).ok_or(StoreError::UploadGone)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for MemoryStore {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        Ok(self.0.lock().get(key)?.meta.clone())
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        let object = self.0.lock().get(request.key)?.clone();
        match request.condition {
            ReadCondition::IfMatch(etag) if *etag != object.meta.etag => {
                return Err(StoreError::ConditionFailed);
            }
            ReadCondition::IfNoneMatch(etag) if *etag == object.meta.etag => {
                return Err(StoreError::NotModified);
            }
            _ => {}
        }
        Content::of_memory(object.meta, &object.content, request.range)
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let shelves = self.0.lock();
        let mut page = ListPage::default();
        let mut prefixes = BTreeSet::new();
        let mut last = None;
        for (key, object) in shelves.objects.range(from_prefix(&request.prefix)..) {
            let Some(rest) = key.as_str().strip_prefix(&request.prefix) else { break };
            let rolled = request.delimited.then(|| rest.find('/')).flatten();
            let name = match rolled {
                Some(slash) => &key.as_str()[..request.prefix.len() + slash + 1],
                None => key.as_str(),
            };
            let before = request.continuation.as_deref().or(request.start_after.as_deref());
            let seen = before.is_some_and(|before| name <= before);
            if seen || prefixes.contains(name) {
                continue;
            }
            if page.objects.len() + prefixes.len() == request.max_keys {
                page.continuation = last;
                break;
            }
            match rolled {
                Some(_) => drop(prefixes.insert(name.to_owned())),
                None => page.objects.push(ListedObject { key: key.clone(), meta: object.meta.clone() }),
            }
            last = Some(name.to_owned());
        }
        page.prefixes = prefixes.into_iter().collect();
        Ok(page)
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let PutObject { key, body, attributes, condition } = request;
        let body = body.to_bytes();
        let etag = ETag::new(hex::encode(Md5::digest(&body)));
        let mut shelves = self.0.lock();
        shelves.check(key, condition)?;
        Ok(shelves.store(key, body, attributes, etag))
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let CopyObject { source, to, condition } = request;
        let mut shelves = self.0.lock();
        let object = shelves.get(&source.address.key)?.clone();
        if source.etag.as_ref().is_some_and(|etag| *etag != object.meta.etag) {
            return Err(StoreError::ConditionFailed);
        }
        shelves.check(to, condition)?;
        let ObjectMeta { content_type, user, .. } = object.meta;
        let attributes = Attributes { content_type, user, ..Attributes::default() };
        let etag = ETag::new(hex::encode(Md5::digest(&object.content)));
        Ok(shelves.store(to, object.content, &attributes, etag))
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let mut shelves = self.0.lock();
        shelves.check(key, condition)?;
        shelves.objects.remove(key);
        Ok(())
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let mut shelves = self.0.lock();
        let mut failed = Vec::new();
        for object in objects {
            match shelves.check(&object.key, &object.condition()) {
                Ok(()) => drop(shelves.objects.remove(&object.key)),
                Err(StoreError::NotFound) => {}
                Err(error) => failed.push((object.key.clone(), error)),
            }
        }
        Ok(failed)
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        let object = self.0.lock().get(key)?.clone();
        if object.meta.etag != *version {
            return Err(StoreError::ConditionFailed);
        }
        let ObjectMeta { content_type, user, .. } = object.meta;
        Ok(Attributes { content_type, user, ..Attributes::default() })
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        ObjectAddress { bucket: "memory".to_owned(), key: key.clone() }
    }

    /// Conditions are kept here: there is nothing to look at.
    async fn foresee(&self, _: &[Foreseen]) {}
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for MemoryStore {
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        let mut shelves = self.0.lock();
        shelves.uploads_made += 1;
        let id = format!("upload-{}", shelves.uploads_made);
        let upload =
            Upload { key: key.clone(), id: id.clone(), begun: whole_seconds_now(), may_have_twin: false };
        let (attributes, parts) = (attributes.clone(), BTreeMap::new());
        let pending = PendingUpload { upload: upload.clone(), attributes, parts };
        shelves.uploads.insert(id, pending);
        Ok(upload)
    }

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        let UploadPart { upload, number, body } = request;
        let body = body.to_bytes();
        let etag = ETag::new(hex::encode(Md5::digest(&body)));
        self.0.lock().upload(upload)?.parts.insert(number, body);
        Ok(Part { number, etag, crc32c: None })
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        let CopyPart { upload, number, source, range } = request;
        let body = {
            let shelves = self.0.lock();
            let object = shelves.get(&source.address.key)?;
            if source.etag.as_ref().is_some_and(|etag| *etag != object.meta.etag) {
                return Err(StoreError::ConditionFailed);
            }
            let end = range.last.map_or(object.meta.size, |last| object.meta.size.min(last + 1));
            object.content.slice(range.first as usize..end as usize).into()
        };
        self.upload_part(UploadPart { upload, number, body }).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let CompleteUpload { upload, parts, size, condition, .. } = request;
        let mut shelves = self.0.lock();
        shelves.upload(upload)?;
        shelves.check(&upload.key, condition)?;
        let pending = shelves.upload(upload)?;
        let (mut content, mut digests) = (BytesMut::new(), Md5::new());
        for part in parts {
            let body = pending.parts.get(&part.number).ok_or(StoreError::NotFound)?;
            digests.update(Md5::digest(body));
            content.extend_from_slice(body);
        }
        if content.len() as u64 != size {
            return Err(StoreError::Rejected("the parts do not add up to the size".into()));
        }
        let etag = ETag::new(format!("{}-{}", hex::encode(digests.finalize()), parts.len()));
        let attributes = pending.attributes.clone();
        shelves.uploads.remove(&upload.id);
        Ok(shelves.store(&upload.key, content.freeze(), &attributes, etag))
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.0.lock().uploads.remove(&upload.id);
        Ok(())
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        let shelves = self.0.lock();
        let here = shelves.uploads.values().filter(|pending| pending.upload.key == *key);
        Ok(here.map(|pending| pending.upload.clone()).collect())
    }

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        let mut shelves = self.0.lock();
        let parts = &shelves.upload(request.upload)?.parts;
        let mut page = PartsPage::default();
        for (number, body) in parts.range(request.after + 1..) {
            if page.parts.len() == PAGE_KEYS {
                page.next = page.parts.last().map(|last| last.part.number);
                break;
            }
            let etag = ETag::new(hex::encode(Md5::digest(body)));
            let part = Part { number: *number, etag, crc32c: None };
            page.parts.push(StoredPart { part, size: body.len() as u64 });
        }
        Ok(page)
    }
}

impl MemoryStore {
    /// How many multipart uploads are under way.
    pub fn open_uploads(&self) -> usize {
        self.0.lock().uploads.len()
    }
}

/// The least key with this prefix, for a range of the map. A prefix too long for a key has none.
fn from_prefix(prefix: &str) -> Key {
    match Key::new(prefix) {
        Ok(key) => key,
        // The least of all keys; what does not match ends the listing at once.
        Err(_) => Key::new("\0").unwrap_or_else(|_| unreachable!("one byte is a legal key")),
    }
}

/// S3 keeps whole seconds.
fn whole_seconds_now() -> SystemTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs())
}
