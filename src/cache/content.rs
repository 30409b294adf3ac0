//! The content of small files, by key and ETag.

use std::sync::Arc;

use bytes::Bytes;
use moka::sync::Cache;

use crate::checksum::Crc32c;
use crate::object::{ETag, Key, ObjectMeta};

/// One version's content.
#[derive(Debug, Clone)]
pub struct Held {
    pub meta: ObjectMeta,
    pub content: Bytes,
    /// The object may never have been that: the write of it had no answer.
    pub is_maybe: bool,
    /// Of the content, when it came.
    crc32c: Crc32c,
}

/// See the module. Content is right for ever for its ETag; whether that is still the object's is
/// not for this cache to know.
#[derive(Debug)]
pub struct ContentCache {
    held: Cache<Key, Arc<Held>>,
    file_limit: u64,
}

impl ContentCache {
    /// `size`: bytes in all; `file_limit`: bytes of the largest content.
    pub fn new(size: u64, file_limit: u64) -> Self {
        let held = Cache::builder().max_capacity(size).weigher(weight).build();
        Self { held, file_limit: file_limit.min(size) }
    }

    /// Whether content of so many bytes is kept.
    pub fn takes(&self, size: u64) -> bool {
        size <= self.file_limit
    }

    /// Bytes in use, about.
    pub fn used(&self) -> u64 {
        self.held.weighted_size()
    }

    /// What is held of `key`, whichever version it is, as long as its bytes are those that came.
    pub fn get(&self, key: &Key) -> Option<Arc<Held>> {
        let held = self.held.get(key)?;
        if Crc32c::of([&*held.content]) != held.crc32c {
            tracing::error!(%key, "this machine's memory has changed the bytes of a file; they are read again");
            self.remove(key);
            return None;
        }
        Some(held)
    }

    /// What is held of this version.
    pub fn version(&self, key: &Key, etag: &ETag) -> Option<Arc<Held>> {
        self.get(key).filter(|held| held.meta.etag == *etag)
    }

    /// Keeps a version's content instead of another's.
    pub fn put(&self, key: &Key, meta: ObjectMeta, content: Bytes) -> Arc<Held> {
        self.keep(key, meta, content, false)
    }

    /// The same of what may be the object's newest version, or none of its versions.
    pub fn put_maybe(&self, key: &Key, meta: ObjectMeta, content: Bytes) {
        self.keep(key, meta, content, true);
    }

    fn keep(&self, key: &Key, meta: ObjectMeta, content: Bytes, is_maybe: bool) -> Arc<Held> {
        // A slice would keep the whole buffer that it was cut from.
        let content = Bytes::copy_from_slice(&content);
        let crc32c = Crc32c::of([&*content]);
        let held = Arc::new(Held { meta, content, is_maybe, crc32c });
        self.held.insert(key.clone(), Arc::clone(&held));
        held
    }

    /// Lets go of what cannot be the object's any more.
    pub fn remove(&self, key: &Key) {
        self.held.invalidate(key);
    }
}

fn weight(key: &Key, held: &Arc<Held>) -> u32 {
    u32::try_from(key.as_str().len() + held.content.len() + OVERHEAD).unwrap_or(u32::MAX)
}

/// Bytes of an entry beside its key and content: metadata, and moka's own.
const OVERHEAD: usize = 512;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_memory_has_changed_is_not_told() {
        let (cache, key) = (ContentCache::new(1 << 20, 1 << 10), Key::new("file").unwrap());
        let meta = ObjectMeta {
            size: 5,
            etag: ETag::new("one"),
            last_modified: SystemTime::UNIX_EPOCH,
            content_type: None,
            storage_class: None,
            user: Default::default(),
        };
        cache.put(&key, meta, "hello".into());
        assert_eq!(cache.get(&key).unwrap().content, "hello");
        let damaged = Held { content: "hellO".into(), ..(*cache.get(&key).unwrap()).clone() };
        cache.held.insert(key.clone(), Arc::new(damaged));
        assert!(cache.version(&key, &ETag::new("one")).is_none());
        assert!(cache.held.get(&key).is_none(), "it is read again");
    }
}
