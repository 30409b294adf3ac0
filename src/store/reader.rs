//! Reading one version of an object from a place on, over broken connections.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;

use super::{Content, GetObject, MultipartStore, StoreError, StoreResult};
use crate::object::{ByteRange, ETag, Key, ReadCondition};

/// Reads an object's bytes in order. Every request carries the ETag, so that what is read is one
/// version: if the object is replaced meanwhile, reading fails and never mixes.
pub struct ObjectReader {
    store: Arc<dyn MultipartStore>,
    key: Key,
    etag: ETag,
    /// The next byte to hand out.
    position: u64,
    /// One behind the last byte to hand out.
    end: u64,
    open: Option<Content>,
    /// A chunk, or what is left of it after a short read.
    rest: Bytes,
    resumptions: u32,
}

impl ObjectReader {
    /// A reader of `[start, end)`; nothing is sent before the first read.
    pub fn new(store: Arc<dyn MultipartStore>, key: Key, etag: ETag, start: u64, end: u64) -> Self {
        Self { store, key, etag, position: start, end, open: None, rest: Bytes::new(), resumptions: 0 }
    }

    /// Begins with content that was asked for already: this version's, from this reader's start on.
    pub fn continuing(self, open: Option<Content>) -> Self {
        Self { open, ..self }
    }

    /// Up to `most` bytes, at least one. An error, never an empty answer, when the content ends
    /// before the range does.
    pub async fn read(&mut self, most: usize) -> StoreResult<Bytes> {
        while self.rest.is_empty() {
            match self.next_chunk().await {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) => self.resume(StoreError::Unavailable("the content ended early".into()))?,
                Err(error) => self.resume(error)?,
            }
        }
        let chunk = self.rest.split_to(most.min(self.rest.len()));
        self.position += chunk.len() as u64;
        Ok(chunk)
    }

    async fn next_chunk(&mut self) -> StoreResult<Option<Bytes>> {
        let content = match &mut self.open {
            Some(content) => content,
            None => {
                let range = ByteRange { first: self.position, last: self.end.checked_sub(1) };
                let (key, condition) = (&self.key, &ReadCondition::IfMatch(self.etag.clone()));
                let content = self.store.get(GetObject { key, range: Some(range), condition }).await?;
                if content.first != self.position {
                    return Err(StoreError::InvalidAnswer("another range came than was asked for".into()));
                }
                self.open.insert(content)
            }
        };
        content.body.next().await.transpose()
    }

    /// Lets the next read ask again from where the content broke off, a few times.
    fn resume(&mut self, error: StoreError) -> StoreResult<()> {
        self.open = None;
        self.resumptions += 1;
        if !error.is_transient() || self.resumptions > MAX_RESUMPTIONS || self.position >= self.end {
            return Err(error);
        }
        tracing::debug!(key = %self.key, position = self.position, %error, "resuming a broken download");
        Ok(())
    }
}

/// A download that breaks more often than this is not going to end.
const MAX_RESUMPTIONS: u32 = 8;
