//! Several stores as one: the first segment of a key names the store, as a folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key, ObjectAddress, ObjectMeta, Written};
use crate::store::{
    CompleteUpload, Content, CopyObject, CopyPart, CopySource, Foreseen, GetObject, ListPage, ListParts,
    ListRequest, MultipartStore, ObjectStore, Part, PartsPage, PutObject, StoreError, StoreResult, Upload,
    UploadPart,
};

/// See the module.
#[derive(Debug)]
pub struct RoutedStore(BTreeMap<String, Arc<dyn MultipartStore>>);

impl RoutedStore {
    /// Joins `stores`, each under its folder's name. Names hold no slash.
    pub fn new(stores: BTreeMap<String, Arc<dyn MultipartStore>>) -> Self {
        Self(stores)
    }

    /// The store of a key, and the key within it. Nothing can be written beside the folders.
    fn route(&self, key: &Key) -> StoreResult<(&Arc<dyn MultipartStore>, Key)> {
        let (name, rest) = key.as_str().split_once('/').unwrap_or((key.as_str(), ""));
        let store = self.0.get(name).ok_or(StoreError::NotFound)?;
        let rest = Key::new(rest).map_err(|_| StoreError::NotFound)?;
        Ok((store, rest))
    }

    fn route_upload(&self, upload: &Upload) -> StoreResult<(&Arc<dyn MultipartStore>, Upload)> {
        let (store, key) = self.route(&upload.key)?;
        Ok((store, Upload { key, ..upload.clone() }))
    }

    /// The same as its own store calls it. What lies in another bucket is found by its address alone.
    fn source(&self, source: &CopySource) -> StoreResult<CopySource> {
        Ok(CopySource { key: self.route(&source.key)?.1, ..source.clone() })
    }

    fn folders(&self) -> ListPage {
        ListPage { prefixes: self.0.keys().map(|name| format!("{name}/")).collect(), ..ListPage::default() }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl ObjectStore for RoutedStore {
    async fn head(&self, key: &Key) -> StoreResult<ObjectMeta> {
        let (store, key) = self.route(key)?;
        store.head(&key).await
    }

    async fn get(&self, request: GetObject<'_>) -> StoreResult<Content> {
        let (store, key) = self.route(request.key)?;
        store.get(GetObject { key: &key, ..request }).await
    }

    async fn list(&self, request: &ListRequest) -> StoreResult<ListPage> {
        let Some((name, rest)) = request.prefix.split_once('/') else {
            return if request.delimited && request.prefix.is_empty() {
                Ok(self.folders())
            } else {
                Ok(ListPage::default())
            };
        };
        let Some(store) = self.0.get(name) else { return Ok(ListPage::default()) };
        let after = request.start_after.as_deref().and_then(|key| key.strip_prefix(name)?.strip_prefix('/'));
        let start_after = after.map(str::to_owned);
        let mut page =
            store.list(&ListRequest { prefix: rest.to_owned(), start_after, ..request.clone() }).await?;
        for object in &mut page.objects {
            // Lost in a folder's listing, where no path could name it; a tree must be whole.
            match Key::new(format!("{name}/{}", object.key)) {
                Ok(key) => object.key = key,
                Err(error) if !request.delimited => return Err(error.into()),
                Err(error) => tracing::warn!(key = %object.key, %error, "left out of a listing"),
            }
        }
        page.objects
            .retain(|object| object.key.as_str().strip_prefix(name).is_some_and(|k| k.starts_with('/')));
        for prefix in &mut page.prefixes {
            *prefix = format!("{name}/{prefix}");
        }
        Ok(page)
    }

    async fn put(&self, request: PutObject<'_>) -> StoreResult<Written> {
        let (store, key) = self.route(request.key)?;
        store.put(PutObject { key: &key, ..request }).await
    }

    async fn copy(&self, request: CopyObject<'_>) -> StoreResult<Written> {
        let (store, to) = self.route(request.to)?;
        store.copy(CopyObject { source: &self.source(request.source)?, to: &to, ..request }).await
    }

    async fn delete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let (store, key) = self.route(key)?;
        store.delete(&key, condition).await
    }

    async fn delete_many(&self, objects: &[DeleteTarget]) -> StoreResult<Vec<(Key, StoreError)>> {
        let mut by_store: BTreeMap<&str, Vec<DeleteTarget>> = BTreeMap::new();
        for DeleteTarget { key, etag } in objects {
            let (name, _) = key.as_str().split_once('/').ok_or(StoreError::NotFound)?;
            let inner = DeleteTarget { key: self.route(key)?.1, etag: etag.clone() };
            by_store.entry(name).or_default().push(inner);
        }
        let mut failed = Vec::new();
        for (name, objects) in by_store {
            let Some(store) = self.0.get(name) else { continue };
            for (key, error) in store.delete_many(&objects).await? {
                failed.push((Key::new(format!("{name}/{key}"))?, error));
            }
        }
        Ok(failed)
    }

    async fn attributes(&self, key: &Key, version: &ETag) -> StoreResult<Attributes> {
        let (store, key) = self.route(key)?;
        store.attributes(&key, version).await
    }

    fn address(&self, key: &Key) -> ObjectAddress {
        match self.route(key) {
            Ok((store, key)) => store.address(&key),
            // No such bucket here: the copy from it finds nothing.
            Err(_) => ObjectAddress { bucket: String::new(), key: key.clone() },
        }
    }

    async fn foresee(&self, copies: &[Foreseen]) {
        for (name, store) in &self.0 {
            let within = |key: &Key| Key::new(key.as_str().strip_prefix(name)?.strip_prefix('/')?).ok();
            let own = copies.iter().filter_map(|copy| {
                Some(Foreseen { from: within(&copy.from)?, to: within(&copy.to)?, ..copy.clone() })
            });
            let own: Vec<_> = own.collect();
            if !own.is_empty() {
                store.foresee(&own).await;
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MultipartStore for RoutedStore {
    async fn create_upload(&self, key: &Key, attributes: &Attributes) -> StoreResult<Upload> {
        let (store, inner) = self.route(key)?;
        let upload = store.create_upload(&inner, attributes).await?;
        Ok(Upload { key: key.clone(), ..upload })
    }

    async fn upload_part(&self, request: UploadPart<'_>) -> StoreResult<Part> {
        let (store, upload) = self.route_upload(request.upload)?;
        store.upload_part(UploadPart { upload: &upload, ..request }).await
    }

    async fn copy_part(&self, request: CopyPart<'_>) -> StoreResult<Part> {
        let (store, upload) = self.route_upload(request.upload)?;
        let source = &self.source(request.source)?;
        store.copy_part(CopyPart { upload: &upload, source, ..request }).await
    }

    async fn complete_upload(&self, request: CompleteUpload<'_>) -> StoreResult<Written> {
        let (store, upload) = self.route_upload(request.upload)?;
        store.complete_upload(CompleteUpload { upload: &upload, ..request }).await
    }

    async fn abort_upload(&self, upload: &Upload) -> StoreResult<()> {
        let (store, upload) = self.route_upload(upload)?;
        store.abort_upload(&upload).await
    }

    async fn list_uploads(&self, key: &Key) -> StoreResult<Vec<Upload>> {
        let (store, inner) = self.route(key)?;
        let found = store.list_uploads(&inner).await?;
        Ok(found.into_iter().map(|upload| Upload { key: key.clone(), ..upload }).collect())
    }

    async fn list_parts(&self, request: ListParts<'_>) -> StoreResult<PartsPage> {
        let (store, upload) = self.route_upload(request.upload)?;
        store.list_parts(ListParts { upload: &upload, ..request }).await
    }
}
