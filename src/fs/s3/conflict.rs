//! Writing where nothing is yet, beside an object that somebody else changed.

use super::Shared;
use crate::fs::Client;
use crate::fs::conflict::{Room, keys_beside};
use crate::object::{ETag, Key, MAX_KEY_BYTES, Written};
use crate::store::{ObjectStore, StoreError, StoreResult};

/// Writes beside `key`, under the first free conflict name. `write` must not replace anything; its `None` means that the name
/// is taken.
pub(super) async fn beside<E, F>(
    store: &dyn ObjectStore,
    key: &Key,
    write: impl Fn(Key) -> F,
) -> Result<(Key, Written), E>
where
    E: From<StoreError>,
    F: Future<Output = Result<Option<Written>, E>>,
{
    for name in keys_beside(key.as_str(), room(store, key)) {
        let name = Key::new(name).map_err(StoreError::from)?;
        if let Some(written) = write(name.clone()).await? {
            return Ok((name, written));
        }
    }
    Err(StoreError::ConditionFailed.into())
}

impl Shared {
    /// What a client has saved at `key` and has lost, and where that lies: what it saves next takes its place.
    pub(super) fn loser(&self, client: &Client, key: &str) -> Option<(Key, ETag)> {
        let (copy, etag) = self.seen_versions.replaceable_loser(client, key)?;
        // Its name was a key.
        Some((Key::new(copy).ok()?, etag))
    }
}

/// What was written where nothing was to be; `None`: something was.
pub(super) fn unless_taken(written: StoreResult<Written>) -> StoreResult<Option<Written>> {
    match written {
        Err(StoreError::ConditionFailed) => Ok(None),
        written => written.map(Some),
    }
}

/// The prefix that is served takes some bytes of S3's own limit.
pub(super) fn room(store: &dyn ObjectStore, key: &Key) -> Room {
    let prefix = store.address(key).key.as_str().len().saturating_sub(key.as_str().len());
    let room = Room::default();
    Room { key: room.key.min(MAX_KEY_BYTES - prefix.min(MAX_KEY_BYTES)), ..room }
}
