//! Buckets, objects and uploads: what is kept, and the index of it on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::blob::Blob;
use crate::checksum::Crc32c;

/// Everything the server keeps. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    data: Option<Arc<Path>>,
    buckets: Arc<Mutex<BTreeMap<String, Bucket>>>,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Arc<Object>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// What listings show that lag behind, once one was asked for.
    pub(super) listed: Option<BTreeMap<String, Arc<Object>>>,
}

/// An object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) content: Blob,
    /// Without quotes.
    pub(super) etag: String,
    /// Whole seconds, as in S3.
    pub(super) last_modified: SystemTime,
    pub(super) headers: Headers,
    /// Names the index file; empty while in memory.
    id: String,
}

/// What a client stored beside the content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Headers {
    pub(super) content_type: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) storage_class: Option<String>,
    pub(super) tagging: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    /// Of the whole content, where that is known.
    #[serde(default)]
    pub(super) crc32c: Option<Crc32c>,
}

/// A multipart upload under way.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) headers: Headers,
    pub(super) initiated: SystemTime,
    /// By number.
    pub(super) parts: BTreeMap<i32, Part>,
}

/// A part of it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Without quotes.
    pub(super) etag: String,
    /// If it came with one.
    pub(super) crc32c: Option<Crc32c>,
    pub(super) content: Blob,
}

/// An object's index file.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    key: String,
    etag: String,
    last_modified: u64,
    headers: Headers,
    files: Vec<(String, u64)>,
}

impl Storage {
    /// Loads what `data` holds and makes `buckets` if they are missing.
    pub(super) async fn open(data: Option<&Path>, buckets: &[String]) -> io::Result<Self> {
        let mut all = BTreeMap::new();
        if let Some(data) = data {
            std::fs::create_dir_all(data)?;
            for entry in std::fs::read_dir(data)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    all.insert(name, load_bucket(&entry.path())?);
                }
            }
        }
        let storage = Self { data: data.map(Arc::from), buckets: Arc::new(Mutex::new(all)) };
        buckets.iter().try_for_each(|name| storage.create_bucket(name).map(|_| ()))?;
        Ok(storage)
    }

    /// Makes a bucket; says whether it is new.
    pub(super) fn create_bucket(&self, name: &str) -> io::Result<bool> {
        if let Some(directory) = self.directory(name) {
            std::fs::create_dir_all(directory)?;
        }
        let mut buckets = self.buckets.lock();
        let new = !buckets.contains_key(name);
        buckets.entry(name.to_owned()).or_default();
        Ok(new)
    }

    /// Where a bucket's files lie; `None` in memory.
    pub(super) fn directory(&self, bucket: &str) -> Option<PathBuf> {
        self.data.as_ref().map(|data| data.join(bucket))
    }

    /// Runs `work` on a bucket; everything it does is one step to all others.
    pub(super) fn with<T>(&self, bucket: &str, work: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        self.buckets.lock().get_mut(bucket).map(work)
    }

    pub(super) fn bucket_names(&self) -> Vec<String> {
        self.buckets.lock().keys().cloned().collect()
    }

    /// An object as it would be stored; its index file is written, so that storing it is a mere
    /// insertion.
    pub(super) fn prepare(
        &self,
        bucket: &str,
        key: &str,
        content: Blob,
        etag: String,
        headers: Headers,
    ) -> io::Result<Arc<Object>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut id = String::new();
        if let Some(directory) = self.directory(bucket) {
            id = Uuid::new_v4().simple().to_string();
            let row = Row {
                key: key.to_owned(),
                etag: etag.clone(),
                last_modified: now,
                headers: headers.clone(),
                files: content.files(),
            };
            let text = serde_json::to_vec(&row)?;
            std::fs::write(directory.join(format!("{id}.json")), text)?;
        }
        let last_modified = UNIX_EPOCH + Duration::from_secs(now);
        Ok(Arc::new(Object { content, etag, last_modified, headers, id }))
    }

    /// Empty objects, as if somebody had put each of them. Blocks.
    pub(super) fn fill(&self, bucket: &str, keys: impl IntoIterator<Item = String>) -> io::Result<()> {
        for key in keys {
            let headers = Headers { crc32c: Some(Crc32c::default()), ..Headers::default() };
            let empty = self.prepare(bucket, &key, Blob::concat([]), EMPTY_ETAG.to_owned(), headers)?;
            self.with(bucket, |bucket| bucket.objects.insert(key, empty));
        }
        Ok(())
    }

    /// Removes the files of an object that is no longer listed.
    pub(super) async fn discard(&self, bucket: &str, object: Option<Arc<Object>>) {
        let (Some(object), Some(directory)) = (object, self.directory(bucket)) else { return };
        let _ = tokio::fs::remove_file(directory.join(format!("{}.json", object.id))).await;
        object.content.clone().remove().await;
    }
}

/// The MD5 of nothing.
const EMPTY_ETAG: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn load_bucket(directory: &Path) -> io::Result<Bucket> {
    let mut bucket = Bucket::default();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let row: Row = serde_json::from_slice(&std::fs::read(&path)?)?;
        let object = Object {
            content: Blob::from_files(directory, row.files),
            etag: row.etag,
            last_modified: UNIX_EPOCH + Duration::from_secs(row.last_modified),
            headers: row.headers,
            id: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        bucket.objects.insert(row.key, Arc::new(object));
    }
    Ok(bucket)
}
