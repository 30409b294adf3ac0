//! Reading through the content cache.

use bytes::Bytes;
use futures_util::stream;

use super::Cached;
use crate::cache::{Freshness, Held};
use crate::object::{ByteRange, Key, ObjectMeta, ReadCondition, parent_prefix};
use crate::seeded::{self, Bug};
use crate::store::{Content, StoreError, StoreResult};

impl Cached {
    /// The newest version's content: from memory if it is known to be the newest, else from the
    /// store, which is asked for what has changed only.
    pub(super) async fn read(&self, key: &Key, range: Option<ByteRange>) -> StoreResult<Content> {
        if let Some(known) = self.read_known(key, range, Freshness::Single) {
            return known;
        }
        let error = match self.ask_content(key, range).await {
            Err(error) => error,
            content => return content,
        };
        let held = self.content.get(key).and_then(|held| serve(&held, range).ok());
        self.recalled(error, held)
    }

    async fn ask_content(&self, key: &Key, range: Option<ByteRange>) -> StoreResult<Content> {
        let known = self.metadata.object(key, Freshness::Any).flatten();
        if known.as_ref().is_some_and(|meta| !self.content.takes(meta.size)) {
            // Large: nobody else is served by it.
            return self.fetch(key, range, &ReadCondition::None).await;
        }
        let _flight = self.flight("get", key.as_str()).await;
        if let Some(known) = self.read_known(key, range, Freshness::Single) {
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

    /// An answer without asking, if the object's state is known and its content held.
    fn read_known(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        freshness: Freshness,
    ) -> Option<StoreResult<Content>> {
        match self.metadata.object(key, freshness)? {
            None => Some(Err(StoreError::NotFound)),
            Some(meta) => self.content.version(key, &meta.etag).map(|held| serve(&held, range)),
        }
    }

    async fn fetch(
        &self,
        key: &Key,
        range: Option<ByteRange>,
        condition: &ReadCondition,
    ) -> StoreResult<Content> {
        let question = self.metadata.ask(parent_prefix(key.as_str()));
        let content = match self.inner.get(key, range, condition).await {
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

/// A range of what is held.
fn serve(held: &Held, range: Option<ByteRange>) -> StoreResult<Content> {
    let size = held.meta.size;
    let first = range.map_or(0, |range| range.first);
    let end = range.and_then(|range| range.last).map_or(size, |last| size.min(last.saturating_add(1)));
    if range.is_some() && first >= end {
        return Err(StoreError::RangeNotSatisfiable);
    }
    let shift = u64::from(first > 0 && seeded::has(Bug::WrongRange));
    let body = held.content.slice((first - shift) as usize..(end - shift) as usize);
    let chunks: Vec<StoreResult<Bytes>> = (!body.is_empty()).then_some(Ok(body)).into_iter().collect();
    Ok(Content { meta: held.meta.clone(), first, length: end - first, body: Box::pin(stream::iter(chunks)) })
}
