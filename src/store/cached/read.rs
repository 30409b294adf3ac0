//! Reading through the content cache.

use std::sync::Arc;

use super::{Asked, Cached};
use crate::cache::{Freshness, Held};
use crate::object::{ByteRange, ETag, Key, ObjectMeta, ReadCondition, parent_prefix};
use crate::store::{Content, GetObject, StoreError, StoreResult};

impl Cached {
    /// The newest version's content: from memory if it is known to be the newest, else from the
    /// store, which is asked for what has changed only.
    pub(super) async fn read(&self, key: &Key, range: Option<ByteRange>) -> StoreResult<Content> {
        if let Some(known) = self.read_known(key, range) {
            return known;
        }
        let held = || self.newest_held(key).and_then(|held| serve(&held, range).ok());
        match self.reached(held().is_some(), || self.ask_content(key, range)).await {
            Err(error) => self.recalled(error, held()),
            content => content,
        }
    }

    /// The content of one version: from memory if it is known to be the newest, or if the store is away.
    pub(super) async fn read_version(&self, request: GetObject<'_>, version: &ETag) -> StoreResult<Content> {
        let key = request.key;
        let held = self.content.version(key, version).and_then(|held| serve(&held, request.range).ok());
        let newest = self.metadata.object(key, Freshness::Single).flatten();
        match held {
            Some(held) if newest.is_some_and(|newest| newest.etag == *version) => Ok(held),
            held => match self.reached(held.is_some(), || self.inner.get(request)).await {
                Err(error @ (StoreError::ConditionFailed | StoreError::NotFound)) => {
                    // Others have replaced it, or deleted it.
                    self.metadata.doubt(key);
                    Err(error)
                }
                Err(error) => self.recalled(error, held),
                content => content,
            },
        }
    }

    async fn ask_content(&self, key: &Key, range: Option<ByteRange>) -> StoreResult<Content> {
        let known = self.metadata.object(key, Freshness::Any).flatten();
        if known.as_ref().is_some_and(|meta| !self.content.takes(meta.size)) {
            // Large: nobody else is served by it.
            return self.fetch(key, range, &ReadCondition::None).await;
        }
        let _flight = self.flight(|| Asked::Content(key.clone())).await;
        if let Some(known) = self.read_known(key, range) {
            return known;
        }
        if let Some(held) = self.content.get(key) {
            let question = self.metadata.ask(parent_prefix(key.as_str()));
            let condition = ReadCondition::IfNoneMatch(held.meta.etag.clone());
            return match self.fetch(key, range, &condition).await {
                Err(StoreError::NotModified) => {
                    question.object(key, Some(held.meta.clone()));
                    serve(&held, range)
                }
                other => other,
            };
        }
        // What is known to be small is asked for to its end, since whole it comes with its checksum.
        // The caller takes what it needs.
        let range = range.filter(|range| known.is_none() || range.first > 0);
        self.fetch(key, range, &ReadCondition::None).await
    }

    /// The newest version's content, if both are known: or that there is none.
    pub(super) fn newest(&self, key: &Key) -> Option<Option<Arc<Held>>> {
        match self.metadata.object(key, Freshness::Single)? {
            None => Some(None),
            Some(meta) => self.content.version(key, &meta.etag).map(|held| Some(dated_as(held, &meta))),
        }
    }

    /// The content of the newest version that was ever known.
    fn newest_held(&self, key: &Key) -> Option<Arc<Held>> {
        match self.metadata.object(key, Freshness::Any) {
            Some(newest) => self.content.version(key, &newest?.etag),
            None => self.content.get(key).filter(|held| !held.is_maybe),
        }
    }

    /// An answer without asking.
    fn read_known(&self, key: &Key, range: Option<ByteRange>) -> Option<StoreResult<Content>> {
        let held = self.newest(key)?.ok_or(StoreError::NotFound);
        Some(held.and_then(|held| serve(&held, range)))
    }

