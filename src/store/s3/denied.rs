//! Whether there is what must not be looked at.
//!
//! A HEAD or GET of what is not there is a 404 only for who may list the bucket. Where a policy binds that right to
//! a prefix, HEAD and GET have none to show, and are denied; a listing of the one name decides.

use super::{S3Store, StoreError, StoreResult};
use crate::object::{Key, ObjectMeta};
use crate::store::{ListRequest, ObjectStore};

impl S3Store {
    /// What a listing tells of the object at `key`, which was `denied` to a HEAD.
    pub(super) async fn listed(&self, key: &Key, denied: StoreError) -> StoreResult<ObjectMeta> {
        // Of all names that begin with the key, the key is the first.
        let page = match self.list(&ListRequest::probe(key.as_str())).await {
            Err(StoreError::AccessDenied(_)) => return Err(denied),
            page => page?,
        };
        let is_known = !page.is_blank() || page.continuation.is_none();
        match page.objects.into_iter().find(|object| object.key == *key) {
            Some(object) => Ok(object.meta),
            None if is_known => Err(StoreError::NotFound),
            None => Err(denied),
        }
    }
}
