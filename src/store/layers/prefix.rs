//! A store that shows only what lies below a prefix of another, as if it were the whole.

use std::sync::Arc;

use async_trait::async_trait;

use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key, ObjectAddress, ObjectMeta, Written};
use crate::store::{
    CompleteUpload, Content, CopyObject, CopyPart, CopySource, Foreseen, GetObject, ListPage, ListParts,
    ListRequest, MultipartStore, ObjectStore, Part, PartsPage, PutObject, StoreError, StoreResult, Upload,
    UploadPart,
};

/// See the module. `prefix` ends with a slash.
#[derive(Debug)]
pub struct PrefixStore {
    inner: Arc<dyn MultipartStore>,
    prefix: String,
}

impl PrefixStore {
    /// Wraps `inner`; an empty `prefix` returns it as it is.
    pub fn wrap(inner: Arc<dyn MultipartStore>, prefix: &str) -> Arc<dyn MultipartStore> {
        match prefix.trim_matches('/') {
            "" => inner,
            prefix => Arc::new(Self { inner, prefix: format!("{prefix}/") }),
        }
    }

    fn full(&self, key: &Key) -> StoreResult<Key> {
        Ok(Key::new(format!("{}{key}", self.prefix))?)
    }

    fn upload(&self, upload: &Upload) -> StoreResult<Upload> {
        Ok(Upload { key: self.full(&upload.key)?, ..upload.clone() })
    }

    fn source(&self, source: &CopySource) -> StoreResult<CopySource> {
        Ok(CopySource { key: self.full(&source.key)?, ..source.clone() })
    }

    fn strip(&self, key: &str) -> StoreResult<String> {
        key.strip_prefix(&self.prefix).map(str::to_owned).ok_or_else(|| {
            StoreError::InvalidAnswer("a listing held a key outside the prefix that was asked for".into())
        })
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for PrefixStore {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        self.inner.head(&self.full(key)?).await
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        self.inner.get(GetObject { key: &self.full(request.key)?, ..request }).await
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let full = |text: &String| format!("{}{text}", self.prefix);
        let start_after = request.start_after.as_ref().map(full);
        let request = ListRequest { prefix: full(&request.prefix), start_after, ..request.clone() };
        let page = self.inner.list(&request).await?;
        let ListPage { continuation, unreadable, .. } = page;
        let mut shown = ListPage { continuation, unreadable, ..ListPage::default() };
        for mut object in page.objects {
            // The marker of the prefix itself is the root, which needs none.
            let Ok(key) = Key::new(self.strip(object.key.as_str())?) else { continue };
            object.key = key;
            shown.objects.push(object);
        }
        for prefix in page.prefixes {
            shown.prefixes.push(self.strip(&prefix)?);
        }
        Ok(shown)
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        self.inner.put(PutObject { key: &self.full(request.key)?, ..request }).await
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let (source, to) = (&self.source(request.source)?, &self.full(request.to)?);
        self.inner.copy(CopyObject { source, to, ..request }).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        self.inner.delete(&self.full(key)?, condition).await
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let full = |object: &DeleteTarget| {
            Ok(DeleteTarget { key: self.full(&object.key)?, etag: object.etag.clone() })
        };
        let full = objects.iter().map(full).collect::<StoreResult<Vec<_>>>()?;
        let failed = self.inner.delete_many(&full).await?;
        failed.into_iter().map(|(key, error)| Ok((Key::new(self.strip(key.as_str())?)?, error))).collect()
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        self.inner.attributes(&self.full(key)?, version).await
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        match self.full(key) {
            Ok(full) => self.inner.address(&full),
            // A key too long to exist: the copy from it finds nothing.
            Err(_) => self.inner.address(key),
        }
    }

    async fn foresee(&self, copies: &[Foreseen]) {
        let full = copies.iter().map(|copy| {
            Ok::<_, StoreError>(Foreseen {
                from: self.full(&copy.from)?,
                to: self.full(&copy.to)?,
                ..copy.clone()
            })
        });
        // A key too long to exist is not copied.
        let full: Vec<_> = full.flatten().collect();
        self.inner.foresee(&full).await;
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for PrefixStore {
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        let upload = self.inner.create_upload(&self.full(key)?, attributes).await?;
        Ok(Upload { key: key.clone(), ..upload })
    }

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        self.inner.upload_part(UploadPart { upload: &self.upload(request.upload)?, ..request }).await
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        let (upload, source) = (&self.upload(request.upload)?, &self.source(request.source)?);
        self.inner.copy_part(CopyPart { upload, source, ..request }).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        self.inner.complete_upload(CompleteUpload { upload: &self.upload(request.upload)?, ..request }).await
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        self.inner.abort_upload(&self.upload(upload)?).await
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        let found = self.inner.list_uploads(&self.full(key)?).await?;
        Ok(found.into_iter().map(|upload| Upload { key: key.clone(), ..upload }).collect())
    }

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        self.inner.list_parts(ListParts { upload: &self.upload(request.upload)?, ..request }).await
    }
}