    async fn fetch(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        condition: &ReadCondition,
    ) -> StoreResult<Content> {
        let question = self.metadata.ask(parent_prefix(key.as_str()));
        let content = match self.inner.get(GetObject { key, range, condition }).await {
            Err(StoreError::NotFound) => {
                question.object(key, None);
                return Err(StoreError::NotFound);
            }
            other => other?,
        };
        question.object(key, Some(content.meta.clone()));
        let meta = self.dated(key, content.meta.clone());
        let is_whole = content.first == 0 && content.length == meta.size;
        if !is_whole || !self.content.takes(meta.size) || !self.metadata.is_on() {
            return Ok(Content { meta, ..content });
        }
        let body = content.collect().await?;
        serve(&self.content.put(key, meta, body), range)
    }

    /// An object's date is the one that was first given for its version.
    fn dated(&self, key: &Key, meta: ObjectMeta) -> ObjectMeta {
        match self.metadata.object(key, Freshness::Any).flatten() {
            Some(known) if known.etag == meta.etag => {
                ObjectMeta { last_modified: known.last_modified, ..meta }
            }
            _ => meta,
        }
    }
}

/// The same, with the date that is known of it: what was kept before it was known whether it was stored has none.
fn dated_as(held: Arc<Held>, known: &ObjectMeta) -> Arc<Held> {
    if held.meta.last_modified == known.last_modified {
        return held;
    }
    let mut held = (*held).clone();
    held.meta.last_modified = known.last_modified;
    Arc::new(held)
}

/// What is held, or a range of it.
fn serve(held: &Held, range: Option<ByteRange>) -> StoreResult<Content> {
    Content::of_memory(held.meta.clone(), &held.content, range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheOptions;
    use crate::metrics::Metrics;
    use crate::object::{Attributes, Condition};
    use crate::store::memory::MemoryStore;
    use crate::store::{ObjectStore, PutObject};

    #[tokio::test]
    async fn the_newest_version_is_read_from_memory_and_another_is_not() {
        let below = MemoryStore::default();
        let store = Cached::new(Arc::new(below.clone()), CacheOptions::default(), Metrics::default());
        let (key, attributes, none) = (&Key::new("a").unwrap(), &Attributes::default(), &Condition::None);
        let put = |body: &'static str| PutObject { key, body: body.into(), attributes, condition: none };
        let old = store.put(put("old")).await.unwrap();
        below.delete(key, none).await.unwrap();
        let get = |version: &ETag| {
            let condition = ReadCondition::IfMatch(version.clone());
            let store = &store;
            async move {
                let request = GetObject { condition: &condition, ..GetObject::whole(key) };
                store.get(request).await?.collect().await
            }
        };
        assert_eq!(get(&old.etag).await.unwrap(), "old");
        assert!(get(&ETag::new("other")).await.is_err());
        let new = store.put(put("newer")).await.unwrap();
        assert_eq!(get(&new.etag).await.unwrap(), "newer");
        assert!(get(&old.etag).await.is_err(), "it is not what is there");
    }

    #[tokio::test]
    async fn a_range_from_memory_has_the_bytes_that_were_asked_for() {
        let below = MemoryStore::default();
        let store = Cached::new(Arc::new(below.clone()), CacheOptions::default(), Metrics::default());
        let (key, body) = (&Key::new("a").unwrap(), "0123456789".into());
        let (attributes, condition) = (&Attributes::default(), &Condition::None);
        store.put(PutObject { key, body, attributes, condition }).await.unwrap();
        // Now it can only come from memory.
        below.delete(key, condition).await.unwrap();
        for (first, last, expected) in [
            (0, Some(0), "0"),
            (0, None, "0123456789"),
            (2, Some(4), "234"),
            (7, None, "789"),
            (9, Some(20), "9"),
        ] {
            let range = Some(ByteRange { first, last });
            let content = store.get(GetObject { range, ..GetObject::whole(key) }).await.unwrap();
            assert_eq!((content.first, content.length), (first, expected.len() as u64));
            assert_eq!(content.collect().await.unwrap(), expected);
        }
        let range = Some(ByteRange { first: 10, last: None });
        let beyond = store.get(GetObject { range, ..GetObject::whole(key) }).await;
        assert!(matches!(beyond, Err(StoreError::RangeNotSatisfiable)));
    }
}
