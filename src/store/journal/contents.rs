//! The contents of what is pending: on this machine, or where they are moved from.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;

use super::Journal;
use super::chains::Chains;
use super::change::Pending;
use super::wrapper::WithJournal;
use crate::object::{ByteRange, ETag, Key, ObjectMeta, ReadCondition};
use crate::spool::KeptBody;
use crate::state::{Basis, Change};
use crate::store::{Content, GetObject, ObjectStore, StoreError, StoreResult, bounds};

/// A version that waits for the store.
#[derive(Debug, Clone)]
pub struct MadeVersion {
    /// Who made it, as rows name clients.
    pub writer: String,
    pub key: Key,
    pub etag: ETag,
    /// What it replaces; `None`: nothing.
    pub basis: Option<ETag>,
}

impl Journal {
    /// The contents that are pending, oldest first.
    pub fn made(&self) -> Vec<MadeVersion> {
        let chains = self.0.chains.lock();
        let made = chains.everything().filter(|change| change.row.change != Change::Delete);
        let version = |change: &Arc<Pending>| MadeVersion {
            writer: change.row.writer.clone(),
            key: change.key().clone(),
            etag: change.etag(),
            basis: chains.found_at(change, change.key()),
        };
        made.map(version).collect()
    }
}

impl WithJournal {
    /// The content of what is pending, or a range of it. What is moved is where it was.
    pub(super) async fn content(
        &self,
        meta: ObjectMeta,
        change: &Arc<Pending>,
        range: Option<ByteRange>,
    ) -> StoreResult<Content> {
        let mut source = Arc::clone(change);
        loop {
            let Some(moved) = source.row.moved() else { return content(meta, source.body(), range).await };
            let (key, version) = match (source.copied_to(), source.from(), &moved.basis) {
                (Some(copy), ..) => copy,
                (None, Some(from), Basis::Version(version)) => (from.clone(), ETag::new(version)),
                (None, _, Basis::After(number)) => {
                    let before = self.journal.0.chains.lock().numbered(*number);
                    source = before.ok_or(StoreError::NotFound)?;
                    continue;
                }
                _ => return Err(StoreError::NotFound),
            };
            // Of no version, since that may be answered from memory.
            let request = GetObject { key: &key, range, condition: &ReadCondition::None };
            let content = self.inner.get(request).await?;
            if content.meta.etag != self.journal.stored(&version) {
                return Err(StoreError::ConditionFailed);
            }
            return Ok(Content { meta, ..content });
        }
    }
}

/// The content of a body, or a range of it.
async fn content(
    meta: ObjectMeta,
    body: Option<&KeptBody>,
    range: Option<ByteRange>,
) -> StoreResult<Content> {
    let Some(body) = body else {
        if meta.size > 0 {
            return Err(StoreError::Lost("its content is not on this machine's disk any more".into()));
        }
        return Content::of_memory(meta, &Bytes::new(), range);
    };
    let (first, end) = bounds(meta.size, range)?;
    let lost = |error: std::io::Error| StoreError::Lost(error.into());
    let pieces = body.open_and_read(first, end).await.map_err(lost)?;
    let pieces = pieces.map(move |piece| piece.map_err(lost));
    Ok(Content { meta, first, length: end - first, body: pieces.boxed() })
}

impl Chains {
    /// The version that a change replaces at `key`, deletes there, or moves away, as clients know it; in the place of one that
    /// was deleted before, or moved away, that one. `None`: none.
    pub(super) fn found_at(&self, change: &Pending, key: &Key) -> Option<ETag> {
        let mut basis = change.row.basis_at(key.as_str())?.clone();
        loop {
            match basis {
                Basis::Absent => return None,
                Basis::Version(etag) => return Some(ETag::new(etag)),
                Basis::After(number) => {
                    let before = self.numbered(number)?;
                    if before.meta_at(key).is_some() {
                        return Some(before.etag());
                    }
                    basis = before.row.basis_at(key.as_str())?.clone();
                }
            }
        }
    }

    /// The content that a change leaves at its key, if that is on this machine: what is moved has it where it was.
    pub(super) fn content_of(&self, change: &Arc<Pending>) -> Option<Arc<Pending>> {
        let mut source = Arc::clone(change);
        loop {
            match &source.row.change {
                Change::Put { .. } => return Some(source),
                Change::Delete => return None,
                Change::Move(moved) => match &moved.basis {
                    Basis::After(number) => source = self.numbered(*number)?,
                    Basis::Absent | Basis::Version(_) => return None,
                },
            }
        }
    }
}
