//! Whether there is what must not be looked at.
//!
//! A HEAD or GET of what is not there is a 404 only for who may list the bucket. Where a policy binds that right to
//! a prefix, HEAD and GET have none to show, and are denied; a listing of the one name decides.

use super::{S3Store, StoreError, StoreResult};
use crate::object::{Key, ObjectMeta};
use crate::store::{ListRequest, ObjectStore};

impl S3Store {
    /// Why the object at `key` was `denied` to a HEAD: it may not be looked at, or is not there.
    pub(super) async fn unseen(&self, key: &Key, denied: StoreError) -> StoreResult<ObjectMeta> {
        // Of all names that begin with the key, the key is the first.
        let page = match self.list(&ListRequest::probe(key.as_str())).await {
            Err(StoreError::AccessDenied(_)) => return Err(denied),
            page => page?,
        };
        let is_there = page.objects.iter().any(|object| object.key == *key);
        let is_known = !page.is_blank() || page.continuation.is_none();
        Err(if !is_there && is_known { StoreError::NotFound } else { denied })
    }
}
