//! A change under way, and what it leaves the caches to believe.

use std::collections::HashSet;
use std::time::{Instant, SystemTime};

use super::Cached;
use crate::cache::{ContentCache, Held, MetadataCache};
use crate::object::{ETag, Key, ObjectMeta, Written};
use crate::store::comparing::md5_of;
use crate::store::{CopySource, Payload, StoreError};

/// A write to some keys. Dropped before its outcome is known, it leaves them in doubt: a request
/// that failed, or that nobody waited for, may have been carried out. What was known of them is still shown
/// while S3 does not answer.
pub(super) struct Change<'a> {
    metadata: &'a MetadataCache,
    content: &'a ContentCache,
    keys: Vec<Key>,
    begun: Instant,
}

impl<'a> Change<'a> {
    pub(super) fn new(
        metadata: &'a MetadataCache,
        content: &'a ContentCache,
        keys: impl IntoIterator<Item = Key>,
    ) -> Self {
        Self { metadata, content, keys: keys.into_iter().collect(), begun: Instant::now() }
    }

    /// The one key is this object now.
    pub(super) fn wrote(mut self, meta: ObjectMeta, body: Option<Payload>) {
        for key in std::mem::take(&mut self.keys) {
            match &body {
                Some(body) if self.content.takes(meta.size) && !key.as_str().ends_with('/') => {
                    self.content.put(&key, meta.clone(), body.to_bytes());
                }
                _ => self.content.remove(&key),
            }
            self.metadata.wrote(&key, meta.clone(), self.begun);
        }
    }

    /// The one key is a copy of `source` now. What is held of that is held of it, if its ETag says that it is the same: an
    /// endpoint may have copied another version than it was told to.
    pub(super) fn copied(self, source: &CopySource, copy: ObjectMeta) {
        match self.content.version(&source.key, &copy.etag) {
            Some(held) => {
                let Held { meta, content, .. } = &*held;
                let (content_type, user) = (meta.content_type.clone(), meta.user.clone());
                self.wrote(ObjectMeta { content_type, user, ..copy }, Some(content.clone().into()));
            }
            None => self.wrote(copy, None),
        }
    }

    /// The keys are gone, but for those that failed.
    pub(super) fn removed(mut self, failed: &[(Key, StoreError)]) {
        let failed = failed.iter().filter(|(_, error)| !matches!(error, StoreError::NotFound));
        let failed: HashSet<&Key> = failed.map(|(key, _)| key).collect();
        for key in std::mem::take(&mut self.keys) {
            self.content.remove(&key);
            if failed.contains(&key) {
                self.metadata.doubt(&key);
            } else {
                self.metadata.removed(&key, self.begun);
            }
        }
    }
}

impl Cached {
    /// Keeps a body that may have been stored: whoever finds out that it was finds its content, too.
    pub(super) async fn keep_maybe(&self, key: &Key, body: &Payload, meta: impl Fn(&Written) -> ObjectMeta) {
        if self.content.takes(body.len() as u64) {
            let etag = ETag::new(md5_of(body.clone()).await);
            let maybe = meta(&Written { etag, last_modified: SystemTime::now() });
            self.content.put_maybe(key, maybe, body.to_bytes());
        }
    }

    /// The same of what may have been copied.
    pub(super) fn keep_maybe_copied(&self, source: &CopySource, to: &Key) {
        let held = source.etag.as_ref().and_then(|etag| self.content.version(&source.key, etag));
        if let Some(held) = held {
            self.content.put_maybe(to, held.meta.clone(), held.content.clone());
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        for key in &self.keys {
            self.metadata.doubt(key);
        }
    }
}

/// What is known of a new object as a listing would tell it.
pub(super) fn listed(size: u64, written: &Written, storage_class: Option<String>) -> ObjectMeta {
    ObjectMeta {
        size,
        etag: written.etag.clone(),
        last_modified: written.last_modified,
        content_type: None,
        storage_class,
        user: Default::default(),
    }
}
