//! Writing where nothing is yet, beside an object that somebody else changed.

use crate::fs::conflict::keys_beside;
use crate::object::{Key, Written};
use crate::store::{StoreError, StoreResult};

/// Writes beside `key`, under the first free conflict name. `write` must not replace anything.
pub(super) async fn beside<F: Future<Output = StoreResult<Written>>>(
    key: &str,
    write: impl Fn(Key) -> F,
) -> StoreResult<(Key, Written)> {
    for name in keys_beside(key) {
        let name = Key::new(name)?;
        match write(name.clone()).await {
            Err(StoreError::ConditionFailed) => {}
            written => return Ok((name, written?)),
        }
    }
    Err(StoreError::ConditionFailed)
}
