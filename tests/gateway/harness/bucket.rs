//! What a gateway serves, as any other program sees it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use s3dav::metrics::Metrics;
use s3dav::object::{Attributes, Condition, Key};
use s3dav::store::s3::S3Store;
use s3dav::store::{CompleteUpload, GetObject, MultipartStore, PutObject, StoreError, UploadPart};

use super::s3_options;

#[derive(Clone)]
pub enum Bucket {
    S3(Arc<dyn MultipartStore>),
    /// Its files stand for objects, its empty folders for markers.
    Directory(PathBuf),
}

impl Bucket {
    pub async fn of(endpoint: &str, name: &str) -> Self {
        Self::S3(Arc::new(S3Store::new(name, s3_options(endpoint), Metrics::default()).await.unwrap()))
    }

    pub fn store(&self) -> &Arc<dyn MultipartStore> {
        match self {
            Self::S3(store) => store,
            Self::Directory(_) => panic!("it is a directory"),
        }
    }

    pub async fn put(&self, key: &str, body: &str) {
        self.put_bytes(key, Bytes::from(body.to_owned())).await;
    }

    pub async fn put_bytes(&self, key: &str, body: Bytes) {
        match self {
            Self::S3(store) => {
                let key = Key::new(key).unwrap();
                let (body, attributes, condition) = (body.into(), &Attributes::default(), &Condition::None);
                store.put(PutObject { key: &key, body, attributes, condition }).await.unwrap();
            }
            Self::Directory(root) if key.ends_with('/') => fs::create_dir_all(root.join(key)).unwrap(),
            Self::Directory(root) => {
                let path = root.join(key);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, body).unwrap();
            }
        }
    }

    /// Makes an object of one part: what has tags can be made in no other way.
    pub async fn upload(&self, key: &str, body: Bytes, attributes: &Attributes) {
        let (store, size) = (self.store(), body.len() as u64);
        let upload = &store.create_upload(&Key::new(key).unwrap(), attributes).await.unwrap();
        let part = store.upload_part(UploadPart { upload, number: 1, body: body.into() }).await.unwrap();
        let (parts, condition) = (&[part], &Condition::None);
        store.complete_upload(CompleteUpload { upload, parts, size, crc32c: None, condition }).await.unwrap();
    }

    pub async fn delete(&self, key: &str) {
        match self {
            Self::S3(store) => {
                store.delete(&Key::new(key).unwrap(), &Condition::None).await.unwrap();
            }
            Self::Directory(root) => match fs::remove_file(root.join(key)) {
                Err(error) if error.kind() != ErrorKind::NotFound => panic!("{key}: {error}"),
                _ => {}
            },
        }
    }

    /// The content of an object; `None` if there is none.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        match self {
            Self::S3(store) => match store.get(GetObject::whole(&Key::new(key).unwrap())).await {
                Ok(content) => Some(content.collect().await.unwrap()),
                Err(StoreError::NotFound) => None,
                Err(error) => panic!("{error}"),
            },
            Self::Directory(_) if key.ends_with('/') => Some(Bytes::new()),
            Self::Directory(root) => match fs::read(root.join(key)) {
                Ok(content) => Some(content.into()),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => panic!("{key}: {error}"),
            },
        }
    }

    /// All keys, in order.
    pub async fn keys(&self) -> Vec<String> {
        match self {
            Self::S3(store) => {
                let leaves = s3dav::store::tree::list(store, "").await.unwrap();
                leaves.into_iter().map(|leaf| leaf.key.to_string()).collect()
            }
            Self::Directory(root) => {
                let mut keys = Vec::new();
                walk(root, "", &mut keys);
                keys.sort();
                keys
            }
        }
    }

    /// Keys and contents.
    pub async fn contents(&self) -> BTreeMap<String, Bytes> {
        let mut all = BTreeMap::new();
        for key in self.keys().await {
            if let Some(content) = self.get(&key).await {
                all.insert(key, content);
            }
        }
        all
    }

    pub async fn is_empty(&self) -> bool {
        self.keys().await.is_empty()
    }
}

fn walk(folder: &Path, prefix: &str, keys: &mut Vec<String>) {
    let before = keys.len();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".s3dav-part-") {
            // What came to nothing goes a moment after the answer; that nothing stays has tests of its own.
            continue;
        }
        let key = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{key}/"), keys)
        } else {
            keys.push(key)
        }
    }
    if keys.len() == before && !prefix.is_empty() {
        keys.push(prefix.to_owned());
    }
}
