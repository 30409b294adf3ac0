//! Writing where nothing is yet, beside an object that somebody else changed.

use crate::fs::conflict::{Room, keys_beside};
use crate::object::{Key, MAX_KEY_BYTES, Written};
use crate::store::{ObjectStore, StoreError, StoreResult};

/// Writes beside `key`, under the first free conflict name. `write` must not replace anything.
pub(super) async fn beside<F: Future<Output = StoreResult<Written>>>(
    store: &dyn ObjectStore,
    key: &Key,
    write: impl Fn(Key) -> F,
) -> StoreResult<(Key, Written)> {
    for name in keys_beside(key.as_str(), room(store, key)) {
        let name = Key::new(name)?;
        match write(name.clone()).await {
            Err(StoreError::ConditionFailed) => {}
            written => return Ok((name, written?)),
        }
    }
    Err(StoreError::ConditionFailed)
}

/// The prefix that is served takes some bytes of S3's own limit.
fn room(store: &dyn ObjectStore, key: &Key) -> Room {
    let prefix = store.address(key).key.as_str().len().saturating_sub(key.as_str().len());
    let room = Room::default();
    Room { key: room.key.min(MAX_KEY_BYTES - prefix.min(MAX_KEY_BYTES)), ..room }
}
