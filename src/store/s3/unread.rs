//! Writes that were answered with success, and nothing else that can be read: some servers name no ETag, or write
//! XML of their own. What is there then tells, and nothing is written twice.

use super::{S3Store, StoreError, StoreResult};
use crate::object::{Key, Written};
use crate::store::ObjectStore;
use crate::store::comparing::Expected;

impl S3Store {
    /// The outcome of a write to `key`. One that cannot be read is looked for, once.
    pub(super) async fn confirmed(
        &self,
        key: &Key,
        answered: StoreResult<Written>,
        expected: Expected<'_>,
    ) -> StoreResult<Written> {
        let error = match answered {
            Err(error @ StoreError::InvalidAnswer(_)) => error,
            answered => return answered,
        };
        match self.head(key).await {
            Ok(meta) if expected.is_at(self, key, &meta).await => {
                Ok(Written { etag: meta.etag, last_modified: meta.last_modified })
            }
            _ => Err(error),
        }
    }
}
